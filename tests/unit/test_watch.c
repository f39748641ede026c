/* The repeated run: how often, and how it ends. The run itself is one of ours. */
#include "reconcile/watch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { RUNS = 3 };

static struct {
	int runs, stops;
	int end_at;   /* the run in which the signal comes */
	bool between; /* the signal is seen after the run, not within it */
	struct loop *loop;
} fake;

struct reconciler *reconciler_new(struct loop *loop, const struct reconciler_opts *opts,
                                  struct err *err)
{
	(void)err;
	assert_non_null(opts->metrics);
	fake.loop = loop;
	return (struct reconciler *)&fake;
}

void reconciler_free(struct reconciler *reconciler)
{
	assert_ptr_equal(reconciler, &fake);
}

void reconciler_stop(struct reconciler *reconciler)
{
	assert_ptr_equal(reconciler, &fake);
	fake.stops++;
}

/* Ends as every verdict in turn; the first run fails. */
void reconcile_run(struct reconciler *reconciler, const struct reconcile_request *request,
                   const struct reconcile_watcher *watcher, store_finding_fn *each, void *each_arg,
                   struct reconcile_summary *ret, struct err *err)
{
	struct err loop_err = {0};
	assert_ptr_equal(reconciler, &fake);
	assert_string_equal(request->actor, "timer");
	assert_null(watcher);
	assert_null(each);
	assert_null(each_arg);
	*ret = (struct reconcile_summary){.verdict = fake.runs == 0 ? VERDICT_FAILED : VERDICT_DRIFT};
	if (fake.runs == 0)
		(void)err_set(err, ERR_RETRY, "x", "%0600d", 0); /* longer than any place for it */
	if (++fake.runs < fake.end_at)
		return;
	assert_int_equal(raise(SIGHUP), 0); /* changes nothing */
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(raise(SIGTERM), 0);
	if (!fake.between)
		while (fake.stops == 0)
			assert_int_equal(loop_once(fake.loop, -1, &loop_err), 0);
}

static void run_until(int end_at, bool between)
{
	const struct reconcile_config config = {
	    .metrics_listen = "127.0.0.1:0", .mode = "repair", .interval_ms = 1};
	const struct reconcile_request request = {.actor = "timer"};
	const struct watch_opts opts = {.config = &config, .request = &request};
	struct err err = {0};
	memset(&fake, 0, sizeof(fake));
	fake.end_at = end_at;
	fake.between = between;
	assert_int_equal(watch_run(&opts, &err), 0);
	assert_int_equal(fake.runs, end_at);
	assert_int_equal(fake.stops, 1);
}

static void test_runs_until_told_to_stop(void **state)
{
	(void)state;
	run_until(1, false);
	run_until(RUNS, false);
}

static void test_stops_between_runs(void **state)
{
	(void)state;
	run_until(1, true);
	run_until(RUNS, true);
}

static void test_cannot_start(void **state)
{
	(void)state;
	const struct reconcile_config config = {.metrics_listen = "nowhere", .interval_ms = 1};
	const struct reconcile_request request = {.actor = "timer"};
	const struct watch_opts opts = {.config = &config, .request = &request};
	struct err err = {0};
	memset(&fake, 0, sizeof(fake));
	assert_int_equal(watch_run(&opts, &err), -1);
	assert_int_equal(fake.runs, 0);
	assert_true(*err.text);
}

static void test_pause(void **state)
{
	(void)state;
	static const int64_t intervals[] = {1, 3, 4, 1000, 300000000, INT64_C(86400000000)};
	for (size_t i = 0; i < N_OF(intervals); i++) {
		int64_t least = INT64_MAX, most = 0;
		for (int n = 0; n < 10000; n++) {
			int64_t pause = watch_pause_us(intervals[i]);
			least = pause < least ? pause : least;
			most = pause > most ? pause : most;
		}
		assert_true(least >= intervals[i] - intervals[i] / 4);
		assert_true(most <= intervals[i] + intervals[i] / 4 + 1);
		assert_true(intervals[i] < 4 || least < most);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_runs_until_told_to_stop),
	    cmocka_unit_test(test_stops_between_runs),
	    cmocka_unit_test(test_cannot_start),
	    cmocka_unit_test(test_pause),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
