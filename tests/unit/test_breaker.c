#include "worker/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct breaker_policy policy = {
    .window = 10,
    .failures = 4,
    .probes = 2,
    .open = {.base_ms = 1000, .cap_ms = 8000},
};

static void report_n(struct breaker *breaker, int n, bool failed, int64_t now_us)
{
	for (int i = 0; i < n; i++)
		breaker_report(breaker, failed, now_us);
}

/* A breaker in each state, at time 0; open until a time in (0, 1 s]. */
static void put(struct breaker *breaker, enum breaker_state state)
{
	breaker_init(breaker, &policy);
	if (state == BREAKER_CLOSED)
		return;
	report_n(breaker, policy.failures, true, 0);
	assert_int_equal(breaker->state, BREAKER_OPEN);
	if (state == BREAKER_OPEN)
		return;
	assert_true(breaker_allow(breaker, breaker->until_us)); /* one probe is out */
	assert_int_equal(breaker->state, BREAKER_HALF_OPEN);
}

/* What can happen to it; each returns what breaker_allow said, or -1. */
static int ask_now(struct breaker *breaker)
{
	return breaker_allow(breaker, 0);
}

static int ask_when_due(struct breaker *breaker)
{
	return breaker_allow(breaker, 60000000);
}

static int one_ok(struct breaker *breaker)
{
	breaker_report(breaker, false, 60000000);
	return -1;
}

static int one_failed(struct breaker *breaker)
{
	breaker_report(breaker, true, 60000000);
	return -1;
}

static int probes_ok(struct breaker *breaker)
{
	report_n(breaker, policy.probes, false, 60000000);
	return -1;
}

static int too_many_failed(struct breaker *breaker)
{
	report_n(breaker, policy.failures, true, 60000000);
	return -1;
}

static int forgotten(struct breaker *breaker)
{
	breaker_forget(breaker);
	return -1;
}

static const struct {
	const char *name;
	int (*event)(struct breaker *breaker);
	struct {
		enum breaker_state to;
		int allowed;
	} want[BREAKER_STATE_COUNT]; /* from closed, open, half open */
} walk[] = {
    {"ask now", ask_now, {{BREAKER_CLOSED, 1}, {BREAKER_OPEN, 0}, {BREAKER_HALF_OPEN, 1}}},
    {"ask when due",
     ask_when_due,
     {{BREAKER_CLOSED, 1}, {BREAKER_HALF_OPEN, 1}, {BREAKER_HALF_OPEN, 1}}},
    {"one ok", one_ok, {{BREAKER_CLOSED, -1}, {BREAKER_OPEN, -1}, {BREAKER_HALF_OPEN, -1}}},
    {"one failed", one_failed, {{BREAKER_CLOSED, -1}, {BREAKER_OPEN, -1}, {BREAKER_OPEN, -1}}},
    {"probes ok", probes_ok, {{BREAKER_CLOSED, -1}, {BREAKER_OPEN, -1}, {BREAKER_CLOSED, -1}}},
    {"too many failed",
     too_many_failed,
     {{BREAKER_OPEN, -1}, {BREAKER_OPEN, -1}, {BREAKER_OPEN, -1}}},
    {"forgotten", forgotten, {{BREAKER_CLOSED, -1}, {BREAKER_OPEN, -1}, {BREAKER_HALF_OPEN, -1}}},
};

static void test_every_state_and_event(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(walk); i++)
		for (int from = 0; from < BREAKER_STATE_COUNT; from++) {
			struct breaker breaker;
			put(&breaker, from);
			int allowed = walk[i].event(&breaker);
			if (allowed != walk[i].want[from].allowed || breaker.state != walk[i].want[from].to)
				fail_msg("%s from %s: %s, allowed %d", walk[i].name, breaker_state_name(from),
				         breaker_state_name(breaker.state), allowed);
		}
}

static void test_failures_must_be_close_together(void **state)
{
	(void)state;
	struct breaker breaker;
	breaker_init(&breaker, &policy);
	for (int round = 0; round < 50; round++) { /* 3 of any 10 */
		report_n(&breaker, 3, true, 0);
		report_n(&breaker, 7, false, 0);
		assert_int_equal(breaker.state, BREAKER_CLOSED);
	}
	report_n(&breaker, 3, true, 0);
	report_n(&breaker, 6, false, 0);
	breaker_report(&breaker, true, 0); /* the 10th call: 4 of the last 10 */
	assert_int_equal(breaker.state, BREAKER_OPEN);
}

static void test_the_largest_window(void **state)
{
	(void)state;
	struct breaker breaker;
	const struct breaker_policy large = {
	    .window = 64,
	    .failures = 64,
	    .probes = 1,
	    .open = {.base_ms = 1, .cap_ms = 1},
	};
	breaker_init(&breaker, &large);
	report_n(&breaker, 63, true, 0);
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_int_equal(breaker.seen, 63);
	breaker_report(&breaker, false, 0);
	report_n(&breaker, 63, true, 0);
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_int_equal(breaker.seen, 64);
	breaker_report(&breaker, true, 0);
	assert_int_equal(breaker.state, BREAKER_OPEN);
}

static void test_a_window_of_one(void **state)
{
	(void)state;
	struct breaker breaker;
	const struct breaker_policy small = {
	    .window = 1,
	    .failures = 1,
	    .probes = 1,
	    .open = {.base_ms = 1, .cap_ms = 1},
	};
	breaker_init(&breaker, &small);
	breaker_report(&breaker, false, 0);
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	breaker_report(&breaker, true, 0);
	assert_int_equal(breaker.state, BREAKER_OPEN);
	assert_true(breaker_allow(&breaker, 1000));
	breaker_report(&breaker, false, 1000);
	assert_int_equal(breaker.state, BREAKER_CLOSED);
}

/* Between half of the ceiling and the ceiling, which doubles with each opening in a row. */
static void test_it_stays_open_longer_each_time(void **state)
{
	(void)state;
	static const int64_t ceilings_us[] = {1000000, 2000000, 4000000, 8000000, 8000000, 8000000};
	for (int round = 0; round < 100; round++) {
		struct breaker breaker;
		int64_t now_us = 7;
		breaker_init(&breaker, &policy);
		report_n(&breaker, policy.failures, true, now_us);
		for (size_t i = 0; i < N_OF(ceilings_us); i++) {
			int64_t wait_us = breaker_wait_us(&breaker, now_us);
			assert_in_range(wait_us, ceilings_us[i] / 2, ceilings_us[i]);
			assert_false(breaker_allow(&breaker, now_us + wait_us - 1));
			assert_int_equal(breaker_wait_us(&breaker, now_us + wait_us - 1), 1);
			now_us += wait_us;
			assert_int_equal(breaker_wait_us(&breaker, now_us), 0);
			assert_true(breaker_allow(&breaker, now_us));
			breaker_report(&breaker, true, now_us);
		}
	}
}

static void test_closing_starts_afresh(void **state)
{
	(void)state;
	struct breaker breaker;
	put(&breaker, BREAKER_HALF_OPEN);
	report_n(&breaker, policy.probes, false, 0);
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_int_equal(breaker.openings, 0);
	report_n(&breaker, policy.failures - 1, true, 0); /* the old failures are forgotten */
	assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void test_no_more_probes_than_needed(void **state)
{
	(void)state;
	struct breaker breaker;
	put(&breaker, BREAKER_HALF_OPEN); /* one is out */
	assert_true(breaker_allow(&breaker, 0));
	assert_false(breaker_allow(&breaker, 0));
	assert_true(breaker_wait_us(&breaker, 0) > 0);
	breaker_report(&breaker, false, 0);
	assert_false(breaker_allow(&breaker, 0)); /* one went well, one is out: that is all it takes */
	breaker_forget(&breaker);                 /* it was cancelled */
	assert_int_equal(breaker_wait_us(&breaker, 0), 0);
	assert_true(breaker_allow(&breaker, 0));
	breaker_report(&breaker, false, 0);
	assert_int_equal(breaker.state, BREAKER_CLOSED);
}

/* Calls from before the opening come in late, in any number. */
static void test_late_reports_do_not_break_the_count(void **state)
{
	(void)state;
	struct breaker breaker;
	put(&breaker, BREAKER_HALF_OPEN);
	for (int i = 0; i < 5; i++)
		breaker_forget(&breaker);
	assert_int_equal(breaker.probes_out, 0);
	assert_true(breaker_allow(&breaker, 0));
	assert_true(breaker_allow(&breaker, 0));
	assert_false(breaker_allow(&breaker, 0));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
	assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
	assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
	assert_string_equal(breaker_state_name(BREAKER_STATE_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_state_and_event),
	    cmocka_unit_test(test_failures_must_be_close_together),
	    cmocka_unit_test(test_the_largest_window),
	    cmocka_unit_test(test_a_window_of_one),
	    cmocka_unit_test(test_it_stays_open_longer_each_time),
	    cmocka_unit_test(test_closing_starts_afresh),
	    cmocka_unit_test(test_no_more_probes_than_needed),
	    cmocka_unit_test(test_late_reports_do_not_break_the_count),
	    cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
