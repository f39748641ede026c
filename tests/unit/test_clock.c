#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/macros.h"

static const int64_t first_us = -62135596800000000; /* 0001-01-01T00:00:00Z */
static const int64_t last_us = 253402300799999999;  /* 9999-12-31T23:59:59.999999Z */

static const struct format_case {
	const char *name;
	int64_t us;
	const char *want;
} format_cases[] = {
    {"epoch", 0, "1970-01-01T00:00:00.000000Z"},
    {"a microsecond", 1, "1970-01-01T00:00:00.000001Z"},
    {"just before the epoch", -1, "1969-12-31T23:59:59.999999Z"},
    {"a second before the epoch", -1000000, "1969-12-31T23:59:59.000000Z"},
    {"just before that", -1000001, "1969-12-31T23:59:58.999999Z"},
    {"a known moment", 1234567890123456, "2009-02-13T23:31:30.123456Z"},
    {"leap day", 951782400000000, "2000-02-29T00:00:00.000000Z"},
    {"past 32 bits", 4294967296000000, "2106-02-07T06:28:16.000000Z"},
    {"first", first_us, "0001-01-01T00:00:00.000000Z"},
    {"before the first", first_us - 1, "0001-01-01T00:00:00.000000Z"},
    {"last", last_us, "9999-12-31T23:59:59.999999Z"},
    {"after the last", last_us + 1, "9999-12-31T23:59:59.999999Z"},
    {"lowest", INT64_MIN, "0001-01-01T00:00:00.000000Z"},
    {"highest", INT64_MAX, "9999-12-31T23:59:59.999999Z"},
};

static void test_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(format_cases); i++) {
		const struct format_case *c = &format_cases[i];
		char text[CLOCK_RFC3339_SIZE];
		clock_rfc3339(c->us, text);
		if (strcmp(text, c->want) != 0)
			fail_msg("%s: %s, not %s", c->name, text, c->want);
	}
}

enum { DAY = 86400 };
static const struct parse_case {
	const char *name, *text;
	int64_t want_us;
} parse_cases[] = {
    {"epoch", "1970-01-01T00:00:00Z", 0},
    {"lower case", "1970-01-01t00:00:01z", 1000000},
    {"before the epoch", "1969-12-31T23:59:59.999999Z", -1},
    {"first", "0001-01-01T00:00:00Z", -62135596800000000},
    {"last", "9999-12-31T23:59:59.999999Z", 253402300799999999},
    {"one digit of fraction", "1970-01-01T00:00:00.5Z", 500000},
    {"three digits", "1970-01-01T00:00:00.123Z", 123000},
    {"six digits", "1970-01-01T00:00:00.123456Z", 123456},
    {"nine digits are cut", "1970-01-01T00:00:00.123456999Z", 123456},
    {"thirty digits are cut", "1970-01-01T00:00:00.000000999999999999999999999999Z", 0},
    {"zone ahead", "1970-01-01T05:30:00+05:30", 0},
    {"zone behind", "1969-12-31T16:00:00-08:00", 0},
    {"zone of minutes", "1970-01-01T00:00:00-00:01", 60000000},
    {"zone zero", "1970-01-01T00:00:00+00:00", 0},
    {"unknown zone", "1970-01-01T00:00:00-00:00", 0},
    {"widest zone ahead", "1970-01-01T23:59:00+23:59", 0},
    {"widest zone behind", "1970-01-01T00:01:00-23:59", (int64_t)DAY * 1000000},
    {"fraction and zone", "1970-01-01T01:00:00.25+01:00", 250000},
    {"second 60 is 59", "2016-12-31T23:59:60Z", 1483228799000000},
    {"leap day", "2024-02-29T00:00:00Z", 1709164800000000},
    {"leap day of a fourth century", "2000-02-29T00:00:00Z", 951782400000000},
    {"last day of February", "1900-02-28T00:00:00Z", -2203977600000000},
    {"30 days", "1970-04-30T00:00:00Z", (int64_t)119 * DAY * 1000000},
    {"31 days", "1970-12-31T00:00:00Z", (int64_t)364 * DAY * 1000000},
};

/* In memory of exactly its size, so that a sanitizer sees a read past it. */
static int parse(const char *text, size_t len, int64_t *ret_us)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	int rc = clock_parse_rfc3339(copy, len, ret_us);
	free(copy);
	return rc;
}

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(parse_cases); i++) {
		const struct parse_case *c = &parse_cases[i];
		int64_t us = INT64_MIN;
		if (parse(c->text, strlen(c->text), &us) != 0 || us != c->want_us)
			fail_msg("%s: %lld, not %lld", c->name, (long long)us, (long long)c->want_us);
	}
}

static const struct junk_case {
	const char *name, *text;
} junk_cases[] = {
    {"empty", ""},
    {"a word", "now"},
    {"date only", "1970-01-01"},
    {"no zone", "1970-01-01T00:00:00"},
    {"no zone behind a fraction", "1970-01-01T00:00:00.5"},
    {"no seconds", "1970-01-01T00:00Z"},
    {"space for T", "1970-01-01 00:00:00Z"},
    {"space in front", " 1970-01-01T00:00:00Z"},
    {"space behind", "1970-01-01T00:00:00Z "},
    {"two zones", "1970-01-01T00:00:00Z+00:00"},
    {"another letter for Z", "1970-01-01T00:00:00A"},
    {"slashes", "1970/01/01T00:00:00Z"},
    {"basic form", "19700101T000000Z"},
    {"year 0", "0000-01-01T00:00:00Z"},
    {"five digits of year", "10000-01-01T00:00:00Z"},
    {"three digits of year", "970-01-01T00:00:00Z"},
    {"sign in the year", "-970-01-01T00:00:00Z"},
    {"plus in the year", "+970-01-01T00:00:00Z"},
    {"sign in the month", "1970--1-01T00:00:00Z"},
    {"sign in the hour", "1970-01-01T-1:00:00Z"},
    {"letter in the day", "1970-01-0xT00:00:00Z"},
    {"one digit of month", "1970-1-01T00:00:00Z"},
    {"month 0", "1970-00-01T00:00:00Z"},
    {"month 13", "1970-13-01T00:00:00Z"},
    {"day 0", "1970-01-00T00:00:00Z"},
    {"day 32", "1970-01-32T00:00:00Z"},
    {"31st of April", "1970-04-31T00:00:00Z"},
    {"30th of February", "2024-02-30T00:00:00Z"},
    {"29th of February", "2023-02-29T00:00:00Z"},
    {"29th of February in 1900", "1900-02-29T00:00:00Z"},
    {"hour 24", "1970-01-01T24:00:00Z"},
    {"minute 60", "1970-01-01T00:60:00Z"},
    {"second 61", "1970-01-01T00:00:61Z"},
    {"point without a fraction", "1970-01-01T00:00:00.Z"},
    {"comma", "1970-01-01T00:00:00,5Z"},
    {"sign in the fraction", "1970-01-01T00:00:00.-5Z"},
    {"two points", "1970-01-01T00:00:00.5.5Z"},
    {"zone without minutes", "1970-01-01T00:00:00+01"},
    {"zone without a colon", "1970-01-01T00:00:00+0100"},
    {"zone of hour 24", "1970-01-01T00:00:00+24:00"},
    {"zone of minute 60", "1970-01-01T00:00:00+00:60"},
    {"zone without digits", "1970-01-01T00:00:00+"},
    {"sign in the zone", "1970-01-01T00:00:00+-1:00"},
    {"high byte", "1970-01-01T00:00:00\xff"},
};

static void test_junk(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(junk_cases); i++) {
		const struct junk_case *c = &junk_cases[i];
		int64_t us = 42;
		if (parse(c->text, strlen(c->text), &us) != -1 || us != 42)
			fail_msg("%s: accepted as %lld", c->name, (long long)us);
	}
}

static void test_every_beginning_is_refused(void **state)
{
	(void)state;
	static const char whole[] = "2026-01-02T03:04:05.123456+01:30";
	int64_t us = 42;
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
		if (parse(whole, len, &us) != -1 || us != 42)
			fail_msg("%.*s was accepted", (int)len, whole);
	assert_int_equal(parse(whole, sizeof(whole) - 1, &us), 0);
	assert_int_equal(parse("1970-01-01T00:00:00Z\0", 21, &us), -1);
	assert_int_equal(parse("1970-01-01T00:00:00Zjunk", 20, &us), 0);
}

static bool leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* One day, written and read back. */
static void check_day(int year, int month, int day, int64_t days)
{
	char want[48], text[CLOCK_RFC3339_SIZE];
	int64_t us = days * DAY * 1000000, back;
	(void)snprintf(want, sizeof(want), "%04d-%02d-%02dT00:00:00.000000Z", year, month, day);
	clock_rfc3339(us, text);
	if (strcmp(text, want) != 0 || clock_parse_rfc3339(text, strlen(text), &back) < 0 || back != us)
		fail_msg("%s: %s", want, text);
}

/* Every month of every year by counting days; the day past its end is none. */
static void test_all_months(void **state)
{
	(void)state;
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t days = first_us / 1000000 / DAY;
	for (int year = 1; year <= 9999; year++)
		for (int month = 1; month <= 12; month++) {
			int length = lengths[month - 1] + (month == 2 && leap(year));
			check_day(year, month, 1, days);
			days += length;
			check_day(year, month, length, days - 1);
			char past[48];
			int64_t us;
			(void)snprintf(past, sizeof(past), "%04d-%02d-%02dT00:00:00Z", year, month, length + 1);
			if (clock_parse_rfc3339(past, strlen(past), &us) == 0)
				fail_msg("%s was accepted", past);
		}
	assert_int_equal(days * DAY * 1000000, last_us + 1);
}

static void test_both_ways(void **state)
{
	(void)state;
	uint64_t seed = 1;
	for (int i = 0; i < 100000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		int64_t us = first_us + (int64_t)(seed % (uint64_t)(last_us - first_us + 1)), back;
		char text[CLOCK_RFC3339_SIZE];
		clock_rfc3339(us, text);
		if (clock_parse_rfc3339(text, strlen(text), &back) != 0 || back != us)
			fail_msg("%lld became %s", (long long)us, text);
	}
}

static int64_t read_us(clockid_t id)
{
	struct timespec ts;
	assert_int_equal(clock_gettime(id, &ts), 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Between two readings of the kernel's own. */
static void test_system_clock(void **state)
{
	(void)state;
	const struct clock *clock = clock_system();
	for (int i = 0; i < 1000; i++) {
		int64_t before_mono = read_us(CLOCK_MONOTONIC), before_wall = read_us(CLOCK_REALTIME);
		int64_t mono = clock->mono_us(clock->arg), wall = clock->wall_us(clock->arg);
		assert_in_range(mono, before_mono, read_us(CLOCK_MONOTONIC));
		assert_in_range(wall, before_wall, read_us(CLOCK_REALTIME));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_format),       cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_junk),         cmocka_unit_test(test_every_beginning_is_refused),
	    cmocka_unit_test(test_all_months),   cmocka_unit_test(test_both_ways),
	    cmocka_unit_test(test_system_clock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
