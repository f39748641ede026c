#include "faults.h"

#include <stdlib.h>
#include <string.h>

#include "dice.h"

static const char *const effect_names[EFFECT_COUNT] = {
    [EFFECT_NONE] = "none",           [EFFECT_STATUS] = "status", [EFFECT_LATENCY] = "latency",
    [EFFECT_HANG] = "hang",           [EFFECT_RESET] = "reset",   [EFFECT_TRUNCATED] = "truncated",
    [EFFECT_MALFORMED] = "malformed", [EFFECT_HUGE] = "huge",     [EFFECT_LOST] = "lost",
    [EFFECT_HTML404] = "html404",
};

static const struct {
	int status;
	const char *code;
} codes[] = {
    {400, "bad_request"}, {401, "unauthorized"}, {403, "forbidden"},
    {404, "not_found"},   {409, "conflict"},     {429, "quota_exceeded"},
    {502, "unavailable"}, {503, "unavailable"},  {504, "unavailable"},
};

const char *fault_code(int64_t status)
{
	for (size_t i = 0; i < N_OF(codes); i++)
		if (codes[i].status == status)
			return codes[i].code;
	return status < 500 ? "bad_request" : "internal_error";
}

static void free_rule(struct fault *rule)
{
	free(rule->path_prefix);
	free(rule);
}

void faults_done(struct faults *faults)
{
	for (size_t i = 0; i < faults->count; i++)
		free(faults->rules[i].path_prefix);
	free(faults->rules);
	faults->rules = NULL;
	faults->count = 0;
}

/* ---- reading a rule ---- */

struct rule_json {
	const char *method, *path_prefix, *op, *team, *id, *effect, *code;
	int64_t count, skip, latency_ms, status, bytes;
	bool plain;
	bool has_status, has_plain, has; /* `has` takes what nobody asks about */
};
#define TEXT(field, max_bytes)                                                                     \
	{                                                                                              \
#field, JSON_KIND_STR, offsetof(struct rule_json, field), offsetof(struct rule_json, has), \
		    1, max_bytes                                                                           \
	}
#define NUMBER(field, min, max, has_field)                        \
	{                                                             \
#field, JSON_KIND_I64, offsetof(struct rule_json, field), \
		    offsetof(struct rule_json, has_field), min, max       \
	}
static const struct json_field rule_fields[] = {
    TEXT(method, 7),
    TEXT(path_prefix, 1024),
    TEXT(op, 32),
    TEXT(team, ID_MAX_BYTES),
    TEXT(id, ID_MAX_BYTES),
    {"effect", JSON_KIND_STR, offsetof(struct rule_json, effect), JSON_REQUIRED, 1, 32},
    TEXT(code, FAULT_TEXT_SIZE - 1),
    NUMBER(count, 0, INT64_MAX, has),
    NUMBER(skip, 0, INT64_MAX, has),
    NUMBER(latency_ms, 0, 86400000, has),
    NUMBER(status, 200, 599, has_status),
    NUMBER(bytes, 1, 256 << 20, has),
    {"plain", JSON_KIND_BOOL, offsetof(struct rule_json, plain),
     offsetof(struct rule_json, has_plain), 0, 0},
};

/* Misspelt rules must not pass as rules that match everything. */
static int check_names(json_t *object, struct err *err)
{
	const char *name;
	json_t *value;
	json_object_foreach (object, name, value) {
		bool known = strcmp(name, "percent") == 0 || strcmp(name, "retry_after") == 0;
		for (size_t i = 0; !known && i < N_OF(rule_fields); i++)
			known = strcmp(rule_fields[i].name, name) == 0;
		if (!known)
			return err_set(err, ERR_REJECT, "bad_fault", "a fault has no field %.60s", name);
	}
	return 0;
}

static void copy_text(char *to, size_t size, const char *text)
{
	size_t len = text ? strlen(text) : 0; /* its maximum was checked when it was read */
	if (len > 0 && len < size)
		memcpy(to, text, len + 1);
}

/* Seconds as a number, or the header's text: an HTTP date. */
static int read_retry_after(const json_t *value, struct fault *rule, struct err *err)
{
	const char *text = json_string_value(value);
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		struct buf number AUTO(buf_done);
		buf_init(&number, FAULT_TEXT_SIZE - 1);
		(void)buf_i64(&number, json_integer_value(value));
		copy_text(rule->retry_after, sizeof(rule->retry_after), number.data);
		return 0;
	}
	if (!text || strlen(text) >= FAULT_TEXT_SIZE)
		return err_set(err, ERR_REJECT, "bad_fault", "retry_after must be seconds or a date");
	copy_text(rule->retry_after, sizeof(rule->retry_after), text);
	return 0;
}

/* What is not enveloped by the platform itself: its gateway's auth and limits, and proxies. */
static bool plain_by_default(int64_t status)
{
	return status == 401 || status == 429 || status == 502 || status == 504;
}

static int check_rule(const struct rule_json *in, struct fault *rule, struct err *err)
{
	rule->op = in->op ? op_parse(in->op) : OP_COUNT;
	if (in->op && rule->op == OP_COUNT)
		return err_set(err, ERR_REJECT, "bad_fault", "there is no op %s", in->op);
	rule->effect = EFFECT_STATUS;
	while (rule->effect < EFFECT_COUNT && strcmp(effect_names[rule->effect], in->effect) != 0)
		rule->effect++;
	if (rule->effect == EFFECT_COUNT)
		return err_set(err, ERR_REJECT, "bad_fault", "there is no effect %s", in->effect);
	if (rule->effect == EFFECT_STATUS && !in->has_status)
		return err_set(err, ERR_REJECT, "bad_fault", "status is missing");
	if (rule->effect == EFFECT_LATENCY && in->latency_ms == 0)
		return err_set(err, ERR_REJECT, "bad_fault", "latency_ms is missing");
	return 0;
}

static int read_rule(json_t *object, struct fault *rule, struct err *err)
{
	struct rule_json in = {.bytes = 8 << 20};
	if (check_names(object, err) < 0 ||
	    json_decode(object, rule_fields, N_OF(rule_fields), &in, err) < 0 ||
	    check_rule(&in, rule, err) < 0)
		return -1;
	const json_t *percent = json_object_get(object, "percent");
	const json_t *retry_after = json_object_get(object, "retry_after");
	if (percent && (!json_is_number(percent) || json_number_value(percent) < 0 ||
	                json_number_value(percent) > 100))
		return err_set(err, ERR_REJECT, "bad_fault", "percent must be a number from 0 to 100");
	if (retry_after && read_retry_after(retry_after, rule, err) < 0)
		return -1;
	rule->percent = percent ? json_number_value(percent) : 100;
	rule->count = in.count;
	rule->skip = in.skip;
	rule->latency_ms = in.latency_ms;
	rule->status = in.status;
	rule->bytes = in.bytes;
	rule->plain = in.has_plain ? in.plain : plain_by_default(in.status);
	copy_text(rule->method, sizeof(rule->method), in.method);
	copy_text(rule->team, sizeof(rule->team), in.team);
	copy_text(rule->thing, sizeof(rule->thing), in.id);
	copy_text(rule->code, sizeof(rule->code), in.code ? in.code : fault_code(in.status));
	rule->path_prefix = in.path_prefix ? strdup(in.path_prefix) : NULL;
	return in.path_prefix && !rule->path_prefix ? err_oom(err) : 0;
}

int faults_add(struct faults *faults, json_t *object, int64_t *ret_id, struct err *err)
{
	if (faults->count == FAULTS_MAX)
		return err_set(err, ERR_REJECT, "bad_fault", "more than %d faults", FAULTS_MAX);
	struct fault *rule = calloc(1, sizeof(*rule));
	if (!rule)
		return err_oom(err);
	if (read_rule(object, rule, err) < 0) {
		free_rule(rule);
		return -1;
	}
	struct fault *rules = realloc(faults->rules, (faults->count + 1) * sizeof(*rules));
	if (!rules) {
		free_rule(rule);
		return err_oom(err);
	}
	rule->id = ++faults->last_id;
	*ret_id = rule->id;
	rules[faults->count++] = *rule;
	faults->rules = rules;
	free(rule); /* path_prefix lives on in the list */
	return 0;
}

static void remove_at(struct faults *faults, size_t at)
{
	free(faults->rules[at].path_prefix);
	faults->count--;
	memmove(&faults->rules[at], &faults->rules[at + 1],
	        (faults->count - at) * sizeof(faults->rules[0]));
}

bool faults_remove(struct faults *faults, int64_t id)
{
	for (size_t i = 0; i < faults->count; i++) {
		if (faults->rules[i].id == id) {
			remove_at(faults, i);
			return true;
		}
	}
	return false;
}

/* ---- matching ---- */

static bool fits(const char *want, const char *have)
{
	return want[0] == '\0' || strcmp(want, have) == 0;
}

static bool matches(const struct fault *rule, const struct fault_request *request)
{
	if (rule->op != OP_COUNT && rule->op != request->target->op)
		return false;
	if (rule->path_prefix &&
	    strncmp(rule->path_prefix, request->path, strlen(rule->path_prefix)) != 0)
		return false;
	return fits(rule->method, request->method) && fits(rule->team, request->team) &&
	       fits(rule->thing, request->target->id);
}

bool faults_match(struct faults *faults, const struct fault_request *request, int64_t seed,
                  struct fault *ret)
{
	for (size_t i = 0; i < faults->count; i++) {
		struct fault *rule = &faults->rules[i];
		if (!matches(rule, request))
			continue;
		uint64_t number = rule->seen++;
		if (number < (uint64_t)rule->skip || !dice(seed, (uint64_t)rule->id, number, rule->percent))
			continue;
		rule->hits++;
		*ret = *rule;
		ret->path_prefix = NULL;
		if (rule->count > 0 && --rule->count == 0)
			remove_at(faults, i);
		return true;
	}
	return false;
}

/* ---- writing ---- */

static void write_text(struct buf *out, const char *name, const char *text)
{
	AUTO(json_drop) json_t *json = text && text[0] ? json_string(text) : NULL;
	char *quoted = json ? json_text(json) : NULL;
	if (quoted)
		(void)buf_printf(out, ",\"%s\":%s", name, quoted);
	free(quoted);
}

static void write_rule(const struct fault *rule, struct buf *out)
{
	(void)buf_printf(out, "{\"id\":%lld,\"effect\":\"%s\"", (long long)rule->id,
	                 effect_names[rule->effect]);
	write_text(out, "method", rule->method);
	write_text(out, "path_prefix", rule->path_prefix);
	write_text(out, "op", rule->op == OP_COUNT ? NULL : op_name(rule->op));
	write_text(out, "team", rule->team);
	write_text(out, "thing", rule->thing);
	if (rule->effect == EFFECT_STATUS) {
		(void)buf_printf(out, ",\"status\":%lld,\"plain\":%s", (long long)rule->status,
		                 rule->plain ? "true" : "false");
		write_text(out, "code", rule->code);
		write_text(out, "retry_after", rule->retry_after);
	}
	(void)buf_printf(out,
	                 ",\"percent\":%g,\"count\":%lld,\"skip\":%lld,\"latency_ms\":%lld,"
	                 "\"seen\":%llu,\"hits\":%llu}",
	                 rule->percent, (long long)rule->count, (long long)rule->skip,
	                 (long long)rule->latency_ms, (unsigned long long)rule->seen,
	                 (unsigned long long)rule->hits);
}

void faults_write(const struct faults *faults, struct buf *out)
{
	(void)buf_char(out, '[');
	for (size_t i = 0; i < faults->count; i++) {
		if (i > 0)
			(void)buf_char(out, ',');
		write_rule(&faults->rules[i], out);
	}
	(void)buf_char(out, ']');
}
