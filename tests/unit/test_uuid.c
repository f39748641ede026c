#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct uuid known = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba,
                                   0x98, 0x76, 0x54, 0x32, 0x10}};
#define PLAIN "01234567-89ab-cdef-fedc-ba9876543210"

/* Which parsers take a text as `known`. */
enum { NEITHER, ANY_SPELLING, PLAIN_TOO };
static const struct parse_case {
	const char *name, *text;
	int taken_by;
} cases[] = {
    {"plain", PLAIN, PLAIN_TOO},
    {"upper case", "01234567-89AB-CDEF-FEDC-BA9876543210", PLAIN_TOO},
    {"mixed case", "01234567-89aB-CdEf-feDC-Ba9876543210", PLAIN_TOO},
    {"no dashes", "0123456789abcdeffedcba9876543210", ANY_SPELLING},
    {"no dashes, upper case", "0123456789ABCDEFFEDCBA9876543210", ANY_SPELLING},
    {"braces", "{" PLAIN "}", ANY_SPELLING},
    {"urn", "urn:uuid:" PLAIN, ANY_SPELLING},
    {"urn, upper case", "URN:UUID:" PLAIN, ANY_SPELLING},
    {"urn, mixed case", "uRn:UuId:" PLAIN, ANY_SPELLING},
    {"empty", "", NEITHER},
    {"a slug", "my-function", NEITHER},
    {"a slug of 32 letters", "my-function-my-function-my-funct", NEITHER},
    {"a slug of 36 letters", "my-function-my-function-my-function-", NEITHER},
    {"one short", "01234567-89ab-cdef-fedc-ba987654321", NEITHER},
    {"one long", PLAIN "0", NEITHER},
    {"31 digits", "0123456789abcdeffedcba987654321", NEITHER},
    {"33 digits", "0123456789abcdeffedcba98765432100", NEITHER},
    {"digit not hex", "01234567-89ab-cdef-fedc-ba987654321g", NEITHER},
    {"first digit not hex", "g1234567-89ab-cdef-fedc-ba9876543210", NEITHER},
    {"bare digit not hex", "0123456789abcdeffedcba987654321g", NEITHER},
    {"no first dash", "0123456789ab-cdef-fedc-ba98765432100", NEITHER},
    {"first dash elsewhere", "0123456-789ab-cdef-fedc-ba9876543210", NEITHER},
    {"second dash elsewhere", "01234567-89a-bcdef-fedc-ba9876543210", NEITHER},
    {"third dash elsewhere", "01234567-89ab-cde-ffedc-ba9876543210", NEITHER},
    {"fourth dash elsewhere", "01234567-89ab-cdef-fedcb-a9876543210", NEITHER},
    {"dash for a digit", "-1234567-89ab-cdef-fedc-ba9876543210", NEITHER},
    {"digit for the first dash", "01234567089ab-cdef-fedc-ba9876543210", NEITHER},
    {"digit for the second dash", "01234567-89ab0cdef-fedc-ba9876543210", NEITHER},
    {"digit for the third dash", "01234567-89ab-cdef0fedc-ba9876543210", NEITHER},
    {"digit for the fourth dash", "01234567-89ab-cdef-fedc0ba9876543210", NEITHER},
    {"underscores", "01234567_89ab_cdef_fedc_ba9876543210", NEITHER},
    {"space in front", " " PLAIN, NEITHER},
    {"space behind", PLAIN " ", NEITHER},
    {"spaces around", " " PLAIN " ", NEITHER},
    {"only an opening brace", "{" PLAIN "-", NEITHER},
    {"only a closing brace", "-" PLAIN "}", NEITHER},
    {"parentheses", "(" PLAIN ")", NEITHER},
    {"braces without dashes", "{0123456789abcdeffedcba9876543210}", NEITHER},
    {"urn without dashes", "urn:uuid:0123456789abcdeffedcba9876543210", NEITHER},
    {"urn with braces", "urn:uuid:{" PLAIN "}", NEITHER},
    {"another urn", "urn:oid::" PLAIN, NEITHER},
    {"urn only", "urn:uuid:", NEITHER},
};

/* In memory of exactly its size, so that a sanitizer sees a read past it. */
static int parse(int (*fn)(const char *, size_t, struct uuid *), const char *text, struct uuid *ret)
{
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	int rc = fn(copy, len, ret);
	free(copy);
	return rc;
}

static void check(const struct parse_case *c, int (*fn)(const char *, size_t, struct uuid *),
                  const char *fn_name, int taken)
{
	struct uuid before, uuid;
	memset(&before, 0x5a, sizeof(before));
	uuid = before;
	int rc = parse(fn, c->text, &uuid);
	if (rc != (taken ? 0 : -1) || !uuid_equal(&uuid, taken ? &known : &before))
		fail_msg("%s: %s says %d", c->name, fn_name, rc);
}

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check(&cases[i], uuid_parse, "uuid_parse", cases[i].taken_by != NEITHER);
		check(&cases[i], uuid_parse_plain, "uuid_parse_plain", cases[i].taken_by == PLAIN_TOO);
	}
}

static void test_format(void **state)
{
	(void)state;
	char text[UUID_TEXT_SIZE];
	uuid_format(&known, text);
	assert_string_equal(text, PLAIN);
	struct uuid nil = {0}, ones;
	uuid_format(&nil, text);
	assert_string_equal(text, "00000000-0000-0000-0000-000000000000");
	memset(&ones, 0xff, sizeof(ones));
	uuid_format(&ones, text);
	assert_string_equal(text, "ffffffff-ffff-ffff-ffff-ffffffffffff");
}

static void test_equal_and_nil(void **state)
{
	(void)state;
	struct uuid nil = {0};
	assert_true(uuid_is_nil(&nil));
	assert_false(uuid_is_nil(&known));
	assert_true(uuid_equal(&known, &known));
	for (size_t i = 0; i < sizeof(known.bytes); i++) {
		struct uuid other = known, one = nil;
		other.bytes[i] ^= 1;
		one.bytes[i] = 0x80;
		assert_false(uuid_equal(&known, &other));
		assert_false(uuid_is_nil(&one));
	}
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

/* Version 4, variant 1, every other bit sometimes set and sometimes not, all different. */
static void test_random(void **state)
{
	(void)state;
	enum { COUNT = 2000 };
	static struct uuid all[COUNT];
	struct uuid ever_set = {0}, ever_clear = {0};
	for (int i = 0; i < COUNT; i++) {
		all[i] = uuid_random();
		assert_int_equal(all[i].bytes[6] >> 4, 4);
		assert_int_equal(all[i].bytes[8] >> 6, 2);
		for (size_t n = 0; n < sizeof(all[i].bytes); n++) {
			ever_set.bytes[n] |= all[i].bytes[n];
			ever_clear.bytes[n] |= (uint8_t)~all[i].bytes[n];
		}
		char text[UUID_TEXT_SIZE];
		struct uuid back;
		uuid_format(&all[i], text);
		assert_int_equal(uuid_parse_plain(text, strlen(text), &back), 0);
		assert_true(uuid_equal(&all[i], &back));
	}
	for (size_t n = 0; n < sizeof(ever_set.bytes); n++) {
		assert_int_equal(ever_set.bytes[n], n == 6 ? 0x4f : n == 8 ? 0xbf : 0xff);
		assert_int_equal(ever_clear.bytes[n], n == 6 ? 0xbf : n == 8 ? 0x7f : 0xff);
	}
	qsort(all, COUNT, sizeof(all[0]), by_bytes);
	for (int i = 1; i < COUNT; i++)
		assert_false(uuid_equal(&all[i - 1], &all[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_format),
	    cmocka_unit_test(test_equal_and_nil),
	    cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
