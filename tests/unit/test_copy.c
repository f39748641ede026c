/* Rows of COPY, as Postgres' text format wants them. */
#include "sql/copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct text_case {
	const char *name, *value, *want;
} text_cases[] = {
    {"null", NULL, "\\N"},
    {"empty", "", ""},
    {"plain", "sb-1", "sb-1"},
    {"the null marker itself", "\\N", "\\\\N"},
    {"the end marker itself", "\\.", "\\\\."},
    {"tab", "a\tb", "a\\tb"},
    {"newline", "a\nb", "a\\nb"},
    {"carriage return", "a\r\nb", "a\\r\\nb"},
    {"backslash", "a\\b", "a\\\\b"},
    {"only special", "\t\n\r\\", "\\t\\n\\r\\\\"},
    {"at both ends", "\tx\t", "\\tx\\t"},
    {"quotes and braces stay", "\"'{},", "\"'{},"},
    {"other control characters stay", "\x01\x0b\x7f", "\x01\x0b\x7f"},
    {"UTF-8 stays", "\xc3\xa9", "\xc3\xa9"},
};

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(text_cases); i++) {
		const struct text_case *c = &text_cases[i];
		AUTO(buf_done) struct buf rows;
		char want[64];
		buf_init(&rows, 100);
		copy_text(&rows, "x");
		copy_text(&rows, c->value);
		copy_row_end(&rows);
		(void)snprintf(want, sizeof(want), "x\t%s\n", c->want);
		if (rows.failed || strcmp(rows.data, want) != 0)
			fail_msg("%s: \"%s\" instead of \"%s\"", c->name, rows.data, want);
	}
}

static void test_empty_values_keep_their_columns(void **state)
{
	AUTO(buf_done) struct buf rows;
	(void)state;
	buf_init(&rows, 100);
	for (int row = 0; row < 2; row++) {
		copy_text(&rows, "");
		copy_text(&rows, NULL);
		copy_text(&rows, "");
		copy_row_end(&rows);
	}
	assert_string_equal(rows.data, "\t\\N\t\n\t\\N\t\n");
}

static void test_other_types(void **state)
{
	static const struct uuid known = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc,
	                                   0xba, 0x98, 0x76, 0x54, 0x32, 0x10}},
	                         nil;
	AUTO(buf_done) struct buf rows;
	(void)state;
	buf_init(&rows, 200);
	copy_uuid(&rows, &known);
	copy_uuid(&rows, &nil);
	copy_time(&rows, 0);
	copy_time(&rows, INT64_MIN);
	copy_time(&rows, INT64_MAX);
	copy_row_end(&rows);
	assert_string_equal(rows.data,
	                    "01234567-89ab-cdef-fedc-ba9876543210\t\\N\t1970-01-01T00:00:00.000000Z\t"
	                    "0001-01-01T00:00:00.000000Z\t9999-12-31T23:59:59.999999Z\n");
}

/* A row that fits to its last byte, and one that is a byte longer. */
static void test_at_the_maximum(void **state)
{
	static const struct {
		size_t max;
		bool failed;
	} cases[] = {{8, false}, {7, true}};
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		AUTO(buf_done) struct buf rows;
		buf_init(&rows, cases[i].max);
		copy_text(&rows, "abc");
		copy_text(&rows, "d\t");
		copy_row_end(&rows);
		assert_int_equal(rows.failed, cases[i].failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_empty_values_keep_their_columns),
	    cmocka_unit_test(test_other_types),
	    cmocka_unit_test(test_at_the_maximum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
