#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/uuid.h"
#include "scarce.h"

/* ---- parsing ---- */

/* In memory of exactly its size, so that a sanitizer sees a read past it. */
static json_t *parse(const char *text, size_t len, struct err *err)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	json_t *json = json_parse(copy, len, err);
	free(copy);
	return json;
}

static const struct parse_case {
	const char *name, *text;
	const char *want_code; /* NULL: it is JSON */
} parse_cases[] = {
    {"object", "{}", NULL},
    {"array", "[]", NULL},
    {"string", "\"x\"", NULL},
    {"number", "1", NULL},
    {"true", "true", NULL},
    {"null", "null", NULL},
    {"space around", " \t\r\n{} \t\r\n", NULL},
    {"highest integer", "9223372036854775807", NULL},
    {"lowest integer", "-9223372036854775808", NULL},
    {"real", "1.5e3", NULL},
    {"UTF-8", "\"\xc3\xa9\"", NULL},
    {"escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"", NULL},
    {"same key at two levels", "{\"a\":{\"a\":1}}", NULL},
    {"empty", "", "bad_json"},
    {"only space", " ", "bad_json"},
    {"two texts", "{}{}", "bad_json"},
    {"something behind", "{} x", "bad_json"},
    {"comma behind", "[1,]", "bad_json"},
    {"no quotes", "{a:1}", "bad_json"},
    {"single quotes", "{'a':1}", "bad_json"},
    {"comment", "{}//", "bad_json"},
    {"duplicate key", "{\"a\":1,\"a\":1}", "bad_json"},
    {"duplicate key further apart", "{\"a\":1,\"b\":{\"a\":2},\"a\":3}", "bad_json"},
    {"duplicate key, escaped", "{\"a\":1,\"\\u0061\":2}", "bad_json"},
    {"duplicate key further down", "[{\"b\":[{\"a\":1,\"a\":2}]}]", "bad_json"},
    {"past the highest integer", "9223372036854775808", "bad_json"},
    {"past the lowest integer", "-9223372036854775809", "bad_json"},
    {"past every real", "1e999", "bad_json"},
    {"leading zero", "01", "bad_json"},
    {"plus", "+1", "bad_json"},
    {"NaN", "NaN", "bad_json"},
    {"byte zero in a string", "\"a\\u0000b\"", "bad_json"},
    {"byte zero in a key", "{\"a\\u0000b\":1}", "bad_json"},
    {"line end in a string", "\"a\nb\"", "bad_json"},
    {"bad escape", "\"\\x\"", "bad_json"},
    {"half a surrogate", "\"\\ud83d\"", "bad_json"},
    {"not UTF-8", "\"\xff\"", "bad_json"},
    {"overlong UTF-8", "\"\xc0\x80\"", "bad_json"},
    {"surrogate in UTF-8", "\"\xed\xa0\x80\"", "bad_json"},
    {"byte order mark", "\xef\xbb\xbf{}", "bad_json"},
    {"closing first", "}{", "bad_json"},
    {"crossed", "[{]}", "bad_json"},
    {"ends in an escape", "\"\\", "bad_json"},
};

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(parse_cases); i++) {
		const struct parse_case *c = &parse_cases[i];
		struct err err = {0};
		json_t *json = parse(c->text, strlen(c->text), &err);
		if (!json != !!c->want_code)
			fail_msg("%s: %s", c->name, json ? "taken" : err.text);
		if (c->want_code &&
		    (err.kind != ERR_REJECT || strcmp(err.code, c->want_code) != 0 || !*err.text))
			fail_msg("%s: %s %s \"%s\"", c->name, err_kind_name(err.kind), err.code, err.text);
		if (!c->want_code && err.kind != ERR_NONE)
			fail_msg("%s: taken, and yet: %s", c->name, err.text);
		json_decref(json);
	}
}

static void test_byte_zero(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {{"\0", 1}, {"{}\0", 3}, {"{\0}", 3}, {"\"a\0b\"", 5}, {"\0{}", 3}};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct err err = {0};
		assert_null(parse(cases[i].text, cases[i].len, &err));
		assert_string_equal(err.code, "bad_json");
	}
}

static void test_the_error_says_where(void **state)
{
	(void)state;
	struct err err = {0};
	static const char text[] = "{\n\"a\": 1,\n\"b\": x}";
	assert_null(parse(text, strlen(text), &err));
	assert_non_null(strstr(err.text, "line 3"));
	assert_non_null(strstr(err.text, "'x'"));
}

/* `depth` times `open`, `inner`, `depth` times `close`. */
static const struct depth_case {
	const char *name, *open, *inner, *close;
	int levels; /* of one `open` */
} depth_cases[] = {
    {"arrays", "[", "", "]", 1},
    {"arrays with a value", "[", "1", "]", 1},
    {"objects", "{\"a\":", "1", "}", 1},
    {"both", "[{\"a\":", "1", "}]", 2},
    {"behind a string of braces", "[\"[[{{\",", "1", "]", 1},
    {"behind closing braces in a string", "[\"]]}}\",", "1", "]", 1},
    {"behind an escaped quote", "[\"\\\"[\",", "1", "]", 1},
    {"behind an escaped backslash", "[\"\\\\\",", "1", "]", 1},
    {"behind both", "[\"\\\\\\\"[[\",", "1", "]", 1},
    {"in keys", "{\"[\\\"{\":", "1", "}", 1},
    {"behind closed ones", "[[],{},", "1", "]", 1}, /* the inner ones count as well */
};

static char *repeat(const struct depth_case *c, int times)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	for (int i = 0; i < times; i++)
		(void)fputs(c->open, out);
	(void)fputs(c->inner, out);
	for (int i = 0; i < times; i++)
		(void)fputs(c->close, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void check_depth(const struct depth_case *c, int times, const char *want_code)
{
	struct err err = {0};
	char *text = repeat(c, times);
	json_t *json = parse(text, strlen(text), &err);
	if (strcmp(err.code, want_code) != 0 || !json != (*want_code != '\0') ||
	    err.kind != (json ? ERR_NONE : ERR_REJECT))
		fail_msg("%s, %d deep: \"%s\" %s", c->name, times * c->levels, err.code, err.text);
	json_decref(json);
	free(text);
}

static void test_depth(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(depth_cases); i++) {
		const struct depth_case *c = &depth_cases[i];
		int inner = strstr(c->open, "[],") ? 1 : 0;
		check_depth(c, (JSON_DEPTH_MAX - inner) / c->levels, "");
		check_depth(c, (JSON_DEPTH_MAX - inner) / c->levels + 1, "json_depth");
		check_depth(c, 100000, "json_depth");
	}
}

static void test_the_depth_of_what_is_not_closed(void **state)
{
	(void)state;
	static const struct depth_case open = {"open arrays", "[", "", "", 1};
	check_depth(&open, JSON_DEPTH_MAX, "bad_json");
	check_depth(&open, JSON_DEPTH_MAX + 1, "json_depth");
	check_depth(&open, 1000000, "json_depth");
}

/* Braces in strings are no levels; side by side they are one. */
static void test_no_depth_at_all(void **state)
{
	(void)state;
	static const struct {
		const char *name, *piece;
	} cases[] = {
	    {"string of brackets", "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""},
	    {"string of braces", "\"{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{\""},
	    {"brackets behind an escaped quote", "\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""},
	    {"brackets behind a backslash and a quote",
	     "\"\\\\\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""},
	    {"many side by side", "[],{},[],{},[],{},[],{},[],{},[],{},[],{},[],{},[],{},[],{},[],{}"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct depth_case c = {cases[i].name, "", "", "", 1};
		char text[512];
		struct err err = {0};
		(void)snprintf(text, sizeof(text), "[%s,%s]", cases[i].piece, cases[i].piece);
		json_t *json = parse(text, strlen(text), &err);
		if (!json)
			fail_msg("%s: %s", c.name, err.text);
		json_decref(json);
	}
}

#define WHOLE                                                                                    \
	"{\"id\":\"01234567-89ab-cdef-fedc-ba9876543210\",\"list\":[1,-2,3.5e1,true,false,null,{}]," \
	"\"text\":\"a\\\"\\\\\\u00e9\\ud83d\\ude00 {[\",\"deep\":{\"er\":{\"still\":[[\"x\"]]}}}"

static void test_every_beginning_is_refused(void **state)
{
	(void)state;
	struct err err = {0};
	json_t *json = parse(WHOLE, strlen(WHOLE), &err);
	assert_non_null(json);
	json_decref(json);
	for (size_t len = 0; len < strlen(WHOLE); len++) {
		err = (struct err){0};
		if (parse(WHOLE, len, &err) || strcmp(err.code, "bad_json") != 0)
			fail_msg("the first %zu bytes: \"%s\" %s", len, err.code, err.text);
	}
}

/* ---- without memory ---- */

/* Each allocation fails once: the text is as good as ever, so it must be read again later. */
static void test_parse_without_memory(void **state)
{
	(void)state;
	for (long n = 0;; n++) {
		struct err err = {0};
		allocations_left = n;
		json_t *json = json_parse(WHOLE, strlen(WHOLE), &err);
		if (allocations_left != -1) { /* none was left to fail */
			assert_non_null(json);
			assert_in_range(n, 20, 1000);
			json_decref(json);
			assert_int_equal(allocated, 0);
			return;
		}
		if (json || err.kind != ERR_RETRY || strcmp(err.code, "ENOMEM") != 0 || allocated != 0)
			fail_msg("allocation %ld: %s, %s \"%s\" \"%s\", %ld blocks left", n,
			         json ? "taken" : "refused", err_kind_name(err.kind), err.code, err.text,
			         allocated);
	}
}

/* Memory that ran out earlier does not make bad JSON good. */
static void test_bad_json_after_a_failed_allocation(void **state)
{
	(void)state;
	struct err err = {0};
	errno = ENOMEM;
	assert_null(json_parse("{", 1, &err));
	assert_string_equal(err.code, "bad_json");
}

/* Without memory there is no text at all; half of one would be sent as if it were whole. */
static void test_text_without_memory(void **state)
{
	(void)state;
	struct err err = {0};
	json_t *json = json_parse(WHOLE, strlen(WHOLE), &err);
	assert_non_null(json);
	char *whole = json_text(json);
	assert_non_null(whole);
	bool failed = true;
	for (long n = 0; failed; n++) {
		allocations_left = n;
		long before = allocated;
		char *text = json_text(json);
		failed = allocations_left == -1;
		allocations_left = -1;
		if (text ? strcmp(text, whole) != 0 : !failed)
			fail_msg("allocation %ld: %s", n, text ? text : "no text");
		if (!text)
			assert_int_equal(allocated, before);
		free(text);
	}
	free(whole);
	json_decref(json);
}

/* ---- decoding ---- */

struct target {
	const char *str, *must;
	struct uuid id;
	int64_t number, any;
	bool truth;
	json_t *obj, *arr;
	bool has_str, has_id, has_number, has_any, has_truth, has_obj, has_arr;
};
#define FIELD(name, kind, member, min, max)                                                      \
	{                                                                                            \
		name, kind, offsetof(struct target, member), offsetof(struct target, has_##member), min, \
		    max                                                                                  \
	}
static const struct json_field fields[] = {
    FIELD("str", JSON_KIND_STR, str, 2, 5),
    FIELD("id", JSON_KIND_UUID, id, 0, 0),
    FIELD("number", JSON_KIND_I64, number, -3, 7),
    FIELD("any", JSON_KIND_I64, any, INT64_MIN, INT64_MAX),
    FIELD("truth", JSON_KIND_BOOL, truth, 0, 0),
    FIELD("obj", JSON_KIND_OBJ, obj, 0, 0),
    FIELD("arr", JSON_KIND_ARR, arr, 0, 0),
};

/* Says what is in the struct; absent fields say nothing. */
static void tell(const struct target *t, char *out, size_t size)
{
	FILE *file = fmemopen(out, size, "w");
	assert_non_null(file);
	if (t->has_str)
		(void)fprintf(file, "str=%s ", t->str);
	if (t->has_id) {
		char id[UUID_TEXT_SIZE];
		uuid_format(&t->id, id);
		(void)fprintf(file, "id=%s ", id);
	}
	if (t->has_number)
		(void)fprintf(file, "number=%lld ", (long long)t->number);
	if (t->has_any)
		(void)fprintf(file, "any=%lld ", (long long)t->any);
	if (t->has_truth)
		(void)fprintf(file, "truth=%d ", t->truth);
	if (t->has_obj)
		(void)fprintf(file, "obj:%zu ", json_object_size(t->obj));
	if (t->has_arr)
		(void)fprintf(file, "arr:%zu ", json_array_size(t->arr));
	(void)fclose(file);
}

#define UUID_TEXT "01234567-89ab-cdef-fedc-ba9876543210"
#define STR_TEXT "str must have 2 to 5 bytes"
#define NUMBER_TEXT "number must be a whole number from -3 to 7"
#define ANY_TEXT "any must be a whole number from -9223372036854775808 to 9223372036854775807"
static const struct decode_case {
	const char *name, *text;
	const char *want; /* what the struct says, or the error */
} decode_cases[] = {
    {"nothing", "{}", ""},
    {"everything",
     "{\"str\":\"abc\",\"id\":\"" UUID_TEXT
     "\",\"number\":1,\"any\":2,\"truth\":true,\"obj\":{\"a\":1},"
     "\"arr\":[1,2]}",
     "str=abc id=" UUID_TEXT " number=1 any=2 truth=1 obj:1 arr:2 "},
    {"unknown fields", "{\"x\":1,\"str\":\"ab\",\"strs\":[],\"\":null}", "str=ab "},
    {"other case", "{\"Str\":\"ab\",\"NUMBER\":99}", ""},
    {"all null",
     "{\"str\":null,\"id\":null,\"number\":null,\"any\":null,\"truth\":null,\"obj\":null,\"arr\":"
     "null}",
     ""},

    {"string at its minimum", "{\"str\":\"ab\"}", "str=ab "},
    {"string below it", "{\"str\":\"a\"}", STR_TEXT},
    {"empty string", "{\"str\":\"\"}", STR_TEXT},
    {"string at its maximum", "{\"str\":\"abcde\"}", "str=abcde "},
    {"string past it", "{\"str\":\"abcdef\"}", STR_TEXT},
    {"bytes count, not letters", "{\"str\":\"\xc3\xa9\xc3\xa9x\"}", "str=\xc3\xa9\xc3\xa9x "},
    {"bytes past it", "{\"str\":\"\xc3\xa9\xc3\xa9\xc3\xa9\"}", STR_TEXT},
    {"string is a number", "{\"str\":1}", "str must be a string"},
    {"string is true", "{\"str\":true}", "str must be a string"},
    {"string is an array", "{\"str\":[\"ab\"]}", "str must be a string"},
    {"string is an object", "{\"str\":{}}", "str must be a string"},

    {"UUID in upper case", "{\"id\":\"01234567-89AB-CDEF-FEDC-BA9876543210\"}",
     "id=" UUID_TEXT " "},
    {"UUID without dashes", "{\"id\":\"0123456789abcdeffedcba9876543210\"}", "id must be a UUID"},
    {"UUID in braces", "{\"id\":\"{" UUID_TEXT "}\"}", "id must be a UUID"},
    {"UUID as a urn", "{\"id\":\"urn:uuid:" UUID_TEXT "\"}", "id must be a UUID"},
    {"UUID is empty", "{\"id\":\"\"}", "id must be a UUID"},
    {"UUID is a number", "{\"id\":1}", "id must be a UUID"},
    {"UUID is an array", "{\"id\":[]}", "id must be a UUID"},

    {"number at its minimum", "{\"number\":-3}", "number=-3 "},
    {"number below it", "{\"number\":-4}", NUMBER_TEXT},
    {"number at its maximum", "{\"number\":7}", "number=7 "},
    {"number past it", "{\"number\":8}", NUMBER_TEXT},
    {"number is zero", "{\"number\":0}", "number=0 "},
    {"number is real", "{\"number\":1.0}", NUMBER_TEXT},
    {"number is a string", "{\"number\":\"1\"}", NUMBER_TEXT},
    {"number is true", "{\"number\":true}", NUMBER_TEXT},
    {"number is an object", "{\"number\":{}}", NUMBER_TEXT},
    {"lowest number", "{\"any\":-9223372036854775808}", "any=-9223372036854775808 "},
    {"highest number", "{\"any\":9223372036854775807}", "any=9223372036854775807 "},
    {"any is a string", "{\"any\":\"\"}", ANY_TEXT},
    {"any is real", "{\"any\":1e3}", ANY_TEXT},

    {"false", "{\"truth\":false}", "truth=0 "},
    {"truth is 1", "{\"truth\":1}", "truth must be true or false"},
    {"truth is a string", "{\"truth\":\"true\"}", "truth must be true or false"},
    {"truth is an array", "{\"truth\":[]}", "truth must be true or false"},

    {"empty object", "{\"obj\":{}}", "obj:0 "},
    {"object is an array", "{\"obj\":[]}", "obj must be an object"},
    {"object is a string", "{\"obj\":\"{}\"}", "obj must be an object"},
    {"object is false", "{\"obj\":false}", "obj must be an object"},

    {"empty array", "{\"arr\":[]}", "arr:0 "},
    {"array is an object", "{\"arr\":{}}", "arr must be an array"},
    {"array is a string", "{\"arr\":\"[]\"}", "arr must be an array"},
    {"array is a number", "{\"arr\":0}", "arr must be an array"},

    {"not an object: array", "[]", "a JSON object is expected"},
    {"not an object: string", "\"str\"", "a JSON object is expected"},
    {"not an object: null", "null", "a JSON object is expected"},
    {"not an object: number", "1", "a JSON object is expected"},
    {"the first of two errors", "{\"number\":8,\"str\":1}", "str must be a string"},
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(decode_cases); i++) {
		const struct decode_case *c = &decode_cases[i];
		struct target target = {0};
		struct err err = {0};
		char said[512] = "";
		json_t *json = json_loads(c->text, JSON_DECODE_ANY, NULL);
		assert_non_null(json);
		int rc = json_decode(json, fields, N_OF(fields), &target, &err);
		if (rc == 0)
			tell(&target, said, sizeof(said));
		if (rc == 0 ? err.kind != ERR_NONE
		            : err.kind != ERR_REJECT || strcmp(err.code, "bad_json") != 0)
			fail_msg("%s: %d, but %s \"%s\"", c->name, rc, err_kind_name(err.kind), err.code);
		if (strcmp(rc == 0 ? said : err.text, c->want) != 0)
			fail_msg("%s: \"%s\"", c->name, rc == 0 ? said : err.text);
		json_decref(json);
	}
}

static void test_absent_fields_are_left_alone(void **state)
{
	(void)state;
	struct target target = {.str = "before", .number = 5, .truth = true, .has_str = true};
	struct err err = {0};
	json_t *json = json_loads("{\"number\":null}", 0, NULL);
	assert_int_equal(json_decode(json, fields, N_OF(fields), &target, &err), 0);
	assert_string_equal(target.str, "before");
	assert_int_equal(target.number, 5);
	assert_true(target.truth);
	assert_false(target.has_str);
	json_decref(json);
}

/* The same kinds, all of them required. */
static const struct required_case {
	const char *name, *text;
	enum json_kind kind;
	const char *want; /* the error; NULL: none */
} required_cases[] = {
    {"string", "{\"x\":\"\"}", JSON_KIND_STR, NULL},
    {"string missing", "{}", JSON_KIND_STR, "x is missing"},
    {"string null", "{\"x\":null}", JSON_KIND_STR, "x is missing"},
    {"UUID missing", "{\"y\":1}", JSON_KIND_UUID, "x is missing"},
    {"UUID null", "{\"x\":null}", JSON_KIND_UUID, "x is missing"},
    {"nil UUID", "{\"x\":\"00000000-0000-0000-0000-000000000000\"}", JSON_KIND_UUID, NULL},
    {"number", "{\"x\":0}", JSON_KIND_I64, NULL},
    {"number missing", "{\"X\":0}", JSON_KIND_I64, "x is missing"},
    {"number null", "{\"x\":null}", JSON_KIND_I64, "x is missing"},
    {"truth", "{\"x\":false}", JSON_KIND_BOOL, NULL},
    {"truth missing", "{}", JSON_KIND_BOOL, "x is missing"},
    {"truth null", "{\"x\":null}", JSON_KIND_BOOL, "x is missing"},
    {"object", "{\"x\":{}}", JSON_KIND_OBJ, NULL},
    {"object missing", "{}", JSON_KIND_OBJ, "x is missing"},
    {"object null", "{\"x\":null}", JSON_KIND_OBJ, "x is missing"},
    {"array", "{\"x\":[]}", JSON_KIND_ARR, NULL},
    {"array missing", "{}", JSON_KIND_ARR, "x is missing"},
    {"array null", "{\"x\":null}", JSON_KIND_ARR, "x is missing"},
};

static void test_required(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(required_cases); i++) {
		const struct required_case *c = &required_cases[i];
		union {
			const char *str;
			struct uuid uuid;
			int64_t number;
			bool truth;
			json_t *json;
		} value = {0};
		const struct json_field field = {"x", c->kind, 0, JSON_REQUIRED, 0, 10};
		struct err err = {0};
		json_t *json = json_loads(c->text, 0, NULL);
		assert_non_null(json);
		int rc = json_decode(json, &field, 1, &value, &err);
		if (rc != (c->want ? -1 : 0) || strcmp(err.text, c->want ? c->want : "") != 0 ||
		    err.kind != (c->want ? ERR_REJECT : ERR_NONE))
			fail_msg("%s: %d \"%s\"", c->name, rc, err.text);
		json_decref(json);
	}
}

/* The parser lets none through; whoever builds JSON by hand might. */
static void test_a_string_with_a_byte_zero(void **state)
{
	(void)state;
	const char *value = NULL;
	const struct json_field field = {"x", JSON_KIND_STR, 0, JSON_REQUIRED, 0, 10};
	struct err err = {0};
	json_t *json = json_object();
	assert_int_equal(json_object_set_new(json, "x", json_stringn("a\0b", 3)), 0);
	assert_int_equal(json_decode(json, &field, 1, &value, &err), -1);
	assert_string_equal(err.code, "bad_json");
	assert_null(value);
	json_decref(json);
}

static void test_a_kind_that_is_none(void **state)
{
	(void)state;
	int64_t value = 0;
	const struct json_field field = {"x", (enum json_kind)99, 0, JSON_REQUIRED, 0, 10};
	struct err err = {0};
	json_t *json = json_loads("{\"x\":1}", 0, NULL);
	assert_int_equal(json_decode(json, &field, 1, &value, &err), -1);
	assert_int_equal(err.kind, ERR_FATAL);
	json_decref(json);
}

static void test_text(void **state)
{
	(void)state;
	static const char *const texts[] = {"{\"a\":[1,true,null,\"x\"]}", "[]", "\"x\"", "7", "null"};
	for (size_t i = 0; i < N_OF(texts); i++) {
		struct err err = {0};
		json_t *AUTO(json_drop) json = json_parse(texts[i], strlen(texts[i]), &err);
		char *text = json_text(json);
		assert_string_equal(text, texts[i]);
		free(text);
	}
	json_t *AUTO(json_drop) nothing = NULL;
	assert_null(json_text(nothing));
}

/* What is written into an object; null where there is nothing to say. */
static void test_put(void **state)
{
	(void)state;
	struct uuid uuid = {{0}};
	json_t *object = json_object();
	json_put_text(object, "a", "x");
	json_put_text(object, "b", NULL);
	json_put_text(object, "c", "\xff"); /* no UTF-8 */
	json_put_uuid(object, "d", &uuid);
	uuid.bytes[15] = 1;
	json_put_uuid(object, "e", &uuid);
	json_put_time(object, "f", 0);
	json_put_time(object, "g", 1);
	json_put_i64(object, "h", INT64_MIN);
	json_put_bool(object, "i", true);
	json_put_json(object, "j", "[1,{}]");
	json_put_json(object, "k", "[1,");
	json_put_json(object, "l", NULL);
	char *text = json_text(object);
	assert_string_equal(text, "{\"a\":\"x\",\"b\":null,\"c\":null,\"d\":null,"
	                          "\"e\":\"00000000-0000-0000-0000-000000000001\",\"f\":null,"
	                          "\"g\":\"1970-01-01T00:00:00.000001Z\",\"h\":-9223372036854775808,"
	                          "\"i\":true,\"j\":[1,{}],\"k\":null,\"l\":null}");
	free(text);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_byte_zero),
	    cmocka_unit_test(test_the_error_says_where),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_the_depth_of_what_is_not_closed),
	    cmocka_unit_test(test_no_depth_at_all),
	    cmocka_unit_test(test_every_beginning_is_refused),
	    cmocka_unit_test_setup_teardown(test_parse_without_memory, scarce, plenty),
	    cmocka_unit_test(test_bad_json_after_a_failed_allocation),
	    cmocka_unit_test_setup_teardown(test_text_without_memory, scarce, plenty),
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test(test_absent_fields_are_left_alone),
	    cmocka_unit_test(test_required),
	    cmocka_unit_test(test_a_string_with_a_byte_zero),
	    cmocka_unit_test(test_a_kind_that_is_none),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_put),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
