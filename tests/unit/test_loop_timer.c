/* When timers fire, and in which order: few of them, one by one, and a hundred thousand. */
#include "loop_fixture.h"

static const struct order_case {
	const char *name;
	int64_t delays_us[6]; /* of a, b, ...; 0 ends */
	int64_t after_us;
	const char *want;
} order_cases[] = {
    {"one, due", {10}, 10, "a"},
    {"one, a microsecond early", {10}, 9, ""},
    {"one, late", {10}, 1000000, "a"},
    {"rising", {1, 2, 3, 4, 5, 6}, 6, "abcdef"},
    {"falling", {6, 5, 4, 3, 2, 1}, 6, "fedcba"},
    {"mixed", {30, 10, 60, 20, 50, 40}, 60, "bdafec"},
    {"some of them", {30, 10, 60, 20, 50, 40}, 30, "bda"},
    {"far apart", {3600000000, 1, 86400000000}, 3600000000, "ba"},
};

static void test_timers_fire_in_the_order_of_their_time(void **state)
{
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(order_cases); i++) {
		const struct order_case *c = &order_cases[i];
		struct item items[6];
		init_items(rig, items, 6);
		round_after(rig, 0);
		for (int n = 0; n < 6 && c->delays_us[n]; n++)
			loop_timer_set(rig->loop, &items[n].timer, c->delays_us[n]);
		round_after(rig, 0);
		assert_int_equal(rig->log_len, 0);
		round_after(rig, c->after_us);
		rig->log[rig->log_len] = '\0';
		if (strcmp(rig->log, c->want) != 0)
			fail_msg("%s: %s", c->name, rig->log);
		rig->log_len = 0;
		for (int n = 0; n < 6; n++)
			loop_timer_stop(rig->loop, &items[n].timer);
		round_after(rig, 1000000000000);
		assert_log(rig, "");
	}
}

static void test_a_timer_fires_once(void **state)
{
	struct rig *rig = *state;
	struct item item;
	init_items(rig, &item, 1);
	loop_timer_set(rig->loop, &item.timer, 10);
	assert_true(item.timer.armed);
	round_after(rig, 10);
	assert_false(item.timer.armed);
	round_after(rig, 10);
	assert_log(rig, "a");
}

static void test_setting_again_replaces(void **state)
{
	struct rig *rig = *state;
	struct item items[2];
	init_items(rig, items, 2);
	loop_timer_set(rig->loop, &items[0].timer, 10);
	loop_timer_set(rig->loop, &items[1].timer, 20);
	loop_timer_set(rig->loop, &items[0].timer, 30); /* later */
	round_after(rig, 20);
	assert_log(rig, "b");
	loop_timer_set(rig->loop, &items[0].timer, 1); /* sooner */
	round_after(rig, 1);
	assert_log(rig, "a");
	round_after(rig, 100);
	assert_log(rig, "");
}

static void test_a_stopped_timer_stays_silent(void **state)
{
	struct rig *rig = *state;
	struct item items[3];
	init_items(rig, items, 3);
	for (int i = 0; i < 3; i++)
		loop_timer_set(rig->loop, &items[i].timer, 10 + i);
	loop_timer_stop(rig->loop, &items[0].timer); /* the root */
	loop_timer_stop(rig->loop, &items[2].timer);
	loop_timer_stop(rig->loop, &items[2].timer); /* a no-op */
	assert_false(items[2].timer.armed);
	round_after(rig, 100);
	assert_log(rig, "b");
	loop_timer_stop(rig->loop, &items[1].timer); /* a no-op */
	loop_timer_set(rig->loop, &items[2].timer, 5);
	round_after(rig, 5);
	assert_log(rig, "c");
}

static void then_set_self(struct item *item)
{
	loop_timer_set(item->rig->loop, &item->timer, item->delay_us);
}

static void then_set_other(struct item *item)
{
	loop_timer_set(item->rig->loop, &item->other->timer, item->delay_us);
}

static void then_stop_other(struct item *item)
{
	loop_timer_stop(item->rig->loop, &item->other->timer);
}

static void then_stop_self(struct item *item)
{
	loop_timer_stop(item->rig->loop, &item->timer);
}

/* Set to 0 or less within its own callback, a timer waits for the next round: or this one would
 * never end. */
static void test_zero_is_the_next_round(void **state)
{
	struct rig *rig = *state;
	static const int64_t delays_us[] = {0, -1, INT64_MIN};
	for (size_t i = 0; i < N_OF(delays_us); i++) {
		struct item item;
		init_items(rig, &item, 1);
		item.then = then_set_self;
		item.delay_us = delays_us[i];
		loop_timer_set(rig->loop, &item.timer, 0);
		for (int n = 0; n < 3; n++) {
			round_after(rig, 1);
			assert_log(rig, "a");
		}
		round_after(rig, 1000000); /* late: no more than once all the same */
		assert_log(rig, "a");
		loop_timer_stop(rig->loop, &item.timer);
	}
}

static void test_zero_between_rounds_is_the_next_round(void **state)
{
	struct rig *rig = *state;
	struct item item;
	init_items(rig, &item, 1);
	loop_timer_set(rig->loop, &item.timer, 0);
	assert_log(rig, "");
	round_after(rig, 1);
	assert_log(rig, "a");
}

static const struct within_case {
	const char *name;
	void (*then)(struct item *item); /* in a's callback, about b; both are due, a first */
	int64_t delay_us;
	const char *want, *want_next; /* in this round, and 10 us later */
} within_cases[] = {
    {"nothing", NULL, 0, "ab", ""},
    {"stops the other", then_stop_other, 0, "a", ""},
    {"stops itself", then_stop_self, 0, "ab", ""},
    {"puts the other off", then_set_other, 10, "a", "b"},
    {"puts the other off by nothing", then_set_other, 0, "a", "b"},
    {"sets itself", then_set_self, 10, "ab", "a"},
};

static void test_timers_within_callbacks(void **state)
{
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(within_cases); i++) {
		const struct within_case *c = &within_cases[i];
		struct item items[2];
		init_items(rig, items, 2);
		items[0].then = c->then;
		items[0].delay_us = c->delay_us;
		items[0].other = &items[1];
		loop_timer_set(rig->loop, &items[0].timer, 1);
		loop_timer_set(rig->loop, &items[1].timer, 2);
		round_after(rig, 5);
		assert_log(rig, c->want);
		items[0].then = NULL;
		round_after(rig, 10);
		assert_log(rig, c->want_next);
	}
}

static void test_a_timer_counts_from_the_round(void **state)
{
	struct rig *rig = *state;
	struct item item;
	init_items(rig, &item, 1);
	round_after(rig, 1000);
	assert_int_equal(loop_now_us(rig->loop), rig->hands.mono_us);
	rig->hands.mono_us += 500; /* time that passes within the round */
	assert_int_equal(loop_now_us(rig->loop), rig->hands.mono_us - 500);
	loop_timer_set(rig->loop, &item.timer, 600);
	round_after(rig, 99);
	assert_log(rig, "");
	round_after(rig, 1);
	assert_log(rig, "a");
	assert_int_equal(loop_wall_us(rig->loop), 1700000000000000);
	rig->hands.wall_us = 5; /* set back by an administrator: no timer cares */
	assert_int_equal(loop_wall_us(rig->loop), 5);
}

/* ---- many timers against a reference ---- */

enum { MANY = 100000 };
struct many {
	struct rig *rig;
	struct loop_timer timer;
	int64_t due_us; /* 0: not armed */
};
static struct many many[MANY];
static int64_t last_due_us;
static int fired;

static uint64_t random_below(uint64_t bound)
{
	static uint64_t seed = 42;
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % bound;
}

static void on_many(void *arg)
{
	struct many *one = arg;
	if (one->due_us == 0 || one->due_us > one->rig->hands.mono_us)
		fail_msg("a timer of %lld fired at %lld", (long long)one->due_us,
		         (long long)one->rig->hands.mono_us);
	if (one->due_us < last_due_us)
		fail_msg("a timer of %lld fired after one of %lld", (long long)one->due_us,
		         (long long)last_due_us);
	last_due_us = one->due_us;
	one->due_us = 0;
	fired++;
}

static void init_many(struct rig *rig, int count)
{
	for (int i = 0; i < count; i++) {
		many[i] = (struct many){.rig = rig};
		loop_timer_init(&many[i].timer, on_many, &many[i]);
	}
}

static void set_one(struct rig *rig, struct many *one, int64_t delay_us)
{
	loop_timer_set(rig->loop, &one->timer, delay_us);
	one->due_us = loop_now_us(rig->loop) + delay_us;
}

static void run_round(struct rig *rig, int64_t us)
{
	last_due_us = 0;
	round_after(rig, us);
}

static void test_a_hundred_thousand_timers(void **state)
{
	struct rig *rig = *state;
	init_many(rig, MANY);
	fired = 0;
	for (int i = 0; i < MANY; i++)
		set_one(rig, &many[i], 1 + (int64_t)random_below(1000000));
	int want = 0;
	for (int i = 0; i < MANY; i++)
		want += many[i].due_us <= 1500000;
	run_round(rig, 500000);
	assert_int_equal(fired, want);
	run_round(rig, 500000);
	assert_int_equal(fired, MANY);
}

/* 100000 random steps on 500 timers: set, set again, stop, a round. */
static void test_random_steps_against_a_reference(void **state)
{
	struct rig *rig = *state;
	enum { COUNT = 500, STEPS = 100000 };
	init_many(rig, COUNT);
	for (int step = 0; step < STEPS; step++) {
		struct many *one = &many[random_below(COUNT)];
		uint64_t dice = random_below(100);
		if (dice < 60) {
			set_one(rig, one, 1 + (int64_t)random_below(dice < 5 ? 3 : 1000));
		} else if (dice < 85) {
			loop_timer_stop(rig->loop, &one->timer);
			one->due_us = 0;
		} else {
			run_round(rig, (int64_t)random_below(60));
			for (int i = 0; i < COUNT; i++)
				if (many[i].due_us != 0 && many[i].due_us <= rig->hands.mono_us)
					fail_msg("a timer of %lld did not fire", (long long)many[i].due_us);
		}
		assert_int_equal(one->timer.armed, one->due_us != 0);
	}
	for (int i = 0; i < COUNT; i++)
		loop_timer_stop(rig->loop, &many[i].timer);
	fired = 0;
	run_round(rig, 1000000);
	assert_int_equal(fired, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_timers_fire_in_the_order_of_their_time),
	    LOOP_TEST(test_a_timer_fires_once),
	    LOOP_TEST(test_setting_again_replaces),
	    LOOP_TEST(test_a_stopped_timer_stays_silent),
	    LOOP_TEST(test_zero_is_the_next_round),
	    LOOP_TEST(test_zero_between_rounds_is_the_next_round),
	    LOOP_TEST(test_timers_within_callbacks),
	    LOOP_TEST(test_a_timer_counts_from_the_round),
	    LOOP_TEST(test_a_hundred_thousand_timers),
	    LOOP_TEST(test_random_steps_against_a_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
