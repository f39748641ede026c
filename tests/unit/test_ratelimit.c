/* The token bucket: what it lets through at which time, and the table of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/ratelimit.h"
#include "base/macros.h"

enum { SECOND = 1000000 };

struct row {
	const char *name;
	int64_t per_second, burst;
	int64_t after_us; /* since the row before; the first row of a bucket: since it was full */
	bool allowed;
	int64_t remaining, retry_us, full_us;
	bool fresh; /* begins with a full bucket */
};

static const struct row rows[] = {
    {"first of three", 1, 3, 0, true, 2, 0, SECOND, true},
    {"second", 1, 3, 0, true, 1, 0, 2 * SECOND, false},
    {"third", 1, 3, 0, true, 0, 0, 3 * SECOND, false},
    {"one too many", 1, 3, 0, false, 0, SECOND, 3 * SECOND, false},
    {"a refusal costs nothing", 1, 3, 0, false, 0, SECOND, 3 * SECOND, false},
    {"a moment too early", 1, 3, SECOND - 1, false, 0, 1, 2 * SECOND + 1, false},
    {"just in time", 1, 3, 1, true, 0, 0, 3 * SECOND, false},
    {"after a rest", 1, 3, 2 * SECOND, true, 1, 0, 2 * SECOND, false},
    {"never more than the burst", 1, 3, 1000 * (int64_t)SECOND, true, 2, 0, SECOND, false},
    {"burst of one", 10, 1, 0, true, 0, 0, SECOND / 10, true},
    {"no second one", 10, 1, 0, false, 0, SECOND / 10, SECOND / 10, false},
    {"a tenth later", 10, 1, SECOND / 10, true, 0, 0, SECOND / 10, false},
    {"fastest", RATELIMIT_PER_SECOND_MAX, 2, 0, true, 1, 0, 1, true},
    {"fastest again", RATELIMIT_PER_SECOND_MAX, 2, 0, true, 0, 0, 2, false},
    {"fastest refused", RATELIMIT_PER_SECOND_MAX, 2, 0, false, 0, 1, 2, false},
};

static void test_rows(void **state)
{
	(void)state;
	int64_t now_us = 0, full_at_ns = 0;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct row *row = &rows[i];
		const struct ratelimit_rate rate = {row->per_second, row->burst};
		if (row->fresh)
			full_at_ns = 0;
		now_us += row->after_us;
		struct ratelimit_verdict got = ratelimit_take(&full_at_ns, &rate, now_us);
		if (got.allowed != row->allowed || got.remaining != row->remaining ||
		    got.retry_after_us != row->retry_us || got.full_after_us != row->full_us)
			fail_msg("%s: allowed %d, remaining %lld, retry %lld, full %lld", row->name,
			         got.allowed, (long long)got.remaining, (long long)got.retry_after_us,
			         (long long)got.full_after_us);
	}
}

/* Over a long time exactly the rate gets through, whatever the pattern of asking. */
static void test_long_run(void **state)
{
	(void)state;
	const struct ratelimit_rate rate = {7, 20};
	int64_t full_at_ns = 0, allowed = 0;
	for (int64_t now_us = 0; now_us < 100 * (int64_t)SECOND; now_us += 1 + now_us % 9973)
		allowed += ratelimit_take(&full_at_ns, &rate, now_us).allowed;
	assert_in_range(allowed, 7 * 100 + 19, 7 * 100 + 20);
}

static struct uuid id_of(uint32_t slot, uint32_t n)
{
	struct uuid id = {{0}};
	memcpy(id.bytes, &slot, sizeof(slot));
	memcpy(id.bytes + 8, &n, sizeof(n));
	return id;
}

static void test_table(void **state)
{
	(void)state;
	struct err err = {0};
	struct ratelimit *limit = ratelimit_new(&err);
	const struct ratelimit_rate rate = {1, 1};
	assert_non_null(limit);
	/* Keys do not share a bucket, also when they begin at the same place. */
	for (uint32_t n = 1; n <= 8; n++) {
		struct uuid id = id_of(RATELIMIT_BUCKETS - 1, n);
		assert_true(ratelimit_key(limit, &id, &rate, n).allowed);
	}
	for (uint32_t n = 1; n <= 8; n++) {
		struct uuid id = id_of(RATELIMIT_BUCKETS - 1, n);
		assert_false(ratelimit_key(limit, &id, &rate, 8).allowed);
	}
	/* A ninth takes the place of the one that is nearest to full. */
	struct uuid ninth = id_of(RATELIMIT_BUCKETS - 1, 9), first = id_of(RATELIMIT_BUCKETS - 1, 1);
	struct uuid second = id_of(RATELIMIT_BUCKETS - 1, 2);
	assert_true(ratelimit_key(limit, &ninth, &rate, 9).allowed);
	assert_false(ratelimit_key(limit, &ninth, &rate, 9).allowed);
	assert_false(ratelimit_key(limit, &second, &rate, 9).allowed);
	assert_true(ratelimit_key(limit, &first, &rate, 9).allowed);
	ratelimit_free(limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_long_run),
	    cmocka_unit_test(test_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
