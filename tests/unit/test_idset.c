#include "queue/idset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_idset(void **state)
{
	(void)state;
	enum { MAX = 100, RANGE = 400, STEPS = 200000 };
	struct idset set;
	struct err err = {0};
	static int slots[RANGE]; /* slot + 1, by id */
	uint64_t random = 88172645463325252u;
	assert_int_equal(idset_init(&set, MAX, &err), 0);
	for (int step = 0; step < STEPS; step++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		int64_t id = (int64_t)(random % RANGE);
		assert_int_equal(idset_find(&set, id), slots[id] - 1);
		if (slots[id]) {
			idset_remove(&set, slots[id] - 1);
			slots[id] = 0;
		} else {
			int count = set.count, slot = idset_add(&set, id);
			assert_true(count == MAX ? slot == -1 : slot >= 0 && slot < MAX);
			slots[id] = slot + 1;
		}
	}
	for (int64_t id = 0; id < RANGE; id++)
		assert_int_equal(idset_find(&set, id), slots[id] - 1);
	idset_done(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_idset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
