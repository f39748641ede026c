#include "base/backoff.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct ceiling_case {
	const char *name;
	struct backoff policy;
	int attempt;
	int64_t want_ms;
} ceiling_cases[] = {
    {"first", {100, 5000}, 0, 100},
    {"second", {100, 5000}, 1, 200},
    {"third", {100, 5000}, 2, 400},
    {"last below the cap", {100, 5000}, 5, 3200},
    {"first at the cap", {100, 5000}, 6, 5000},
    {"far past the cap", {100, 5000}, 1000, 5000},
    {"the cap exactly", {100, 800}, 3, 800},
    {"one past the cap", {100, 799}, 3, 799},
    {"base is the cap", {100, 100}, 0, 100},
    {"base is the cap, later", {100, 100}, 7, 100},
    {"smallest", {1, 1}, 0, 1},
    {"62 doublings", {1, INT64_MAX}, 62, (int64_t)1 << 62},
    {"63 doublings", {1, INT64_MAX}, 63, INT64_MAX},
    {"64 doublings", {1, INT64_MAX}, 64, INT64_MAX},
    {"overflow at once", {INT64_MAX / 2 + 1, INT64_MAX}, 1, INT64_MAX},
    {"just no overflow", {INT64_MAX / 2, INT64_MAX}, 1, INT64_MAX - 1},
    {"highest attempt", {1, INT64_MAX}, INT_MAX, INT64_MAX},
    {"highest attempt, low cap", {3, 1000}, INT_MAX, 1000},
    {"highest base", {INT64_MAX, INT64_MAX}, 0, INT64_MAX},
    {"negative attempt", {100, 5000}, -1, 100},
};

static void test_ceiling(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(ceiling_cases); i++) {
		const struct ceiling_case *c = &ceiling_cases[i];
		int64_t ms = backoff_ceiling_ms(&c->policy, c->attempt);
		if (ms != c->want_ms)
			fail_msg("%s: %lld", c->name, (long long)ms);
	}
}

static void test_jitter_is_within_bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(ceiling_cases); i++) {
		const struct ceiling_case *c = &ceiling_cases[i];
		for (int n = 0; n < 2000; n++) {
			int64_t ms = backoff_full_jitter_ms(&c->policy, c->attempt);
			if (ms < 0 || ms > c->want_ms)
				fail_msg("%s: %lld", c->name, (long long)ms);
		}
	}
}

/* Eleven values, both ends included, of 110000 draws: a count has a standard deviation of 95, and
 * the tolerance is ten of them. */
static void test_jitter_is_uniform(void **state)
{
	(void)state;
	const struct backoff policy = {5, 10};
	int counts[11] = {0};
	for (int n = 0; n < 110000; n++)
		counts[backoff_full_jitter_ms(&policy, 1)]++;
	for (size_t i = 0; i < N_OF(counts); i++)
		if (counts[i] < 9050 || counts[i] > 10950)
			fail_msg("%zu was drawn %d times of about 10000", i, counts[i]);
}

/* The widest range too: quarters of 40000 draws, standard deviation 87. */
static void test_wide_jitter_is_uniform(void **state)
{
	(void)state;
	const struct backoff policy = {1, INT64_MAX};
	int counts[4] = {0};
	for (int n = 0; n < 40000; n++)
		counts[backoff_full_jitter_ms(&policy, 100) >> 61]++;
	for (size_t i = 0; i < N_OF(counts); i++)
		if (counts[i] < 9130 || counts[i] > 10870)
			fail_msg("quarter %zu was drawn %d times of about 10000", i, counts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ceiling),
	    cmocka_unit_test(test_jitter_is_within_bounds),
	    cmocka_unit_test(test_jitter_is_uniform),
	    cmocka_unit_test(test_wide_jitter_is_uniform),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
