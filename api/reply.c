#include "reply.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"

static const char content_type[] = "application/json; charset=utf-8";

/* The bytes of the UTF-8 character at `s`; 0 when there is none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Too long a form, a surrogate, beyond U+10FFFF: the second byte tells. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* One character that cannot be copied as it is; returns how many bytes it took. */
static size_t add_escaped(struct buf *out, const char *text)
{
	unsigned char c = (unsigned char)*text;
	size_t len = utf8_len((const unsigned char *)text);
	if (len > 1)
		(void)buf_add(out, text, len);
	else if (len == 0)
		(void)buf_str(out, "\xef\xbf\xbd");
	else if (c == '"' || c == '\\')
		(void)buf_add(out, (const char[]){'\\', (char)c}, 2);
	else
		(void)buf_printf(out, "\\u%04x", c);
	return len > 0 ? len : 1;
}

void reply_string(struct buf *out, const char *text)
{
	(void)buf_char(out, '"');
	while (*text) {
		size_t run = 0;
		while (plain((unsigned char)text[run]))
			run++;
		(void)buf_add(out, text, run);
		text += run;
		if (*text)
			text += add_escaped(out, text);
	}
	(void)buf_char(out, '"');
}

bool reply_id_valid(const char *id)
{
	size_t len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
	return len > 0 && len <= REPLY_ID_MAX && id[len] == '\0';
}

void reply_begin(struct reply *reply, struct http_req *http, struct buf *body,
                 const char *request_id)
{
	reply->http = http;
	reply->body = body;
	reply->header_count = 0;
	buf_clear(body);
	reply_header(reply, "X-Request-Id", request_id);
	reply_header(reply, "Cache-Control", "no-store");
	reply_header(reply, "X-Content-Type-Options", "nosniff");
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
	if (reply->header_count < REPLY_HEADERS_MAX)
		reply->headers[reply->header_count++] = (struct http_header){name, value};
}

static int send(struct reply *reply, int status, const char *type, const char *body, size_t len)
{
	http_reply(reply->http, status, type, body, len, reply->headers, reply->header_count);
	reply->http = NULL;
	return status;
}

void reply_data(struct reply *reply)
{
	(void)buf_str(reply->body, "{\"success\":true,\"data\":{");
}

int reply_send(struct reply *reply, int status)
{
	(void)buf_str(reply->body, "}}");
	if (reply->body->failed)
		return reply_error(reply, 500, "the answer does not fit into memory", NULL);
	return send(reply, status, content_type, reply->body->data, reply->body->len);
}

int reply_text(struct reply *reply, const char *type, const char *text, size_t len)
{
	return send(reply, 200, type, text, len);
}

/* The words of the contract; there is none of its own for 405, 413, 422 and 431. */
static const char *code_of(int status)
{
	static const struct {
		int status;
		const char *code;
	} codes[] = {
	    {401, "unauthorized"},   {403, "forbidden"},   {404, "not_found"},
	    {409, "conflict"},       {412, "conflict"},    {429, "quota_exceeded"},
	    {500, "internal_error"}, {503, "unavailable"},
	};
	for (size_t i = 0; i < N_OF(codes); i++)
		if (codes[i].status == status)
			return codes[i].code;
	return "bad_request";
}

int reply_error(struct reply *reply, int status, const char *message, const char *details)
{
	buf_clear(reply->body);
	(void)buf_str(reply->body, "{\"success\":false,\"error\":{\"code\":\"");
	(void)buf_str(reply->body, code_of(status));
	(void)buf_str(reply->body, "\",\"message\":");
	reply_string(reply->body, message);
	if (details) {
		(void)buf_str(reply->body, ",\"details\":");
		(void)buf_str(reply->body, details);
	}
	(void)buf_str(reply->body, "}}");
	if (reply->body->failed)
		return reply_out_of_memory(reply);
	return send(reply, status, content_type, reply->body->data, reply->body->len);
}

int reply_out_of_memory(struct reply *reply)
{
	static const char text[] =
	    "{\"success\":false,\"error\":{\"code\":\"internal_error\",\"message\":\"out of memory\"}}";
	return send(reply, 500, content_type, text, sizeof(text) - 1);
}
