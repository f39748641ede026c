/* Random bytes: small requests come from a pool, which must never give anything out twice. */
#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 5000 };

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(uint64_t));
}

static void must_differ(uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	for (size_t i = 1; i < count; i++)
		assert_true(values[i] != values[i - 1]);
}

static void test_nothing_comes_twice(void **state)
{
	(void)state;
	static uint64_t values[MANY];
	for (size_t i = 0; i < MANY; i++)
		rand_bytes(&values[i], sizeof(values[i]));
	must_differ(values, MANY);
}

/* Sizes that do not divide the pool's, and those on both sides of what it serves. */
static void test_every_size_is_filled(void **state)
{
	(void)state;
	for (size_t size = 0; size <= 1100; size++) {
		unsigned char bytes[1104] = {0};
		uint64_t seen[1104 / 8];
		for (int round = 0; size >= 8 && round < 64 && !bytes[size - 1]; round++)
			rand_bytes(bytes, size);
		if (size >= 8)
			assert_true(bytes[size - 1]);
		else
			rand_bytes(bytes, size);
		for (size_t i = size; i < sizeof(bytes); i++)
			assert_int_equal(bytes[i], 0);
		memcpy(seen, bytes, sizeof(seen));
		must_differ(seen, size / 8);
	}
}

static void test_below(void **state)
{
	(void)state;
	int counts[10] = {0};
	for (int i = 0; i < 10000; i++)
		counts[rand_below(10)]++;
	for (int i = 0; i < 10; i++)
		assert_in_range(counts[i], 700, 1300); /* ten standard deviations */
	assert_int_equal(rand_below(0), 0);
	assert_int_equal(rand_below(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing_comes_twice),
	    cmocka_unit_test(test_every_size_is_filled),
	    cmocka_unit_test(test_below),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
