#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reconcile/screen.h"

static int setup(void **state)
{
	return (*state = screen_new()) ? 0 : -1;
}

static int teardown(void **state)
{
	screen_free(*state);
	return 0;
}

/* Hashes that a poor function might give. */
static const struct {
	const char *name;
	uint64_t first, step;
} series[] = {
    {"one after the other", 0, 1},
    {"of the upper half only", 0, UINT64_C(1) << 32},
    {"of the top only", 0, UINT64_C(1) << 44},
    {"all over", 1, UINT64_C(0x9e3779b97f4a7c15)},
};
enum { COUNT = 1000000, OLD_MAX = 30 };

static void tells_the_new_from_the_old(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(series); i++) {
		void *screen;
		int old = 0, missed = 0;
		assert_int_equal(setup(&screen), 0);
		for (uint64_t n = 0; n < COUNT; n++)
			old += screen_again(screen, series[i].first + n * series[i].step);
		for (uint64_t n = 0; n < COUNT; n++)
			missed += !screen_again(screen, series[i].first + n * series[i].step);
		if (missed > 0 || old > OLD_MAX)
			fail_msg("%s: %d missed, %d taken for old", series[i].name, missed, old);
		(void)teardown(&screen);
	}
}

static void begins_with_nothing(void **state)
{
	assert_false(screen_again(*state, 0));
	assert_true(screen_again(*state, 0));
	assert_false(screen_again(*state, UINT64_MAX));
	assert_true(screen_again(*state, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tells_the_new_from_the_old),
	    cmocka_unit_test_setup_teardown(begins_with_nothing, setup, teardown),
	};
	return cmocka_run_group_tests_name("screen", tests, NULL, NULL);
}
