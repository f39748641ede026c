#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct i64_case {
	const char *name, *text;
	int64_t min, max;
	int want_rc;
	int64_t want;
} i64_cases[] = {
    {"zero", "0", INT64_MIN, INT64_MAX, 0, 0},
    {"minus zero", "-0", INT64_MIN, INT64_MAX, 0, 0},
    {"leading zeros", "007", INT64_MIN, INT64_MAX, 0, 7},
    {"one", "1", INT64_MIN, INT64_MAX, 0, 1},
    {"minus one", "-1", INT64_MIN, INT64_MAX, 0, -1},
    {"highest", "9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX},
    {"past the highest", "9223372036854775808", INT64_MIN, INT64_MAX, -1, 0},
    {"ten times the highest", "92233720368547758070", INT64_MIN, INT64_MAX, -1, 0},
    {"lowest", "-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN},
    {"past the lowest", "-9223372036854775809", INT64_MIN, INT64_MAX, -1, 0},
    {"past 64 bits", "18446744073709551616", INT64_MIN, INT64_MAX, -1, 0},
    {"past 64 bits and 1", "18446744073709551617", INT64_MIN, INT64_MAX, -1, 0},
    {"twenty digits", "99999999999999999999", INT64_MIN, INT64_MAX, -1, 0},
    {"a hundred digits",
     "100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "0000000",
     INT64_MIN, INT64_MAX, -1, 0},
    {"minimum", "5", 5, 9, 0, 5},
    {"one below it", "4", 5, 9, -1, 0},
    {"maximum", "9", 5, 9, 0, 9},
    {"one past it", "10", 5, 9, -1, 0},
    {"negative range", "-5", -9, -5, 0, -5},
    {"past a negative range", "-4", -9, -5, -1, 0},
    {"zero outside", "0", 1, INT64_MAX, -1, 0},
    {"range upside down", "7", 9, 5, -1, 0},
    {"empty", "", INT64_MIN, INT64_MAX, -1, 0},
    {"sign only", "-", INT64_MIN, INT64_MAX, -1, 0},
    {"two signs", "--1", INT64_MIN, INT64_MAX, -1, 0},
    {"plus", "+1", INT64_MIN, INT64_MAX, -1, 0},
    {"sign behind", "1-", INT64_MIN, INT64_MAX, -1, 0},
    {"space in front", " 1", INT64_MIN, INT64_MAX, -1, 0},
    {"space behind", "1 ", INT64_MIN, INT64_MAX, -1, 0},
    {"line end", "1\n", INT64_MIN, INT64_MAX, -1, 0},
    {"letter", "1x", INT64_MIN, INT64_MAX, -1, 0},
    {"hex", "0x10", INT64_MIN, INT64_MAX, -1, 0},
    {"exponent", "1e3", INT64_MIN, INT64_MAX, -1, 0},
    {"point", "1.0", INT64_MIN, INT64_MAX, -1, 0},
    {"comma", "1,000", INT64_MIN, INT64_MAX, -1, 0},
    {"before the digits", "/", INT64_MIN, INT64_MAX, -1, 0},
    {"after the digits", ":", INT64_MIN, INT64_MAX, -1, 0},
    {"other digits", "\xd9\xa1", INT64_MIN, INT64_MAX, -1, 0},
};

/* In memory of exactly its size, so that a sanitizer sees a read past it. */
static char *exact(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	return copy;
}

static void test_i64(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(i64_cases) / sizeof(i64_cases[0]); i++) {
		const struct i64_case *c = &i64_cases[i];
		size_t len = strlen(c->text);
		char *text = exact(c->text, len);
		int64_t value = 4242;
		int rc = num_i64(text, len, c->min, c->max, &value);
		free(text);
		if (rc != c->want_rc || value != (rc == 0 ? c->want : 4242))
			fail_msg("%s: %d, %lld", c->name, rc, (long long)value);
	}
}

static void test_i64_reads_only_its_length(void **state)
{
	(void)state;
	int64_t value = 0;
	assert_int_equal(num_i64("123456", 3, 0, 1000, &value), 0);
	assert_int_equal(value, 123);
	assert_int_equal(num_i64("12\0003", 4, 0, 1000, &value), -1);
	assert_int_equal(num_i64(NULL, 0, 0, 1000, &value), -1);
	assert_int_equal(value, 123);
}

static const struct hex_case {
	const char *name, *text;
	int want_rc;
	uint8_t want[4];
} hex_cases[] = {
    {"nothing", "", 0, {0}},
    {"zero", "00000000", 0, {0, 0, 0, 0}},
    {"all ones", "ffffffff", 0, {0xff, 0xff, 0xff, 0xff}},
    {"upper case", "ABCDEF09", 0, {0xab, 0xcd, 0xef, 0x09}},
    {"lower case", "abcdef09", 0, {0xab, 0xcd, 0xef, 0x09}},
    {"mixed", "aBcDeF90", 0, {0xab, 0xcd, 0xef, 0x90}},
    {"order of the halves", "12345678", 0, {0x12, 0x34, 0x56, 0x78}},
    {"odd", "123", -1, {0}},
    {"one digit", "1", -1, {0}},
    {"g", "0g000000", -1, {0}},
    {"G at the end", "0000000G", -1, {0}},
    {"before 0", "0/000000", -1, {0}},
    {"after 9", ":0000000", -1, {0}},
    {"before A", "@0000000", -1, {0}},
    {"before a", "`0000000", -1, {0}},
    {"prefix", "0x000000", -1, {0}},
    {"space", "00 00000", -1, {0}},
    {"high byte",
     "\xb1"
     "0000000",
     -1,
     {0}},
};

static void test_unhex(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hex_cases) / sizeof(hex_cases[0]); i++) {
		const struct hex_case *c = &hex_cases[i];
		static const uint8_t untouched[4] = {0x5a, 0x5a, 0x5a, 0x5a};
		uint8_t bytes[4] = {0x5a, 0x5a, 0x5a, 0x5a};
		size_t len = strlen(c->text);
		char *text = exact(c->text, len);
		int rc = num_unhex(text, len, bytes);
		free(text);
		size_t got = rc == 0 ? len / 2 : 0;
		if (rc != c->want_rc || memcmp(bytes, c->want, got) != 0 ||
		    memcmp(bytes + got, untouched, sizeof(bytes) - got) != 0)
			fail_msg("%s", c->name);
	}
}

static void test_hex(void **state)
{
	(void)state;
	uint8_t bytes[256], back[256];
	char text[513];
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	num_hex(bytes, sizeof(bytes), text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
	assert_memory_equal(text + 508, "feff", 5);
	assert_int_equal(num_unhex(text, 512, back), 0);
	assert_memory_equal(bytes, back, sizeof(bytes));
	num_hex(bytes, 0, text);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_i64),
	    cmocka_unit_test(test_i64_reads_only_its_length),
	    cmocka_unit_test(test_unhex),
	    cmocka_unit_test(test_hex),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
