#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const size_t maxima[] = {0, 1, 2, 62, 63, 64, 65, 127, 128, 129, 1000, 65536};

static char *letters(size_t len)
{
	char *text = malloc(len + 1);
	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

/* The maximum fits and one past it does not, in one piece and byte by byte. */
static void test_the_maximum_and_one_past_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(maxima); i++) {
		char *text = letters(maxima[i] + 1);
		struct buf AUTO(buf_done) buf;
		buf_init(&buf, maxima[i]);
		assert_int_equal(buf_add(&buf, text, maxima[i]), 0);
		assert_int_equal(buf.len, maxima[i]);
		assert_int_equal(strlen(buf.data), maxima[i]);
		assert_int_equal(buf_char(&buf, 'x'), -1);
		assert_true(buf.failed);
		assert_int_equal(buf.len, maxima[i]);

		buf_clear(&buf);
		assert_int_equal(buf_str(&buf, text), -1);
		buf_clear(&buf);
		for (size_t n = 0; n < maxima[i]; n++)
			assert_int_equal(buf_char(&buf, 'x'), 0);
		assert_int_equal(buf_char(&buf, 'x'), -1);
		assert_memory_equal(buf.data, text, maxima[i]);
		free(text);
	}
}

static void test_memory_stays_below_the_maximum(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(maxima); i++) {
		struct buf AUTO(buf_done) buf;
		buf_init(&buf, maxima[i]);
		assert_null(buf.data);
		while (buf_char(&buf, 'x') == 0)
			assert_true(buf.cap > buf.len && buf.cap <= buf.max + 1);
		assert_int_equal(buf.len, maxima[i]);
	}
}

static void test_failed_sticks(void **state)
{
	(void)state;
	struct buf AUTO(buf_done) buf;
	buf_init(&buf, 4);
	assert_int_equal(buf_str(&buf, "ab"), 0);
	assert_int_equal(buf_str(&buf, "cde"), -1);
	assert_int_equal(buf_add(&buf, "", 0), -1);
	assert_int_equal(buf_str(&buf, "c"), -1);
	assert_int_equal(buf_char(&buf, 'c'), -1);
	assert_int_equal(buf_i64(&buf, 1), -1);
	assert_int_equal(buf_printf(&buf, "c"), -1);
	assert_int_equal(buf_percent(&buf, "c"), -1);
	assert_int_equal(buf_percent(&buf, ""), -1);
	assert_true(buf.failed);
	assert_string_equal(buf.data, "ab");
	assert_null(buf_take(&buf));
	buf_clear(&buf);
	assert_false(buf.failed);
	assert_int_equal(buf.len, 0);
	assert_string_equal(buf.data, "");
	assert_int_equal(buf_str(&buf, "abcd"), 0);
	assert_string_equal(buf.data, "abcd");
}

static void test_done_leaves_an_empty_buffer_of_the_same_maximum(void **state)
{
	(void)state;
	struct buf buf;
	buf_init(&buf, 3);
	assert_int_equal(buf_str(&buf, "abcd"), -1);
	buf_done(&buf);
	assert_false(buf.failed);
	assert_null(buf.data);
	assert_int_equal(buf_str(&buf, "abc"), 0);
	assert_int_equal(buf_char(&buf, 'd'), -1);
	buf_done(&buf);
	buf_done(&buf);
	struct buf zero = {0};
	buf_clear(&zero);
	buf_done(&zero);
	assert_null(zero.data);
}

static void test_bytes_of_every_value(void **state)
{
	(void)state;
	struct buf AUTO(buf_done) buf;
	buf_init(&buf, 512);
	for (int c = 0; c < 256; c++)
		assert_int_equal(buf_char(&buf, (char)c), 0);
	assert_int_equal(buf.len, 256);
	for (int c = 0; c < 256; c++)
		assert_int_equal((unsigned char)buf.data[c], c);
	assert_int_equal(buf.data[256], '\0');
	assert_int_equal(buf_add(&buf, NULL, 0), 0);
	assert_int_equal(buf.len, 256);
}

static const struct i64_case {
	int64_t value;
	const char *want;
} i64_cases[] = {
    {0, "0"},
    {1, "1"},
    {-1, "-1"},
    {9, "9"},
    {10, "10"},
    {-10, "-10"},
    {1234567890, "1234567890"},
    {INT32_MIN, "-2147483648"},
    {INT64_MAX, "9223372036854775807"},
    {INT64_MAX - 1, "9223372036854775806"},
    {INT64_MIN, "-9223372036854775808"},
    {INT64_MIN + 1, "-9223372036854775807"},
};

static void test_i64(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(i64_cases); i++) {
		struct buf AUTO(buf_done) buf;
		buf_init(&buf, strlen(i64_cases[i].want));
		assert_int_equal(buf_i64(&buf, i64_cases[i].value), 0);
		assert_string_equal(buf.data, i64_cases[i].want);
		struct buf AUTO(buf_done) tight;
		buf_init(&tight, strlen(i64_cases[i].want) - 1);
		assert_int_equal(buf_i64(&tight, i64_cases[i].value), -1);
	}
}

static const struct percent_case {
	const char *name, *text, *want;
} percent_cases[] = {
    {"nothing", "", ""},
    {"unreserved", "AZaz09-._~", "AZaz09-._~"},
    {"space and plus", "a b+c", "a%20b%2Bc"},
    {"path", "../a/b", "..%2Fa%2Fb"},
    {"percent", "100%", "100%25"},
    {"percent twice", "%2F", "%252F"},
    {"delimiters", ":/?#[]@!$&'()*+,;=", "%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D"},
    {"others", "\"<>\\^`{|}", "%22%3C%3E%5C%5E%60%7B%7C%7D"},
    {"neighbours of the letters and digits", "@[`{/:", "%40%5B%60%7B%2F%3A"},
    {"control", "\1\n\177", "%01%0A%7F"},
    {"high bytes", "\x80\xc3\xa9\xff", "%80%C3%A9%FF"},
};

static void test_percent(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(percent_cases); i++) {
		const struct percent_case *c = &percent_cases[i];
		struct buf AUTO(buf_done) buf;
		buf_init(&buf, strlen(c->want));
		if (buf_percent(&buf, c->text) != 0 || strcmp(buf.data ? buf.data : "", c->want) != 0)
			fail_msg("%s: %s", c->name, buf.data ? buf.data : "nothing");
		if (*c->want) {
			struct buf AUTO(buf_done) tight;
			buf_init(&tight, strlen(c->want) - 1);
			if (buf_percent(&tight, c->text) != -1 || !tight.failed)
				fail_msg("%s: fits into too little", c->name);
		}
	}
}

static void test_printf(void **state)
{
	(void)state;
	for (size_t i = 1; i < N_OF(maxima); i++) {
		char *text = letters(maxima[i]);
		struct buf AUTO(buf_done) buf;
		buf_init(&buf, maxima[i]);
		assert_int_equal(buf_printf(&buf, "%.*s", (int)maxima[i] - 1, text), 0);
		assert_int_equal(buf_printf(&buf, "%s%d", "", 7), 0);
		assert_int_equal(buf.len, maxima[i]);
		assert_int_equal(buf.data[buf.len - 1], '7');
		assert_int_equal(buf_printf(&buf, "%s", ""), 0);
		assert_int_equal(buf_printf(&buf, "%d", 7), -1);
		assert_int_equal(buf.len, maxima[i]);
		free(text);
	}
}

static void test_printf_with_a_byte_zero(void **state)
{
	(void)state;
	struct buf AUTO(buf_done) buf;
	buf_init(&buf, 8);
	assert_int_equal(buf_printf(&buf, "a%cb", 0), 0);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.data, "a\0b", 4);
}

static void test_take(void **state)
{
	(void)state;
	struct buf AUTO(buf_done) buf;
	buf_init(&buf, 3);
	assert_int_equal(buf_str(&buf, "abc"), 0);
	char *text = buf_take(&buf);
	assert_string_equal(text, "abc");
	free(text);
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buf.max, 3);
	text = buf_take(&buf); /* empty, and still the caller's */
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(buf_str(&buf, "def"), 0);
	assert_string_equal(buf.data, "def");
	assert_int_equal(buf_char(&buf, 'g'), -1);
	assert_null(buf_take(&buf));
}

static void test_take_of_nothing_at_all(void **state)
{
	(void)state;
	struct buf AUTO(buf_done) buf;
	buf_init(&buf, 0);
	char *text = buf_take(&buf);
	assert_string_equal(text, "");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_maximum_and_one_past_it),
	    cmocka_unit_test(test_memory_stays_below_the_maximum),
	    cmocka_unit_test(test_failed_sticks),
	    cmocka_unit_test(test_done_leaves_an_empty_buffer_of_the_same_maximum),
	    cmocka_unit_test(test_bytes_of_every_value),
	    cmocka_unit_test(test_i64),
	    cmocka_unit_test(test_percent),
	    cmocka_unit_test(test_printf),
	    cmocka_unit_test(test_printf_with_a_byte_zero),
	    cmocka_unit_test(test_take),
	    cmocka_unit_test(test_take_of_nothing_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
