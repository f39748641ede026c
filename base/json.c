#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* jansson recurses up to 2048 levels; ours is a much lower bound, found without recursion. */
static bool too_deep(const char *text, size_t len)
{
	int depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
			return true;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
	}
	return false;
}

/* jansson does not always notice that an allocation of its own failed: it may report a syntax error, or
 * leave a byte out of a string. So its allocations are watched while it works. (One thread; the
 * state lasts for one call.) */
static json_malloc_t watched_malloc;
static json_free_t watched_free;
static bool starved;

static void *noting_malloc(size_t size)
{
	void *memory = watched_malloc(size);
	starved |= !memory;
	return memory;
}

static void watch_memory(void)
{
	starved = false;
	json_get_alloc_funcs(&watched_malloc, &watched_free);
	json_set_alloc_funcs(noting_malloc, watched_free);
}

/* True when every allocation since watch_memory() was served. */
static bool memory_sufficed(void)
{
	json_set_alloc_funcs(watched_malloc, watched_free);
	return !starved;
}

json_t *json_parse(const char *text, size_t len, struct err *err)
{
	if (too_deep(text, len)) {
		(void)err_set(err, ERR_REJECT, "json_depth", "JSON is nested deeper than %d levels",
		              JSON_DEPTH_MAX);
		return NULL;
	}
	json_error_t at = {0};
	watch_memory();
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
	if (!memory_sufficed()) {
		json_decref(json);
		(void)err_oom(err);
		return NULL;
	}
	if (!json)
		(void)err_set(err, ERR_REJECT, "bad_json", "%s at line %d, column %d", at.text, at.line,
		              at.column);
	return json;
}

void json_drop(json_t **json)
{
	json_decref(*json);
}

static int decode_str(const json_t *value, const struct json_field *f, char *at, struct err *err)
{
	const char *text = json_string_value(value);
	if (!text)
		return err_set(err, ERR_REJECT, "bad_json", "%s must be a string", f->name);
	size_t len = json_string_length(value);
	if (strlen(text) != len || (int64_t)len > f->max || (int64_t)len < f->min)
		return err_set(err, ERR_REJECT, "bad_json", "%s must have %lld to %lld bytes", f->name,
		               (long long)f->min, (long long)f->max);
	memcpy(at, &text, sizeof(text));
	return 0;
}

static int decode_i64(const json_t *value, const struct json_field *f, char *at, struct err *err)
{
	int64_t number = json_integer_value(value);
	if (!json_is_integer(value) || number < f->min || number > f->max)
		return err_set(err, ERR_REJECT, "bad_json", "%s must be a whole number from %lld to %lld",
		               f->name, (long long)f->min, (long long)f->max);
	memcpy(at, &number, sizeof(number));
	return 0;
}

static int decode_uuid(const json_t *value, const struct json_field *f, char *at, struct err *err)
{
	struct uuid uuid;
	if (!json_is_string(value) ||
	    uuid_parse_plain(json_string_value(value), json_string_length(value), &uuid) < 0)
		return err_set(err, ERR_REJECT, "bad_json", "%s must be a UUID", f->name);
	memcpy(at, &uuid, sizeof(uuid));
	return 0;
}

static int decode_container(json_t *value, const struct json_field *f, char *at, struct err *err)
{
	bool object = f->kind == JSON_KIND_OBJ;
	if (object ? !json_is_object(value) : !json_is_array(value))
		return err_set(err, ERR_REJECT, "bad_json", "%s must be an %s", f->name,
		               object ? "object" : "array");
	memcpy(at, &value, sizeof(value));
	return 0;
}

static int decode_bool(const json_t *value, const struct json_field *f, char *at, struct err *err)
{
	bool truth = json_is_true(value);
	if (!json_is_boolean(value))
		return err_set(err, ERR_REJECT, "bad_json", "%s must be true or false", f->name);
	memcpy(at, &truth, sizeof(truth));
	return 0;
}

static int decode_field(json_t *value, const struct json_field *f, char *base, struct err *err)
{
	char *at = base + f->offset;
	switch (f->kind) {
	case JSON_KIND_STR: return decode_str(value, f, at, err);
	case JSON_KIND_UUID: return decode_uuid(value, f, at, err);
	case JSON_KIND_I64: return decode_i64(value, f, at, err);
	case JSON_KIND_BOOL: return decode_bool(value, f, at, err);
	case JSON_KIND_OBJ:
	case JSON_KIND_ARR: return decode_container(value, f, at, err);
	}
	return err_set(err, ERR_FATAL, "bug", "unknown kind of field %s", f->name);
}

int json_decode(json_t *object, const struct json_field *fields, size_t field_count, void *ret,
                struct err *err)
{
	if (!json_is_object(object))
		return err_set(err, ERR_REJECT, "bad_json", "a JSON object is expected");
	for (size_t i = 0; i < field_count; i++) {
		const struct json_field *f = &fields[i];
		json_t *value = json_object_get(object, f->name);
		bool there = value && !json_is_null(value);
		if (!there && f->has_offset == JSON_REQUIRED)
			return err_set(err, ERR_REJECT, "bad_json", "%s is missing", f->name);
		if (f->has_offset != JSON_REQUIRED)
			memcpy((char *)ret + f->has_offset, &there, sizeof(there));
		if (there && decode_field(value, f, ret, err) < 0)
			return -1;
	}
	return 0;
}

static void put(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value ? value : json_null());
}

void json_put_text(json_t *object, const char *key, const char *value)
{
	put(object, key, value ? json_string(value) : NULL);
}

void json_put_uuid(json_t *object, const char *key, const struct uuid *value)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(value, text);
	put(object, key, uuid_is_nil(value) ? NULL : json_string(text));
}

void json_put_time(json_t *object, const char *key, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	put(object, key, wall_us ? json_string(text) : NULL);
}

void json_put_i64(json_t *object, const char *key, int64_t value)
{
	put(object, key, json_integer(value));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
	put(object, key, json_boolean(value));
}

void json_put_json(json_t *object, const char *key, const char *value)
{
	put(object, key, value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL);
}

char *json_text(const json_t *json)
{
	watch_memory();
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	if (memory_sufficed())
		return text;
	watched_free(text);
	return NULL;
}
