/* function_update_decode: one row per body; bounds at the maximum and one past it; and every
 * allocation made to fail once. function_autoscaling_read: what may be stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/function_update.h"

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X255 X50 X50 X50 X50 X50 "xxxxx"
#define O10 "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
#define C10 "}}}}}}}}}}"

struct row {
	const char *name, *body;
	const char *want; /* name|enabled|min/max/target/down, "-" for what is absent; NULL: refused */
	const char *error;
};

static const struct row rows[] = {
    {"nothing", "{}", "-|-|-", NULL},
    {"name", "{\"name\":\"New name\"}", "New name|-|-", NULL},
    {"name with space around", "{\"name\":\" a \"}", " a |-|-", NULL},
    {"name empty", "{\"name\":\"\"}", "-|-|-", NULL},
    {"name blank", "{\"name\":\" \\t\\n\"}", "-|-|-", NULL},
    {"name null", "{\"name\":null}", "-|-|-", NULL},
    {"name at the maximum", "{\"name\":\"" X255 "\"}", X255 "|-|-", NULL},
    {"name one past it", "{\"name\":\"" X255 "x\"}", NULL, "name must have 0 to 255 bytes"},
    {"name a number", "{\"name\":7}", NULL, "name must be a string"},
    {"name with NUL", "{\"name\":\"a\\u0000b\"}", NULL, "\\u0000"},
    {"name not UTF-8", "{\"name\":\"\xff\"}", NULL, "unable to decode byte"},
    {"enable", "{\"enabled\":true}", "-|true|-", NULL},
    {"disable", "{\"enabled\":false}", "-|false|-", NULL},
    {"enabled null", "{\"enabled\":null}", "-|-|-", NULL},
    {"enabled text", "{\"enabled\":\"true\"}", NULL, "enabled must be true or false"},
    {"enabled number", "{\"enabled\":1}", NULL, "enabled must be true or false"},
    {"unknown fields", "{\"slug\":\"x\",\"host\":[1],\"enabled\":true}", "-|true|-", NULL},
    {"all",
     "{\"name\":\"n\",\"enabled\":false,\"autoscaling\":{\"min_warm\":1,\"max_active\":2,"
     "\"target_concurrency\":3,\"scale_down_after_seconds\":40}}",
     "n|false|1/2/3/40", NULL},
    {"autoscaling empty", "{\"autoscaling\":{}}", "-|-|0/20/80/300", NULL},
    {"autoscaling null", "{\"autoscaling\":null}", "-|-|-", NULL},
    {"autoscaling of nulls", "{\"autoscaling\":{\"min_warm\":null,\"max_active\":null}}",
     "-|-|0/20/80/300", NULL},
    {"zero is not said",
     "{\"autoscaling\":{\"min_warm\":0,\"max_active\":0,\"target_concurrency\":0,"
     "\"scale_down_after_seconds\":0}}",
     "-|-|0/20/80/300", NULL},
    {"negative is not said",
     "{\"autoscaling\":{\"min_warm\":-1,\"max_active\":-1,"
     "\"target_concurrency\":-9,\"scale_down_after_seconds\":-300}}",
     "-|-|0/20/80/300", NULL},
    {"at the maxima",
     "{\"autoscaling\":{\"min_warm\":100,\"max_active\":1000,"
     "\"target_concurrency\":1000,\"scale_down_after_seconds\":86400}}",
     "-|-|100/1000/1000/86400", NULL},
    {"one past them",
     "{\"autoscaling\":{\"min_warm\":101,\"max_active\":1001,"
     "\"target_concurrency\":1001,\"scale_down_after_seconds\":86401}}",
     "-|-|100/1000/1000/86400", NULL},
    {"scale-down at the minimum", "{\"autoscaling\":{\"scale_down_after_seconds\":30}}",
     "-|-|0/20/80/30", NULL},
    {"scale-down below it", "{\"autoscaling\":{\"scale_down_after_seconds\":1}}", "-|-|0/20/80/30",
     NULL},
    {"min_warm below max_active", "{\"autoscaling\":{\"min_warm\":50,\"max_active\":10}}",
     "-|-|10/10/80/300", NULL},
    {"min_warm below the default", "{\"autoscaling\":{\"min_warm\":50}}", "-|-|20/20/80/300", NULL},
    {"the largest number", "{\"autoscaling\":{\"max_active\":9223372036854775807}}",
     "-|-|0/1000/80/300", NULL},
    {"the smallest number", "{\"autoscaling\":{\"min_warm\":-9223372036854775808}}",
     "-|-|0/20/80/300", NULL},
    {"larger than any", "{\"autoscaling\":{\"max_active\":9223372036854775808}}", NULL,
     "too big integer"},
    {"a fraction", "{\"autoscaling\":{\"min_warm\":1.5}}", NULL, "min_warm must be a whole number"},
    {"a number as text", "{\"autoscaling\":{\"max_active\":\"5\"}}", NULL,
     "max_active must be a whole number"},
    {"autoscaling a list", "{\"autoscaling\":[]}", NULL, "autoscaling must be an object"},
    {"autoscaling a number", "{\"autoscaling\":1}", NULL, "autoscaling must be an object"},
    {"autoscaling with more", "{\"autoscaling\":{\"x\":[1]}}", "-|-|0/20/80/300", NULL},
    {"white space around", " \r\n{ } \t", "-|-|-", NULL},
    {"empty body", "", NULL, "the body is empty"},
    {"only space", "  ", NULL, "unexpected token near end of file"},
    {"a list", "[]", NULL, "a JSON object is expected"},
    {"null", "null", NULL, "a JSON object is expected"},
    {"text", "\"x\"", NULL, "a JSON object is expected"},
    {"not JSON", "name=x", NULL, "invalid token"},
    {"cut short", "{\"name\":\"x\"", NULL, "'}' expected"},
    {"something behind it", "{} {}", NULL, "end of file expected"},
    {"a comma too many", "{\"enabled\":true,}", NULL, "string or '}' expected"},
    {"single quotes", "{'name':1}", NULL, "string or '}' expected"},
    {"a key twice", "{\"name\":\"a\",\"name\":\"b\"}", NULL, "duplicate object key"},
    {"depth at the maximum", O10 O10 O10 "{\"a\":{}}" C10 C10 C10, "-|-|-", NULL},
    {"depth one past it", O10 O10 O10 "{\"a\":{\"a\":{}}}" C10 C10 C10, NULL,
     "nested deeper than 32"},
};

/* The whole change as one text. */
static void spell(const struct store_function_change *change, char *out, size_t size)
{
	char scale[64] = "-";
	if (change->has_autoscaling)
		(void)snprintf(scale, sizeof(scale), "%lld/%lld/%lld/%lld", (long long)change->min_warm,
		               (long long)change->max_active, (long long)change->target_concurrency,
		               (long long)change->scale_down_after_seconds);
	(void)snprintf(out, size, "%s|%s|%s", change->name ? change->name : "-",
	               !change->has_enabled ? "-"
	               : change->enabled    ? "true"
	                                    : "false",
	               scale);
}

/* Decodes a copy of exactly its length, so that a read past it is seen. */
static int decode(const char *body, char *out, size_t size, struct err *err)
{
	size_t len = strlen(body);
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, body, len);
	json_t *json = NULL;
	struct store_function_change change;
	int rc = function_update_decode(copy, len, &json, &change, err);
	free(copy);
	if (rc == 0) {
		spell(&change, out, size);
		json_decref(json);
	} else {
		assert_null(json);
	}
	return rc;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		char got[512];
		struct err err = {0};
		int rc = decode(row->body, got, sizeof(got), &err);
		if ((rc == 0) != (row->want != NULL))
			fail_msg("%s: %s", row->name, rc == 0 ? got : err.text);
		if (rc == 0 && strcmp(got, row->want) != 0)
			fail_msg("%s: %s, not %s", row->name, got, row->want);
		if (rc == 0)
			continue;
		assert_int_equal(err.kind, ERR_REJECT);
		if (!strstr(err.text, row->error))
			fail_msg("%s: %s", row->name, err.text);
	}
}

/* ---- what is stored ---- */

#define D30 "123456789012345678901234567890"

static const struct stored_row {
	struct store_autoscaling stored;
	const char *want;
} stored_rows[] = {
    {{NULL, NULL, NULL, NULL}, "0/20/80/300"},
    {{"1", "2", "3", "40"}, "1/2/3/40"},
    {{"0", "0", "0", "0"}, "0/20/80/300"},
    {{"100", "1000", "1000", "86400"}, "100/1000/1000/86400"},
    {{"101", "1001", "1001", "86401"}, "100/1000/1000/86400"},
    {{"9223372036854775807", "9223372036854775808", D30, D30 D30}, "100/1000/1000/86400"},
    {{"-1", "-1", "-9223372036854775809", "-" D30}, "0/20/80/300"},
    {{"21", NULL, NULL, "29"}, "20/20/80/30"},
    {{"1.5", "1.0", "1e3", "-1.5"}, "0/20/80/300"},
    {{"", "many", "12x", " 40"}, "0/20/80/300"},
    {{"true", "{}", "[1]", "+40"}, "0/20/80/300"},
};

static void test_what_is_stored(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(stored_rows); i++) {
		struct store_function_change change = {0};
		char got[512], want[512];
		function_autoscaling_read(&stored_rows[i].stored, &change);
		spell(&change, got, sizeof(got));
		(void)snprintf(want, sizeof(want), "-|-|%s", stored_rows[i].want);
		assert_string_equal(got, want);
	}
}

/* ---- memory that runs out ---- */

static long allocations_left, blocks;

static void *scarce_malloc(size_t size)
{
	if (allocations_left-- <= 0)
		return NULL;
	void *block = malloc(size);
	blocks += block != NULL;
	return block;
}

static void scarce_free(void *block)
{
	blocks -= block != NULL;
	free(block);
}

static void test_every_allocation_fails_once(void **state)
{
	(void)state;
	const char *body = "{\"name\":\"n\",\"enabled\":false,\"other\":[1,2.5,\"\\u00fc\"],"
	                   "\"autoscaling\":{\"min_warm\":1}}";
	char got[512];
	long failures = 0;
	json_set_alloc_funcs(scarce_malloc, scarce_free);
	for (long n = 0;; n++) {
		struct err err = {0};
		allocations_left = n;
		int rc = decode(body, got, sizeof(got), &err);
		assert_int_equal(blocks, 0);
		if (rc == 0)
			break;
		failures++;
		if (err.kind != ERR_RETRY || strcmp(err.code, "ENOMEM") != 0)
			fail_msg("allocation %ld: %s", n, err.text);
	}
	json_set_alloc_funcs(malloc, free);
	assert_string_equal(got, "n|false|1/20/80/300");
	assert_true(failures > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_what_is_stored),
	    cmocka_unit_test(test_every_allocation_fails_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
