#include "base/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
	struct err err = {0};
	*state = metrics_new(&err);
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	metrics_free(*state);
	return 0;
}

static void expect_text(const struct metrics *metrics, const char *want)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	metrics_write(metrics, &out);
	assert_false(out.failed);
	assert_string_equal(out.data ? out.data : "", want);
	buf_done(&out);
}

static double seven_and_a_half(void *arg)
{
	return *(double *)arg;
}

static void test_text(void **state)
{
	struct metrics *m = *state;
	double asked = 7.5;
	expect_text(m, "");
	struct metric *ok = metrics_counter(m, "req_total", "code=\"2xx\"", "Requests.");
	struct metric *bad = metrics_counter(m, "req_total", "code=\"5xx\"", "Requests.");
	struct metric *open = metrics_gauge(m, "open", NULL, "Open\nconnections \\ now.");
	(void)metrics_gauge_fn(m, "asked", "", "Asked for.", seven_and_a_half, &asked);
	metric_add(ok, 1);
	metric_add(ok, 2);
	metric_add(bad, 0);
	metric_set(open, 5);
	metric_add(open, -7);
	expect_text(m, "# HELP req_total Requests.\n"
	               "# TYPE req_total counter\n"
	               "req_total{code=\"2xx\"} 3\n"
	               "req_total{code=\"5xx\"} 0\n"
	               "# HELP open Open\\nconnections \\\\ now.\n"
	               "# TYPE open gauge\n"
	               "open -2\n"
	               "# HELP asked Asked for.\n"
	               "# TYPE asked gauge\n"
	               "asked 7.5\n");
	assert_true(metric_value(ok) == 3);
	asked = 8;
	assert_true(metric_value(open) == -2);
}

static void test_numbers(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
	    {0, "0"},
	    {-0.0, "0"},
	    {0.1, "0.1"},
	    {1.0 / 3, "0.33333333333333331"},
	    {1e15, "1000000000000000"},
	    {9007199254740991.0, "9007199254740991"},
	    {1e300, "1e+300"},
	    {-2.5, "-2.5"},
	    {NAN, "NaN"},
	    {INFINITY, "+Inf"},
	    {-INFINITY, "-Inf"},
	};
	struct metric *g = metrics_gauge(*state, "g", NULL, "G.");
	for (size_t i = 0; i < N_OF(cases); i++) {
		char want[100] = "# HELP g G.\n# TYPE g gauge\ng ";
		(void)strncat(want, cases[i].text, 40);
		(void)strncat(want, "\n", 2);
		metric_set(g, cases[i].value);
		expect_text(*state, want);
	}
}

static void test_counter_never_goes_down(void **state)
{
	struct metric *c = metrics_counter(*state, "c", NULL, "C.");
	metric_add(c, 2);
	metric_add(c, -1);
	metric_add(c, NAN);
	assert_true(metric_value(c) == 2);
}

static void test_histogram(void **state)
{
	static const double seen[] = {0, 0.0001, 0.00011, 0.003, 0.9, 499.9, 500, 501, 1e9, NAN, -1};
	struct metric *h = metrics_histogram(*state, "t_seconds", "op=\"x\"", "T.");
	for (size_t i = 0; i < N_OF(seen); i++)
		metric_observe(h, seen[i]);
	assert_true(metric_value(h) == 10);
	expect_text(*state, "# HELP t_seconds T.\n"
	                    "# TYPE t_seconds histogram\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.0001\"} 3\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.00025\"} 4\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.0005\"} 4\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.001\"} 4\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.0025\"} 4\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.005\"} 5\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.01\"} 5\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.025\"} 5\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.05\"} 5\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.1\"} 5\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.25\"} 5\n"
	                    "t_seconds_bucket{op=\"x\",le=\"0.5\"} 5\n"
	                    "t_seconds_bucket{op=\"x\",le=\"1\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"2.5\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"5\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"10\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"25\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"50\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"100\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"250\"} 6\n"
	                    "t_seconds_bucket{op=\"x\",le=\"500\"} 8\n"
	                    "t_seconds_bucket{op=\"x\",le=\"+Inf\"} 10\n"
	                    "t_seconds_sum{op=\"x\"} 1000001500.80321\n"
	                    "t_seconds_count{op=\"x\"} 10\n");
}

static void test_histogram_without_labels(void **state)
{
	metric_observe(metrics_histogram(*state, "t", NULL, "T."), 1000);
	struct buf out;
	buf_init(&out, 1 << 20);
	metrics_write(*state, &out);
	assert_non_null(strstr(out.data, "\nt_bucket{le=\"500\"} 0\nt_bucket{le=\"+Inf\"} 1\n"
	                                 "t_sum 1000\nt_count 1\n"));
	buf_done(&out);
}

/* At the maximum and one past it. */
static void test_bound(void **state)
{
	struct metric *last = NULL;
	for (int i = 0; i < METRICS_MAX; i++)
		last = metrics_counter(*state, "c", NULL, "C.");
	metric_add(last, 1);
	struct metric *past = metrics_counter(*state, "past", NULL, "P.");
	assert_non_null(past);
	metric_add(past, 1);
	metric_observe(metrics_histogram(*state, "past", NULL, "P."), 1);
	metric_set(metrics_gauge(*state, "past", NULL, "P."), 1);
	double value = 1;
	struct metric *fn = metrics_gauge_fn(*state, "past", NULL, "P.", seven_and_a_half, &value);
	(void)metric_value(fn);
	struct buf out;
	buf_init(&out, 1 << 20);
	metrics_write(*state, &out);
	assert_non_null(strstr(out.data, "c 1\n"));
	assert_null(strstr(out.data, "past"));
	buf_done(&out);
}

static void test_buffer_too_small(void **state)
{
	(void)metrics_counter(*state, "name", NULL, "Help.");
	struct buf out;
	buf_init(&out, 20);
	metrics_write(*state, &out);
	assert_true(out.failed);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_counter_never_goes_down, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_histogram, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_histogram_without_labels, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_buffer_too_small, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
