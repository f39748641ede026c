/* Where a page begins: the text that a client gets leads back to the same place, and no other text does. */
#include "api/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

#define ID "0123456789abcdeffedcba9876543210"
#define NIL "00000000000000000000000000000000"

static const struct place_case {
	const char *name;
	int64_t created_at_us;
	const char *time, *id; /* as they stand in the text */
} place_cases[] = {
    {"the first microsecond", 1, "0000000000000001", ID},
    {"a day in 2026", 1788008765087086, "00065a2f3b4c5d6e", ID},
    {"the nil UUID", 1788008765087086, "00065a2f3b4c5d6e", NIL},
    {"every byte of a time", 0x1f020304050607, "001f020304050607", ID},
    {"the last microsecond", 0x1fffffffffffff, "001fffffffffffff", ID},
};

static void test_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(place_cases); i++) {
		const struct place_case *c = &place_cases[i];
		char text[CURSOR_SIZE + 1], want[CURSOR_SIZE];
		struct store_page place = {.created_at_us = c->created_at_us}, page;
		struct err err = {0};
		assert_int_equal(uuid_parse(c->id, strlen(c->id), &place.id), 0);
		(void)snprintf(want, sizeof(want), "%s%s", c->time, c->id);
		memset(text, '#', sizeof(text));
		cursor_format(&place, text);
		assert_int_equal(text[CURSOR_SIZE], '#');
		if (strcmp(text, want) != 0)
			fail_msg("%s: %s", c->name, text);
		struct cursor *cursor = cursor_new(NULL, text, &page, &err);
		if (!cursor)
			fail_msg("%s: %s", c->name, err.text);
		assert_int_equal(page.created_at_us, place.created_at_us);
		assert_true(uuid_equal(&page.id, &place.id));
		cursor_free(cursor);
	}
}

#define TIME "00065a2f3b4c5d6e"
#define NOT_OURS "cursor is not one of ours"

static const struct text_case {
	const char *name, *text;
} foreign_cases[] = {
    {"empty", ""},
    {"a number", "1"},
    {"a word", "next"},
    {"a UUID", "01234567-89ab-cdef-fedc-ba9876543210"},
    {"one digit less", TIME "0123456789abcdeffedcba987654321"},
    {"two digits less", TIME "0123456789abcdeffedcba98765432"},
    {"one digit more", TIME ID "0"},
    {"two digits more", TIME ID "00"},
    {"twice", TIME ID TIME ID},
    {"not hex", TIME "0123456789abcdeffedcba987654321g"},
    {"not hex in its time", "00065a2f3b4c5d6x" ID},
    {"a sign", "-0065a2f3b4c5d6e" ID},
    {"space around", " " TIME "0123456789abcdeffedcba9876543 "},
    {"dashes", TIME "01234567-89ab-cdef-fedc-ba987654"},
    {"the beginning", "0000000000000000" ID},
    {"before 1970", "ffffffffffffffff" ID},
    {"the smallest number", "8000000000000000" ID},
    {"the largest number", "7fffffffffffffff" ID},
    {"past the last microsecond", "0020000000000000" ID},
};

static void test_foreign_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(foreign_cases); i++) {
		struct store_page page;
		struct err err = {0};
		struct cursor *cursor = cursor_new("10", foreign_cases[i].text, &page, &err);
		if (cursor || err.kind != ERR_REJECT || strcmp(err.text, NOT_OURS) != 0)
			fail_msg("%s: %s \"%s\"", foreign_cases[i].name, cursor ? "taken" : "refused",
			         err.text);
		assert_string_equal(err.code, "bad_request");
	}
}

static const struct limit_case {
	const char *text; /* NULL: absent */
	int64_t want;     /* -1: refused */
} limit_cases[] = {
    {NULL, 100},    {"1", 1},     {"2", 2},    {"100", 100}, {"999", 999},
    {"1000", 1000}, {"1001", -1}, {"0", -1},   {"-1", -1},   {"", -1},
    {" ", -1},      {"1 ", -1},   {" 1", -1},  {"+1", -1},   {"1.0", -1},
    {"1e2", -1},    {"0x10", -1}, {"ten", -1}, {"10;", -1},  {"1000000000000000000000", -1},
};

static void test_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(limit_cases); i++) {
		const struct limit_case *c = &limit_cases[i];
		struct store_page page;
		struct err err = {0};
		memset(&page, 0xa5, sizeof(page));
		struct cursor *cursor = cursor_new(c->text, NULL, &page, &err);
		if ((cursor ? cursor->limit : -1) != c->want)
			fail_msg("\"%s\": %s", c->text ? c->text : "absent", cursor ? "taken" : err.text);
		if (!cursor) {
			assert_int_equal(err.kind, ERR_REJECT);
			assert_string_equal(err.text, "limit must be between 1 and 1000");
			continue;
		}
		assert_int_equal(page.created_at_us, 0); /* from the beginning */
		assert_true(uuid_is_nil(&page.id));
		assert_false(cursor->more);
		assert_int_equal(cursor->last.created_at_us, 0);
		cursor_free(cursor);
	}
}

static void test_both(void **state)
{
	(void)state;
	struct store_page page;
	struct err err = {0};
	struct cursor *cursor = cursor_new("7", TIME ID, &page, &err);
	assert_non_null(cursor);
	assert_int_equal(cursor->limit, 7);
	assert_int_equal(page.created_at_us, 1788008765087086);
	cursor_free(cursor);
	cursor_free(NULL);
	assert_null(cursor_new("0", "x", &page, &err));
	assert_string_equal(err.text, "limit must be between 1 and 1000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_there_and_back),
	    cmocka_unit_test(test_foreign_ones),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_both),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
