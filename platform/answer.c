#include "answer.h"

#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/num.h"

/* ---- names ---- */

const char *platform_op_name(enum platform_op op)
{
	static const char *const names[PLATFORM_OP_COUNT] = {
	    [PLATFORM_SANDBOX_DELETE] = "sandbox_delete",
	    [PLATFORM_SANDBOX_GET] = "sandbox_get",
	    [PLATFORM_VOLUME_DELETE] = "volume_delete",
	    [PLATFORM_VOLUME_GET] = "volume_get",
	    [PLATFORM_SNAPSHOT_DELETE] = "snapshot_delete",
	    [PLATFORM_SANDBOX_LIST] = "sandbox_list",
	    [PLATFORM_VOLUME_LIST] = "volume_list",
	    [PLATFORM_SNAPSHOT_CREATE] = "snapshot_create",
	    [PLATFORM_VOLUME_CREATE] = "volume_create",
	};
	return (unsigned)op < PLATFORM_OP_COUNT ? names[op] : "unknown";
}

const char *platform_fault_name(enum platform_fault fault)
{
	static const char *const names[PLATFORM_FAULT_COUNT] = {
	    [PLATFORM_ANSWERED] = "answered",   [PLATFORM_CONNECT] = "connect",
	    [PLATFORM_TIMEOUT] = "timeout",     [PLATFORM_RESET] = "reset",
	    [PLATFORM_MALFORMED] = "malformed", [PLATFORM_TOO_LARGE] = "too_large",
	    [PLATFORM_CANCELLED] = "cancelled",
	};
	return (unsigned)fault < PLATFORM_FAULT_COUNT ? names[fault] : "unknown";
}

/* ---- texts: they end in a log line and in a UTF-8 column of the database ---- */

/* Length of the UTF-8 sequence at `text` (RFC 3629), or 0 when it is none. */
static size_t utf8_len(const unsigned char *text)
{
	static const struct {
		unsigned char first_min, first_max, second_min, second_max, len;
	} forms[] = {
	    {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	for (size_t i = 0; i < N_OF(forms); i++) {
		if (text[0] < forms[i].first_min || text[0] > forms[i].first_max)
			continue;
		if (forms[i].len > 1 && (text[1] < forms[i].second_min || text[1] > forms[i].second_max))
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((text[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static bool is_control(const unsigned char *text, size_t len)
{
	return text[0] < 0x20 || text[0] == 0x7f || (len == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

/* Copies what fits in whole characters: controls become spaces, bytes that are no UTF-8 '?'. */
static void copy_text(const char *from, char *to, size_t size)
{
	const unsigned char *at = (const unsigned char *)from;
	size_t used = 0;
	while (*at) {
		size_t len = utf8_len(at);
		bool plain = len > 0 && !is_control(at, len);
		size_t out = plain ? len : 1;
		if (used + out >= size)
			break;
		if (plain)
			memcpy(to + used, at, len);
		else
			to[used] = len > 0 ? ' ' : '?';
		used += out;
		at += len > 0 ? len : 1;
	}
	to[used] = '\0';
}

/* ---- Retry-After ---- */

static int64_t capped(int64_t ms)
{
	if (ms < 0)
		return 0;
	return ms < PLATFORM_RETRY_AFTER_MAX_MS ? ms : PLATFORM_RETRY_AFTER_MAX_MS;
}

int64_t platform_retry_after_ms(const char *text, int64_t wall_us)
{
	static const char *const dates[] = {
	    "%a, %d %b %Y %H:%M:%S GMT",
	    "%A, %d-%b-%y %H:%M:%S GMT",
	    "%a %b %e %H:%M:%S %Y",
	};
	size_t len = strlen(text);
	if (len > 0 && strspn(text, "0123456789") == len) {
		int64_t seconds;
		if (num_i64(text, len, 0, PLATFORM_RETRY_AFTER_MAX_MS / 1000, &seconds) < 0)
			return PLATFORM_RETRY_AFTER_MAX_MS;
		return seconds * 1000;
	}
	for (size_t i = 0; i < N_OF(dates); i++) {
		struct tm date = {0};
		const char *end = strptime(text, dates[i], &date);
		if (end && *end == '\0')
			return capped((int64_t)timegm(&date) * 1000 - wall_us / 1000);
	}
	return 0;
}

/* ---- the body ---- */

/* Which forms a status may come in. A 404 is proof of absence to somebody, so only the platform's
 * own handler may say it; a success or a refusal without an envelope comes from something in
 * between. The plain form is what authentication, the rate limit, a panic and the platform's
 * gateways answer. */
static const struct form {
	int status_min, status_max;
	bool success, plain;
	const char *code; /* the only code that is taken; NULL: any */
} forms[] = {
    {200, 299, true, false, NULL},  {401, 401, false, true, NULL},
    {403, 403, false, true, NULL},  {404, 404, false, false, "not_found"},
    {429, 429, false, true, NULL},  {500, 500, false, true, NULL},
    {502, 502, false, true, NULL},  {504, 504, false, true, NULL},
    {400, 599, false, false, NULL},
};

static const struct form *form_of(int status)
{
	for (size_t i = 0; i < N_OF(forms); i++)
		if (status >= forms[i].status_min && status <= forms[i].status_max)
			return &forms[i];
	return NULL;
}

static int read_error(const struct form *form, json_t *root, struct platform_answer *ret)
{
	json_t *success = json_object_get(root, "success");
	json_t *error = json_object_get(root, "error");
	if (form->plain && !success && json_is_string(error)) {
		copy_text(json_string_value(error), ret->text, sizeof(ret->text));
		return 0;
	}
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));
	if (!json_is_false(success) || !code || !*code || !message)
		return -1;
	if (form->code && strcmp(form->code, code) != 0)
		return -1;
	copy_text(code, ret->code, sizeof(ret->code));
	copy_text(message, ret->text, sizeof(ret->text));
	return 0;
}

static int read_body(const struct form *form, json_t *root, struct platform_answer *ret)
{
	if (form->success)
		return json_is_true(json_object_get(root, "success")) ? 0 : -1;
	return read_error(form, root, ret);
}

/* A listing is long, and inventory.h parses it anyway. What is no object at all, such as a page of
 * something in between, is seen without parsing. */
static bool begins_object(const struct platform_reply *reply)
{
	for (size_t i = 0; i < reply->len; i++)
		if (!memchr(" \t\r\n", reply->body[i], 4))
			return reply->body[i] == '{';
	return false;
}

static int check_body(const struct form *form, const struct platform_reply *reply,
                      struct platform_answer *ret, struct err *err)
{
	AUTO(json_drop) json_t *root = NULL;
	if (!form)
		return err_set(err, ERR_REJECT, "status", "a status that the contract does not know");
	if (form->success && reply->listing && begins_object(reply))
		return 0;
	root = json_parse(reply->body ? reply->body : "", reply->len, err);
	if (!root)
		return -1;
	if (read_body(form, root, ret) < 0)
		return err_set(err, ERR_REJECT, "form", "JSON, but not the envelope of the contract");
	return 0;
}

void platform_answer_fault(enum platform_fault fault, const char *text, struct platform_answer *ret)
{
	*ret = (struct platform_answer){.fault = fault};
	copy_text(text, ret->text, sizeof(ret->text));
}

void platform_answer_read(const struct platform_reply *reply, int64_t wall_us,
                          struct platform_answer *ret)
{
	const struct form *form = form_of(reply->status);
	struct err err = {0};

	*ret = (struct platform_answer){.status = reply->status};
	if (reply->retry_after)
		ret->retry_after_ms = platform_retry_after_ms(reply->retry_after, wall_us);
	if (check_body(form, reply, ret, &err) < 0) {
		ret->fault = PLATFORM_MALFORMED;
		copy_text(err.text, ret->text, sizeof(ret->text));
	} else if (form->success) {
		ret->body = reply->body;
		ret->body_len = reply->len;
	}
}

void platform_answer_recall(struct platform_memo *memo, const struct platform_reply *reply,
                            int64_t wall_us, struct platform_answer *ret)
{
	bool fits = !reply->retry_after && reply->len > 0 && reply->len <= sizeof(memo->body);
	if (fits && reply->status == memo->answer.status && reply->len == memo->len &&
	    memcmp(reply->body, memo->body, reply->len) == 0) {
		*ret = memo->answer;
		if (ret->body) /* the same bytes, in another place */
			ret->body = reply->body;
		return;
	}
	platform_answer_read(reply, wall_us, ret);
	if (!fits || ret->fault != PLATFORM_ANSWERED)
		return;
	memcpy(memo->body, reply->body, reply->len);
	memo->len = reply->len;
	memo->answer = *ret;
}
