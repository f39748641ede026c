#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/macros.h"
#include "reconcile/pacer.h"

/* A clock that moves when the test says so. */
static int64_t now_us;

static int64_t tell(void *arg)
{
	(void)arg;
	return now_us;
}
static const struct clock clock_fake = {tell, tell, NULL};
static const struct backoff backoff = {.base_ms = 100, .cap_ms = 1000};

struct fixture {
	struct loop *loop;
	struct pacer pacer;
};

static void open_pacer(struct fixture *f, int64_t in_flight, int64_t per_second)
{
	now_us = 1000000;
	f->loop = loop_new(&clock_fake, NULL);
	assert_non_null(f->loop);
	pacer_init(&f->pacer, f->loop, in_flight, per_second, &backoff, 3);
}

static void go_to(struct fixture *f, int64_t us)
{
	now_us = 1000000 + us;
	assert_int_equal(loop_once(f->loop, 0, NULL), 0);
}

static void counts_what_is_in_flight(void **state)
{
	(void)state;
	struct fixture f;
	open_pacer(&f, 2, 0);
	assert_int_equal(pacer_take(&f.pacer), 0);
	assert_int_equal(pacer_take(&f.pacer), 0);
	assert_int_equal(pacer_take(&f.pacer), INT64_MAX);
	pacer_done(&f.pacer);
	assert_int_equal(pacer_take(&f.pacer), 0);
	assert_int_equal(pacer_take(&f.pacer), INT64_MAX);
	loop_free(f.loop);
}

static void spaces_calls(void **state)
{
	(void)state;
	struct fixture f;
	open_pacer(&f, 1000, 10); /* one in 100 ms */
	assert_int_equal(pacer_take(&f.pacer), 0);
	assert_int_equal(pacer_take(&f.pacer), 100000);
	go_to(&f, 99999);
	assert_int_equal(pacer_take(&f.pacer), 1);
	go_to(&f, 100000);
	assert_int_equal(pacer_take(&f.pacer), 0);
	assert_int_equal(pacer_take(&f.pacer), 100000);
	loop_free(f.loop);
}

/* However long nothing was asked: never more than a few at once, never more than the rate in the mean. */
static void keeps_the_rate(void **state)
{
	(void)state;
	struct fixture f;
	int64_t first = 0, all = 0;
	open_pacer(&f, INT64_MAX, 1000); /* one a millisecond */
	go_to(&f, 60000000);
	while (pacer_take(&f.pacer) == 0)
		first++;
	assert_in_range(first, 1, 21); /* 20 ms of slack */
	for (int64_t us = 0; us <= 1000000; us += 7000) {
		go_to(&f, 60000000 + us);
		while (pacer_take(&f.pacer) == 0)
			all++;
	}
	assert_in_range(all, 980, 1000);
	loop_free(f.loop);
}

enum { KEEP = -1, JITTER = -2 };
static const struct {
	const char *name;
	enum platform_fault fault;
	int status;
	int64_t retry_after_ms, attempt;
	int64_t wait_ms; /* KEEP; JITTER: up to the backoff of that attempt; else at least this */
	bool holds;      /* everybody */
} answers[] = {
    {"fine", PLATFORM_ANSWERED, 200, 0, 1, KEEP, false},
    {"absent", PLATFORM_ANSWERED, 404, 0, 1, KEEP, false},
    {"forbidden", PLATFORM_ANSWERED, 403, 0, 1, KEEP, false},
    {"unauthorized", PLATFORM_ANSWERED, 401, 0, 1, KEEP, false},
    {"too much", PLATFORM_ANSWERED, 429, 3000, 1, 3000, true},
    {"too much, without a time", PLATFORM_ANSWERED, 429, 0, 1, JITTER, true},
    {"too busy", PLATFORM_ANSWERED, 503, 2000, 2, 2000, true},
    {"too much, for the last time", PLATFORM_ANSWERED, 429, 3000, 3, KEEP, true},
    {"something in between is too busy", PLATFORM_MALFORMED, 503, 1000, 1, 1000, true},
    {"something in between", PLATFORM_MALFORMED, 404, 0, 1, JITTER, false},
    {"fails", PLATFORM_ANSWERED, 500, 0, 2, JITTER, false},
    {"fails for the last time", PLATFORM_ANSWERED, 500, 0, 3, KEEP, false},
    {"a part is away", PLATFORM_ANSWERED, 502, 0, 1, JITTER, false},
    {"no connection", PLATFORM_CONNECT, 0, 0, 1, JITTER, false},
    {"no answer", PLATFORM_TIMEOUT, 0, 0, 1, JITTER, false},
    {"broken off", PLATFORM_RESET, 0, 0, 1, JITTER, false},
    {"broken off for the last time", PLATFORM_RESET, 0, 0, 3, KEEP, false},
    {"too large stays so", PLATFORM_TOO_LARGE, 200, 0, 1, KEEP, false},
    {"by us", PLATFORM_CANCELLED, 0, 0, 1, KEEP, false},
};

static void decides_on_another_try(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(answers); i++) {
		struct fixture f;
		open_pacer(&f, 10, 0);
		const struct platform_answer answer = {.fault = answers[i].fault,
		                                       .status = answers[i].status,
		                                       .retry_after_ms = answers[i].retry_after_ms};
		int64_t most_ms = backoff_ceiling_ms(&backoff, (int)answers[i].attempt - 1);
		int64_t wait_us = pacer_retry_us(&f.pacer, &answer, answers[i].attempt);
		bool good = answers[i].wait_ms == KEEP     ? wait_us == -1
		            : answers[i].wait_ms == JITTER ? wait_us >= 0 && wait_us <= most_ms * 1000
		                                           : wait_us >= answers[i].wait_ms * 1000;
		if (!good)
			fail_msg("%s: %lld us", answers[i].name, (long long)wait_us);
		if (!answers[i].holds)
			assert_int_equal(pacer_take(&f.pacer), 0);
		if (answers[i].retry_after_ms > 0) /* also when this call gives up */
			assert_true(pacer_take(&f.pacer) >= answers[i].retry_after_ms * 1000);
		loop_free(f.loop);
	}
}

/* The pause that was asked for is everybody's, and a shorter one does not end it. */
static void retry_after_holds_everybody(void **state)
{
	(void)state;
	struct fixture f;
	struct platform_answer answer = {.status = 429, .retry_after_ms = 5000};
	open_pacer(&f, 10, 0);
	(void)pacer_retry_us(&f.pacer, &answer, 1);
	answer.retry_after_ms = 1000;
	(void)pacer_retry_us(&f.pacer, &answer, 1);
	assert_int_equal(pacer_take(&f.pacer), 5000000);
	go_to(&f, 4999999);
	assert_int_equal(pacer_take(&f.pacer), 1);
	go_to(&f, 5000000);
	assert_int_equal(pacer_take(&f.pacer), 0);
	loop_free(f.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counts_what_is_in_flight),
	    cmocka_unit_test(spaces_calls),
	    cmocka_unit_test(keeps_the_rate),
	    cmocka_unit_test(decides_on_another_try),
	    cmocka_unit_test(retry_after_holds_everybody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
