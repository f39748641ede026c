#include "worker/limiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct limiter_policy policy = {
    .min = 2,
    .max = 64,
    .start = 8,
    .latency_factor = 3,
    .decrease = 0.5,
    .hold_us = 1000000,
};

/* `n` calls that went well, one a millisecond, with the limit used up. */
static int64_t go_well(struct limiter *limiter, int n, int64_t latency_us, int64_t now_us)
{
	for (int i = 0; i < n; i++, now_us += 1000)
		limiter_on_answer(limiter, LIMITER_OK, latency_us, limiter_limit(limiter), now_us);
	return now_us;
}

static void test_starts_as_told(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	assert_int_equal(limiter_limit(&limiter), 8);
}

static void test_grows_by_one_for_a_limit_of_answers(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	(void)go_well(&limiter, 9, 1000, 0);
	assert_int_equal(limiter_limit(&limiter), 9);
}

static void test_stops_at_the_maximum(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	(void)go_well(&limiter, 100000, 1000, 0);
	assert_int_equal(limiter_limit(&limiter), 64);
}

/* Fewer than half of the limit in flight: good answers say nothing about a higher limit. */
static void test_grows_only_while_it_is_used(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	for (int i = 0; i < 1000; i++)
		limiter_on_answer(&limiter, LIMITER_OK, 1000, 3, i);
	assert_int_equal(limiter_limit(&limiter), 8);
	for (int i = 0; i < 9; i++)
		limiter_on_answer(&limiter, LIMITER_OK, 1000, 4, i);
	assert_int_equal(limiter_limit(&limiter), 9);
}

static void test_overload_halves_once_in_the_hold_time(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	for (int i = 0; i < 50; i++) /* a burst of refusals is one piece of news */
		limiter_on_answer(&limiter, LIMITER_OVERLOAD, 500, 8, 10 + i);
	assert_int_equal(limiter_limit(&limiter), 4);
	limiter_on_answer(&limiter, LIMITER_OVERLOAD, 500, 4, 10 + policy.hold_us - 1);
	assert_int_equal(limiter_limit(&limiter), 4);
	limiter_on_answer(&limiter, LIMITER_OVERLOAD, 500, 4, 10 + policy.hold_us);
	assert_int_equal(limiter_limit(&limiter), 2);
}

static void test_stops_at_the_minimum(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	for (int i = 0; i < 100; i++)
		limiter_on_answer(&limiter, LIMITER_OVERLOAD, 500, 8, i * policy.hold_us);
	assert_int_equal(limiter_limit(&limiter), 2);
}

static void test_latency_past_the_factor_is_congestion(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	int64_t now_us = go_well(&limiter, 2000, 10000, 0);
	int before = limiter_limit(&limiter);
	now_us = go_well(&limiter, 200, 25000, now_us); /* 2.5 times: fine */
	assert_true(limiter_limit(&limiter) >= before);
	before = limiter_limit(&limiter);
	(void)go_well(&limiter, 200, 60000, now_us); /* 6 times */
	assert_int_equal(limiter_limit(&limiter), before / 2);
}

/* The first calls of a process, and single lucky ones, are no measure of the others. */
static void test_one_fast_call_is_no_best(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	int64_t now_us = go_well(&limiter, 1, 10, 0);
	now_us = go_well(&limiter, 200, 10000, now_us);
	now_us = go_well(&limiter, 1, 10, now_us);
	(void)go_well(&limiter, 200, 10000, now_us);
	assert_true(limiter_limit(&limiter) > 8);
}

/* A platform that has become slower for good is the new normal after a while. */
static void test_the_best_grows_old(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	int64_t now_us = go_well(&limiter, 100, 1000, 0);
	now_us = go_well(&limiter, 10000, 50000, now_us);
	assert_int_equal(limiter_limit(&limiter), 2);
	now_us = go_well(&limiter, 20000, 50000, now_us); /* past 30 s */
	int low = limiter_limit(&limiter);
	(void)go_well(&limiter, 1000, 50000, now_us);
	assert_true(limiter_limit(&limiter) > low);
}

static void test_the_latency_of_a_refusal_does_not_count(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	int64_t now_us = go_well(&limiter, 100, 10000, 0);
	for (int i = 0; i < 1000; i++)
		limiter_on_answer(&limiter, LIMITER_OVERLOAD, 10, 8, now_us);
	int before = limiter_limit(&limiter);
	(void)go_well(&limiter, 100, 10000, now_us + policy.hold_us);
	assert_true(limiter_limit(&limiter) > before);
}

static void test_an_unknown_latency_is_left_out(void **state)
{
	(void)state;
	struct limiter limiter;
	limiter_init(&limiter, &policy);
	int64_t now_us = go_well(&limiter, 100, 0, 0);
	assert_true(limiter.best_us == 0);
	assert_true(limiter_limit(&limiter) > 8);
	(void)go_well(&limiter, 100, 5000, now_us);
	assert_true(limiter.best_us > 0);
}

static void test_never_below_one(void **state)
{
	(void)state;
	struct limiter limiter;
	const struct limiter_policy one = {
	    .min = 1,
	    .max = 1,
	    .start = 1,
	    .latency_factor = 2,
	    .decrease = 0.1,
	    .hold_us = 1,
	};
	limiter_init(&limiter, &one);
	for (int i = 0; i < 100; i++) {
		limiter_on_answer(&limiter, i % 2 ? LIMITER_OK : LIMITER_OVERLOAD, 1000, 1, i * 10);
		assert_int_equal(limiter_limit(&limiter), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_starts_as_told),
	    cmocka_unit_test(test_grows_by_one_for_a_limit_of_answers),
	    cmocka_unit_test(test_stops_at_the_maximum),
	    cmocka_unit_test(test_grows_only_while_it_is_used),
	    cmocka_unit_test(test_overload_halves_once_in_the_hold_time),
	    cmocka_unit_test(test_stops_at_the_minimum),
	    cmocka_unit_test(test_latency_past_the_factor_is_congestion),
	    cmocka_unit_test(test_one_fast_call_is_no_best),
	    cmocka_unit_test(test_the_best_grows_old),
	    cmocka_unit_test(test_the_latency_of_a_refusal_does_not_count),
	    cmocka_unit_test(test_an_unknown_latency_is_left_out),
	    cmocka_unit_test(test_never_below_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
