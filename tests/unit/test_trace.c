#include "base/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define SPAN_ID "b7ad6b7169203331"

static const struct valid_case {
	const char *name, *text;
	bool want;
} valid_cases[] = {
    /* W3C Trace Context, sections 3.2.2 to 3.2.4 and 4 */
    {"the standard's example", "00-" TRACE_ID "-" SPAN_ID "-01", true},
    {"not sampled", "00-" TRACE_ID "-" SPAN_ID "-00", true},
    {"flags of the future", "00-" TRACE_ID "-" SPAN_ID "-ff", true},
    {"trace id of one bit", "00-00000000000000000000000000000001-" SPAN_ID "-01", true},
    {"span id of one bit", "00-" TRACE_ID "-8000000000000000-01", true},
    {"trace id all zero", "00-00000000000000000000000000000000-" SPAN_ID "-01", false},
    {"span id all zero", "00-" TRACE_ID "-0000000000000000-01", false},
    {"version ff", "ff-" TRACE_ID "-" SPAN_ID "-01", false},
    {"version ff and more", "ff-" TRACE_ID "-" SPAN_ID "-01-x", false},
    {"version not hex", "0g-" TRACE_ID "-" SPAN_ID "-01", false},
    {"version upper case", "CC-" TRACE_ID "-" SPAN_ID "-01", false},
    {"higher version", "01-" TRACE_ID "-" SPAN_ID "-01", true},
    {"highest version", "fe-" TRACE_ID "-" SPAN_ID "-01", true},
    {"higher version with more", "cc-" TRACE_ID "-" SPAN_ID "-01-what-the-future", true},
    {"higher version with a dash", "cc-" TRACE_ID "-" SPAN_ID "-01-", true},
    {"higher version with more glued on", "cc-" TRACE_ID "-" SPAN_ID "-01.what", false},
    {"higher version with a digit more", "cc-" TRACE_ID "-" SPAN_ID "-011", false},
    {"version 00 with more", "00-" TRACE_ID "-" SPAN_ID "-01-", false},
    {"version 00 with a space", "00-" TRACE_ID "-" SPAN_ID "-01 ", false},
    {"upper-case trace id", "00-0AF7651916CD43DD8448EB211C80319C-" SPAN_ID "-01", false},
    {"upper-case span id", "00-" TRACE_ID "-B7AD6B7169203331-01", false},
    {"upper-case flags", "00-" TRACE_ID "-" SPAN_ID "-0A", false},
    {"trace id not hex", "00-0af7651916cd43dd8448eb211c80319g-" SPAN_ID "-01", false},
    {"span id not hex", "00-" TRACE_ID "-b7ad6b716920333.-01", false},
    {"version not hex, first digit", "g0-" TRACE_ID "-" SPAN_ID "-01", false},
    {"trace id not hex, first digit", "00-gaf7651916cd43dd8448eb211c80319c-" SPAN_ID "-01", false},
    {"span id not hex, first digit", "00-" TRACE_ID "-g7ad6b7169203331-01", false},
    {"flags not hex, first digit", "00-" TRACE_ID "-" SPAN_ID "-g1", false},
    {"flags not hex", "00-" TRACE_ID "-" SPAN_ID "-0x", false},
    {"no first dash", "00." TRACE_ID "-" SPAN_ID "-01", false},
    {"no second dash", "00-" TRACE_ID "." SPAN_ID "-01", false},
    {"no third dash", "00-" TRACE_ID "-" SPAN_ID ".01", false},
    {"no flags", "00-" TRACE_ID "-" SPAN_ID, false},
    {"one digit of flags", "00-" TRACE_ID "-" SPAN_ID "-1", false},
    {"short trace id", "00-af7651916cd43dd8448eb211c80319c-" SPAN_ID "-01", false},
    {"long trace id", "00-" TRACE_ID "0-" SPAN_ID "-01", false},
    {"space in front", " 00-" TRACE_ID "-" SPAN_ID "-01", false},
    {"empty", "", false},
    {"dashes", "--------------------------------------------------------", false},
    {"high bytes", "00-" TRACE_ID "-" SPAN_ID "-\xff\xff", false},
};

/* In memory of exactly its size, so that a sanitizer sees a read past it. */
static bool valid(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	bool is = trace_valid(copy, len);
	free(copy);
	return is;
}

static void test_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(valid_cases); i++)
		if (valid(valid_cases[i].text, strlen(valid_cases[i].text)) != valid_cases[i].want)
			fail_msg("%s", valid_cases[i].name);
}

static void test_every_beginning_is_refused(void **state)
{
	(void)state;
	static const char whole[] = "00-" TRACE_ID "-" SPAN_ID "-01";
	assert_int_equal(sizeof(whole), TRACE_SIZE);
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
		assert_false(valid(whole, len));
	assert_false(valid(whole, sizeof(whole))); /* with its NUL */
}

static void test_new(void **state)
{
	(void)state;
	char before[TRACE_SIZE] = "";
	for (int i = 0; i < 1000; i++) {
		char text[TRACE_SIZE];
		trace_new(text);
		assert_int_equal(strlen(text), TRACE_SIZE - 1);
		assert_true(trace_valid(text, strlen(text)));
		assert_memory_equal(text, "00-", 3);
		assert_string_equal(text + 53, "01");
		assert_memory_not_equal(text + 3, before + 3, 32);
		assert_memory_not_equal(text + 36, before + 36, 16);
		memcpy(before, text, sizeof(before));
	}
}

static const struct child_case {
	const char *name, *parent, *want_flags;
	bool same_trace;
} child_cases[] = {
    {"sampled", "00-" TRACE_ID "-" SPAN_ID "-01", "01", true},
    {"not sampled", "00-" TRACE_ID "-" SPAN_ID "-00", "00", true},
    {"higher version", "cc-" TRACE_ID "-" SPAN_ID "-01", "01", true},
    {"higher version with more", "cc-" TRACE_ID "-" SPAN_ID "-01-what-the-future", "01", true},
    {"no parent", NULL, "01", false},
    {"empty parent", "", "01", false},
    {"bad parent", "00-" TRACE_ID "-" SPAN_ID "-0", "01", false},
    {"version ff", "ff-" TRACE_ID "-" SPAN_ID "-00", "01", false},
};

static void test_child(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(child_cases); i++) {
		const struct child_case *c = &child_cases[i];
		char text[TRACE_SIZE], other[TRACE_SIZE];
		memset(text, 'x', sizeof(text));
		trace_child(c->parent, text);
		trace_child(c->parent, other);
		if (strlen(text) != TRACE_SIZE - 1 || !trace_valid(text, TRACE_SIZE - 1) ||
		    memcmp(text, "00-", 3) != 0 || strcmp(text + 53, c->want_flags) != 0 ||
		    (memcmp(text + 3, TRACE_ID, 32) == 0) != c->same_trace ||
		    memcmp(text + 36, SPAN_ID, 16) == 0 || memcmp(text + 36, other + 36, 16) == 0)
			fail_msg("%s: %s", c->name, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_valid),
	    cmocka_unit_test(test_every_beginning_is_refused),
	    cmocka_unit_test(test_new),
	    cmocka_unit_test(test_child),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
