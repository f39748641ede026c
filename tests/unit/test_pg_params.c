#include "sql/pg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sql/pg_private.h"

static const struct uuid known = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba,
                                   0x98, 0x76, 0x54, 0x32, 0x10}};
#define KNOWN "01234567-89ab-cdef-fedc-ba9876543210"

/* One parameter, or one item of an array. */
enum kind { NOTHING, A_NULL, TEXT, I64, BOOL, UUID, TEAM };
struct value {
	enum kind kind;
	const char *text;
	int64_t number;
};

static void add(struct pg_params *params, const struct value *v)
{
	static const struct uuid nil;
	switch (v->kind) {
	case NOTHING: return;
	case A_NULL: pg_param_null(params); return;
	case TEXT: pg_param_text(params, v->text); return;
	case I64: pg_param_i64(params, v->number); return;
	case BOOL: pg_param_bool(params, v->number); return;
	case UUID: pg_param_uuid(params, v->number ? &known : &nil); return;
	case TEAM: pg_param_team(params, v->number ? &known : &nil); return;
	}
}

static void add_item(struct pg_params *params, const struct value *v)
{
	static const struct uuid nil;
	switch (v->kind) {
	case NOTHING: return;
	case A_NULL: pg_item_text(params, NULL); return;
	case TEXT: pg_item_text(params, v->text); return;
	case I64: pg_item_i64(params, v->number); return;
	case BOOL: pg_item_bool(params, v->number); return;
	case UUID: pg_item_uuid(params, v->number ? &known : &nil); return;
	case TEAM: fail_msg("a team is no item");
	}
}

static const struct value_case {
	const char *name;
	struct value value;
	const char *want; /* NULL: SQL NULL */
} value_cases[] = {
    {"null", {A_NULL, NULL, 0}, NULL},
    {"text", {TEXT, "hello", 0}, "hello"},
    {"empty text", {TEXT, "", 0}, ""},
    {"no text", {TEXT, NULL, 0}, NULL},
    {"text is never quoted", {TEXT, "a'b\"c\\d{e},f;--", 0}, "a'b\"c\\d{e},f;--"},
    {"the word NULL is a text", {TEXT, "NULL", 0}, "NULL"},
    {"line ends and UTF-8", {TEXT, "a\n\xc3\xa9", 0}, "a\n\xc3\xa9"},
    {"zero", {I64, NULL, 0}, "0"},
    {"highest", {I64, NULL, INT64_MAX}, "9223372036854775807"},
    {"lowest", {I64, NULL, INT64_MIN}, "-9223372036854775808"},
    {"true", {BOOL, NULL, 1}, "t"},
    {"false", {BOOL, NULL, 0}, "f"},
    {"uuid", {UUID, NULL, 1}, KNOWN},
    {"nil uuid", {UUID, NULL, 0}, NULL},
    {"team", {TEAM, NULL, 1}, KNOWN},
    {"nil team", {TEAM, NULL, 0}, NULL},
};

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(value_cases); i++) {
		const struct value_case *c = &value_cases[i];
		const char *values[PG_PARAMS_MAX];
		struct err err = {0};
		struct pg_params AUTO(pg_params_done) params;
		pg_params_init(&params);
		add(&params, &c->value);
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_int_equal(params.count, 1);
		if (!same(values[0], c->want))
			fail_msg("%s: %s", c->name, values[0] ? values[0] : "NULL");
	}
}

/* All of them in one statement: none reaches into the next. */
static void test_many_values(void **state)
{
	(void)state;
	const char *values[PG_PARAMS_MAX];
	struct err err = {0};
	struct pg_params AUTO(pg_params_done) params;
	pg_params_init(&params);
	for (int round = 0; round < 3; round++) {
		pg_params_clear(&params);
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_int_equal(params.count, 0);
		for (size_t i = 0; i < N_OF(value_cases); i++)
			add(&params, &value_cases[i].value);
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_int_equal(params.count, N_OF(value_cases));
		for (size_t i = 0; i < N_OF(value_cases); i++)
			assert_true(same(values[i], value_cases[i].want));
	}
}

/* Which parameter is the team: none, or the last that was given as one. */
static void test_team(void **state)
{
	(void)state;
	static const struct uuid nil;
	struct pg_params AUTO(pg_params_done) params;
	pg_params_init(&params);
	pg_param_uuid(&params, &known);
	assert_int_equal(params.team, 0);
	pg_param_team(&params, &known);
	pg_param_text(&params, "x");
	assert_int_equal(params.team, 2);
	assert_string_equal(params.text.data + params.at[params.team - 1], KNOWN);
	pg_params_clear(&params);
	assert_int_equal(params.team, 0);
	pg_param_team(&params, &nil);
	assert_int_equal(params.team, 1);
	assert_int_equal(params.at[0], -1);
	pg_params_done(&params);
	assert_int_equal(params.team, 0);
}

static const struct array_case {
	const char *name;
	struct value items[4];
	const char *want;
} array_cases[] = {
    {"empty", {{0}}, "{}"},
    {"one text", {{TEXT, "a", 0}}, "{\"a\"}"},
    {"texts", {{TEXT, "a", 0}, {TEXT, "b", 0}, {TEXT, "c", 0}}, "{\"a\",\"b\",\"c\"}"},
    {"empty text", {{TEXT, "", 0}}, "{\"\"}"},
    {"empty texts", {{TEXT, "", 0}, {TEXT, "", 0}}, "{\"\",\"\"}"},
    {"nulls", {{A_NULL, NULL, 0}, {A_NULL, NULL, 0}}, "{NULL,NULL}"},
    {"null among texts", {{TEXT, "a", 0}, {A_NULL, NULL, 0}, {TEXT, "b", 0}}, "{\"a\",NULL,\"b\"}"},
    {"the word NULL is a text", {{TEXT, "NULL", 0}, {TEXT, "null", 0}}, "{\"NULL\",\"null\"}"},
    {"quote", {{TEXT, "a\"b", 0}}, "{\"a\\\"b\"}"},
    {"backslash", {{TEXT, "a\\b", 0}}, "{\"a\\\\b\"}"},
    {"backslash at the end", {{TEXT, "a\\", 0}, {TEXT, "b", 0}}, "{\"a\\\\\",\"b\"}"},
    {"backslash and quote", {{TEXT, "\\\"", 0}}, "{\"\\\\\\\"\"}"},
    {"only quotes", {{TEXT, "\"\"", 0}}, "{\"\\\"\\\"\"}"},
    {"braces and commas", {{TEXT, "{a},{b}", 0}}, "{\"{a},{b}\"}"},
    {"ends in an opening brace", {{TEXT, "{", 0}, {TEXT, "{", 0}}, "{\"{\",\"{\"}"},
    {"spaces", {{TEXT, " a ", 0}}, "{\" a \"}"},
    {"line ends", {{TEXT, "a\nb\tc", 0}}, "{\"a\nb\tc\"}"},
    {"apostrophes", {{TEXT, "a'b", 0}}, "{\"a'b\"}"},
    {"UTF-8", {{TEXT, "\xc3\xa9", 0}}, "{\"\xc3\xa9\"}"},
    {"numbers",
     {{I64, NULL, 0}, {I64, NULL, -5}, {I64, NULL, INT64_MAX}, {I64, NULL, INT64_MIN}},
     "{0,-5,9223372036854775807,-9223372036854775808}"},
    {"bools", {{BOOL, NULL, 1}, {BOOL, NULL, 0}}, "{t,f}"},
    {"uuids", {{UUID, NULL, 1}, {UUID, NULL, 0}, {UUID, NULL, 1}}, "{" KNOWN ",NULL," KNOWN "}"},
    {"nil uuid first", {{UUID, NULL, 0}, {UUID, NULL, 1}}, "{NULL," KNOWN "}"},
};

static void add_array(struct pg_params *params, const struct array_case *c)
{
	pg_param_array(params);
	for (size_t n = 0; n < N_OF(c->items) && c->items[n].kind != NOTHING; n++)
		add_item(params, &c->items[n]);
	pg_param_array_end(params);
}

/* Alone, and with an array before and a text behind. */
static void test_arrays(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(array_cases); i++) {
		const struct array_case *c = &array_cases[i];
		const char *values[PG_PARAMS_MAX];
		struct err err = {0};
		struct pg_params AUTO(pg_params_done) params;
		pg_params_init(&params);
		add_array(&params, c);
		pg_param_array(&params);
		pg_param_array_end(&params);
		add_array(&params, c);
		pg_param_text(&params, "x");
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_int_equal(params.count, 4);
		if (!same(values[0], c->want) || !same(values[2], c->want))
			fail_msg("%s: %s %s", c->name, values[0], values[2]);
		assert_string_equal(values[1], "{}");
		assert_string_equal(values[3], "x");
	}
}

/* ---- bounds ---- */

static void assert_too_large(const struct pg_params *params)
{
	const char *values[PG_PARAMS_MAX];
	struct err err = {0};
	assert_int_equal(pg_params_values(params, values, &err), -1);
	assert_int_equal(err.kind, ERR_REJECT);
	assert_string_equal(err.code, "params");
}

/* Sixteen of each kind, and one more. */
static void test_sixteen_and_one_more(void **state)
{
	(void)state;
	static const struct value kinds[] = {{A_NULL, NULL, 0}, {TEXT, "x", 0},  {TEXT, NULL, 0},
	                                     {I64, NULL, 1},    {BOOL, NULL, 1}, {UUID, NULL, 1},
	                                     {UUID, NULL, 0},   {TEAM, NULL, 1}};
	for (size_t i = 0; i < N_OF(kinds); i++) {
		const char *values[PG_PARAMS_MAX];
		struct err err = {0};
		struct pg_params AUTO(pg_params_done) params;
		pg_params_init(&params);
		for (int n = 0; n < PG_PARAMS_MAX; n++)
			add(&params, &kinds[i]);
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_int_equal(params.count, PG_PARAMS_MAX);
		add(&params, &kinds[i]);
		assert_int_equal(params.count, PG_PARAMS_MAX);
		assert_too_large(&params);
		pg_params_clear(&params);
		add(&params, &kinds[i]);
		assert_int_equal(pg_params_values(&params, values, &err), 0);
	}
}

static void test_sixteen_arrays_and_one_more(void **state)
{
	(void)state;
	const char *values[PG_PARAMS_MAX];
	struct err err = {0};
	struct pg_params AUTO(pg_params_done) params;
	pg_params_init(&params);
	for (int n = 0; n < PG_PARAMS_MAX; n++)
		add_array(&params, &array_cases[2]);
	assert_int_equal(pg_params_values(&params, values, &err), 0);
	assert_string_equal(values[PG_PARAMS_MAX - 1], array_cases[2].want);
	add_array(&params, &array_cases[2]);
	assert_int_equal(params.count, PG_PARAMS_MAX);
	assert_too_large(&params);
}

static char *letters(size_t len)
{
	char *text = malloc(len + 1);
	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

/* A text with its NUL fills the whole of it; one byte more does not fit. */
static void test_bytes_at_the_maximum_and_one_past_it(void **state)
{
	(void)state;
	char *text = letters(PG_PARAMS_BYTES_MAX);
	for (int past = 0; past <= 1; past++) {
		const char *values[PG_PARAMS_MAX];
		struct err err = {0};
		struct pg_params AUTO(pg_params_done) params;
		pg_params_init(&params);
		pg_param_text(&params, text + 1 - past);
		if (past) {
			assert_too_large(&params);
			continue;
		}
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_int_equal(strlen(values[0]), PG_PARAMS_BYTES_MAX - 1);
		pg_param_null(&params); /* takes no bytes */
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_null(values[1]);
		pg_param_text(&params, ""); /* takes one */
		assert_too_large(&params);
		pg_param_null(&params);
		assert_too_large(&params);
	}
	free(text);
}

/* {"x..."} and its NUL. */
static void test_bytes_of_an_array(void **state)
{
	(void)state;
	enum { AROUND = 5 };
	char *text = letters(PG_PARAMS_BYTES_MAX - AROUND + 1);
	for (int past = 0; past <= 1; past++) {
		const char *values[PG_PARAMS_MAX];
		struct err err = {0};
		struct pg_params AUTO(pg_params_done) params;
		pg_params_init(&params);
		pg_param_array(&params);
		pg_item_text(&params, text + 1 - past);
		pg_param_array_end(&params);
		if (past) {
			assert_too_large(&params);
			continue;
		}
		assert_int_equal(pg_params_values(&params, values, &err), 0);
		assert_int_equal(strlen(values[0]), PG_PARAMS_BYTES_MAX - 1);
	}
	free(text);
}

/* Every way to add to what has failed. */
static void test_failed_sticks(void **state)
{
	(void)state;
	char *text = letters(PG_PARAMS_BYTES_MAX);
	struct pg_params AUTO(pg_params_done) params;
	pg_params_init(&params);
	pg_param_text(&params, text);
	for (size_t i = 0; i < N_OF(value_cases); i++)
		add(&params, &value_cases[i].value);
	for (size_t i = 0; i < N_OF(array_cases); i++)
		add_array(&params, &array_cases[i]);
	assert_too_large(&params);
	assert_in_range(params.count, 0, PG_PARAMS_MAX);
	free(text);
}

static void test_nothing(void **state)
{
	(void)state;
	const char *values[PG_PARAMS_MAX];
	struct err err = {0};
	struct pg_params zero = {0};
	pg_params_done(&zero);
	pg_params_clear(&zero);
	assert_int_equal(pg_params_values(NULL, values, &err), 0); /* a statement without any */
	assert_int_equal(pg_params_values(&zero, values, &err), 0);
	struct pg_params params;
	pg_params_init(&params);
	pg_param_text(&params, "x");
	pg_params_done(&params);
	assert_int_equal(params.count, 0);
	pg_param_text(&params, "y"); /* as new */
	assert_int_equal(pg_params_values(&params, values, &err), 0);
	assert_string_equal(values[0], "y");
	pg_params_done(&params);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_many_values),
	    cmocka_unit_test(test_team),
	    cmocka_unit_test(test_arrays),
	    cmocka_unit_test(test_sixteen_and_one_more),
	    cmocka_unit_test(test_sixteen_arrays_and_one_more),
	    cmocka_unit_test(test_bytes_at_the_maximum_and_one_past_it),
	    cmocka_unit_test(test_bytes_of_an_array),
	    cmocka_unit_test(test_failed_sticks),
	    cmocka_unit_test(test_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
