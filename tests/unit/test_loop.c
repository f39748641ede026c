#include "base/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

/* ---- a clock that moves when it is told to ---- */

struct hands {
	int64_t mono_us, wall_us;
};

static int64_t mono(void *arg)
{
	return ((struct hands *)arg)->mono_us;
}

static int64_t wall(void *arg)
{
	return ((struct hands *)arg)->wall_us;
}

/* What every test works with: a loop, and a log of what was called, one letter a call. */
struct rig {
	struct hands hands;
	struct clock clock;
	struct loop *loop;
	char log[256];
	size_t log_len;
};

static int set_up(void **state)
{
	static struct rig rig;
	struct err err = {0};
	rig = (struct rig){.hands = {.mono_us = 1000000, .wall_us = 1700000000000000}};
	rig.clock = (struct clock){mono, wall, &rig.hands};
	rig.loop = loop_new(&rig.clock, &err);
	*state = &rig;
	return rig.loop ? 0 : -1;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	loop_free(rig->loop);
	return 0;
}

static void note(struct rig *rig, char letter)
{
	if (rig->log_len < sizeof(rig->log) - 1)
		rig->log[rig->log_len++] = letter;
}

/* One round, without waiting, `us` later. */
static void round_after(struct rig *rig, int64_t us)
{
	struct err err = {0};
	rig->hands.mono_us += us;
	if (loop_once(rig->loop, 0, &err) < 0)
		fail_msg("%s", err.text);
}

/* The log so far, which starts anew. */
static void assert_log(struct rig *rig, const char *want)
{
	rig->log[rig->log_len] = '\0';
	rig->log_len = 0;
	assert_string_equal(rig->log, want);
}

/* ---- timers ---- */

struct item {
	struct rig *rig;
	char letter;
	struct loop_timer timer;
	void (*then)(struct item *item); /* may be NULL */
	struct item *other;
	int64_t delay_us;
};

static void on_timer(void *arg)
{
	struct item *item = arg;
	note(item->rig, item->letter);
	if (item->then)
		item->then(item);
}

static void init_items(struct rig *rig, struct item *items, int count)
{
	for (int i = 0; i < count; i++) {
		items[i] = (struct item){.rig = rig, .letter = (char)('a' + i)};
		loop_timer_init(&items[i].timer, on_timer, &items[i]);
	}
}

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

/* ---- descriptors ---- */

struct sock {
	struct rig *rig;
	char letter;
	struct loop_io io;
	int fd;
	uint32_t got; /* events */
	void (*then)(struct sock *sock);
	struct sock *other;
};

static void on_sock(void *arg, uint32_t events)
{
	struct sock *sock = arg;
	note(sock->rig, sock->letter);
	sock->got = events;
	if (sock->then)
		sock->then(sock);
}

static void add_sock(struct sock *sock, uint32_t events)
{
	struct err err = {0};
	if (loop_io_add(sock->rig->loop, &sock->io, sock->fd, events, on_sock, sock, &err) < 0)
		fail_msg("%s", err.text);
}

static void set_sock(struct sock *sock, uint32_t events)
{
	struct err err = {0};
	if (loop_io_set(sock->rig->loop, &sock->io, events, &err) < 0)
		fail_msg("%s", err.text);
}

/* Descriptors that can be read and written at once. */
static void open_socks(struct rig *rig, struct sock *socks, int count)
{
	for (int i = 0; i < count; i++) {
		socks[i] = (struct sock){.rig = rig, .letter = (char)('a' + i)};
		socks[i].fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
		assert_true(socks[i].fd >= 0);
	}
}

static void close_socks(struct sock *socks, int count)
{
	for (int i = 0; i < count; i++) {
		loop_io_del(socks[i].rig->loop, &socks[i].io);
		assert_false(socks[i].io.added);
		(void)close(socks[i].fd);
	}
}

static void test_events_that_are_asked_for(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *name;
		uint32_t events;
		bool called;
	} cases[] = {
	    {"nothing", 0, false},         {"read", EPOLLIN, true},
	    {"write", EPOLLOUT, true},     {"both", EPOLLIN | EPOLLOUT, true},
	    {"read again", EPOLLIN, true}, {"read once more", EPOLLIN, true},
	    {"nothing again", 0, false},
	};
	struct sock sock;
	open_socks(rig, &sock, 1);
	add_sock(&sock, 0);
	for (size_t i = 0; i < N_OF(cases); i++) {
		set_sock(&sock, cases[i].events);
		sock.got = 0;
		round_after(rig, 1);
		if (rig->log_len != cases[i].called || sock.got != cases[i].events)
			fail_msg("%s: called %zu times with %x", cases[i].name, rig->log_len, sock.got);
		rig->log_len = 0;
	}
	close_socks(&sock, 1);
	round_after(rig, 1);
	assert_log(rig, "");
}

static void test_hang_up_is_always_reported(void **state)
{
	struct rig *rig = *state;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	struct sock sock = {.rig = rig, .letter = 'a', .fd = fds[0]};
	add_sock(&sock, 0);
	round_after(rig, 1);
	assert_log(rig, "");
	(void)close(fds[1]);
	round_after(rig, 1);
	assert_log(rig, "a");
	assert_int_equal(sock.got, EPOLLHUP);
	close_socks(&sock, 1);
}

static void del_self(struct sock *sock)
{
	loop_io_del(sock->rig->loop, &sock->io);
}

/* Whichever of the ready ones comes first silences all others. */
static void del_others(struct sock *sock)
{
	for (struct sock *other = sock->other; other != sock; other = other->other) {
		loop_io_del(sock->rig->loop, &other->io);
		(void)close(other->fd);
		memset(&other->io, 0xa5,
		       sizeof(other->io)); /* its memory is gone, as far as the loop knows */
		other->io.added = false;
	}
}

/* Removes another one and adds it again, at once: its old event is not its own any more. */
static void renew_others(struct sock *sock)
{
	for (struct sock *other = sock->other; other != sock; other = other->other) {
		loop_io_del(sock->rig->loop, &other->io);
		add_sock(other, EPOLLIN);
		other->then = NULL;
	}
}

static void link_ring(struct sock *socks, int count)
{
	for (int i = 0; i < count; i++)
		socks[i].other = &socks[(i + 1) % count];
}

static void test_removing_itself(void **state)
{
	struct rig *rig = *state;
	struct sock sock;
	open_socks(rig, &sock, 1);
	sock.then = del_self;
	add_sock(&sock, EPOLLIN);
	round_after(rig, 1);
	round_after(rig, 1);
	assert_log(rig, "a");
	close_socks(&sock, 1);
}

static void test_removing_others_that_are_ready_in_the_same_round(void **state)
{
	struct rig *rig = *state;
	struct sock socks[5];
	open_socks(rig, socks, 5);
	link_ring(socks, 5);
	for (int i = 0; i < 5; i++) {
		socks[i].then = del_others;
		add_sock(&socks[i], EPOLLIN);
	}
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 1);
	struct sock *survivor = &socks[rig->log[0] - 'a'];
	survivor->then = NULL;
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 2);
	assert_int_equal(rig->log[1], survivor->letter);
	close_socks(survivor, 1);
}

static void test_renewing_others_that_are_ready_in_the_same_round(void **state)
{
	struct rig *rig = *state;
	struct sock socks[3];
	open_socks(rig, socks, 3);
	link_ring(socks, 3);
	for (int i = 0; i < 3; i++) {
		socks[i].then = renew_others;
		add_sock(&socks[i], EPOLLIN);
	}
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 1);
	for (int i = 0; i < 3; i++)
		socks[i].then = NULL;
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 4);
	close_socks(socks, 3);
}

static void add_other(struct sock *sock)
{
	sock->then = NULL;
	add_sock(sock->other, EPOLLIN);
}

static void quiet_self(struct sock *sock)
{
	set_sock(sock, 0);
}

static void test_adding_and_changing_within_a_callback(void **state)
{
	struct rig *rig = *state;
	struct sock socks[2];
	open_socks(rig, socks, 2);
	link_ring(socks, 2);
	socks[0].then = add_other;
	add_sock(&socks[0], EPOLLIN);
	round_after(rig, 1);
	assert_log(rig, "a");
	socks[0].then = quiet_self;
	socks[1].then = quiet_self;
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 2);
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 2);
	set_sock(&socks[1], EPOLLIN);
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 3);
	assert_int_equal(rig->log[2], 'b');
	close_socks(socks, 2);
}

/* More than the loop takes from the kernel at once. */
static void test_a_thousand_descriptors(void **state)
{
	struct rig *rig = *state;
	enum { COUNT = 1000 };
	static struct sock socks[COUNT];
	open_socks(rig, socks, COUNT);
	for (int i = 0; i < COUNT; i++) {
		socks[i].then = del_self;
		add_sock(&socks[i], EPOLLIN);
	}
	for (int i = 0; i < 10; i++)
		round_after(rig, 1);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(socks[i].got, EPOLLIN);
		assert_false(socks[i].io.added);
	}
	close_socks(socks, COUNT);
}

static void test_descriptors_that_cannot_be_watched(void **state)
{
	struct rig *rig = *state;
	struct err err = {0};
	struct loop_io io;
	assert_int_equal(loop_io_add(rig->loop, &io, -1, EPOLLIN, on_sock, rig, &err), -1);
	assert_int_equal(err.kind, ERR_FATAL);
	assert_string_equal(err.code, "EBADF");
	assert_false(io.added);
	loop_io_del(rig->loop, &io); /* a no-op */

	struct sock sock;
	open_socks(rig, &sock, 1);
	add_sock(&sock, EPOLLIN);
	err = (struct err){0};
	assert_int_equal(loop_io_add(rig->loop, &io, sock.fd, EPOLLIN, on_sock, rig, &err), -1);
	assert_string_equal(err.code, "EEXIST");
	assert_false(io.added);
	round_after(rig, 1);
	assert_log(rig, "a"); /* the first one is none the worse for it */
	close_socks(&sock, 1);
}

/* ---- tasks ---- */

struct job {
	struct rig *rig;
	char letter;
	struct loop_task task;
	void (*then)(struct job *job);
	struct job *other;
	int64_t runs;
};

static void on_job(void *arg)
{
	struct job *job = arg;
	note(job->rig, job->letter);
	job->runs++;
	if (job->then)
		job->then(job);
}

static void init_jobs(struct rig *rig, struct job *jobs, int count)
{
	for (int i = 0; i < count; i++) {
		jobs[i] = (struct job){.rig = rig, .letter = (char)('a' + i)};
		loop_task_init(&jobs[i].task, on_job, &jobs[i]);
	}
}

/* Letters: defer that job. Capitals: cancel it. */
static const struct task_case {
	const char *name, *asked, *want;
} task_cases[] = {
    {"none", "", ""},
    {"one", "a", "a"},
    {"in order", "abc", "abc"},
    {"in another order", "cab", "cab"},
    {"asked twice", "aabba", "ab"},
    {"cancel the only one", "aA", ""},
    {"cancel the first", "abcA", "bc"},
    {"cancel the middle one", "abcB", "ac"},
    {"cancel the last", "abcC", "ab"},
    {"cancel the last, then more", "abcCd", "abd"},
    {"cancel the only one, then more", "aAbc", "bc"},
    {"cancel and ask again", "abcAa", "bca"},
    {"cancel what was not asked for", "abD", "ab"},
    {"cancel twice", "abAA", "b"},
    {"cancel all", "abcBAC", ""},
    {"cancel all, then more", "abcBACdb", "db"},
};

static void test_tasks_run_in_the_order_of_asking(void **state)
{
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(task_cases); i++) {
		const struct task_case *c = &task_cases[i];
		struct job jobs[4];
		init_jobs(rig, jobs, 4);
		for (const char *p = c->asked; *p; p++)
			if (*p >= 'a')
				loop_defer(rig->loop, &jobs[*p - 'a'].task);
			else
				loop_task_cancel(rig->loop, &jobs[*p - 'A'].task);
		assert_int_equal(rig->log_len, 0);
		round_after(rig, 1);
		rig->log[rig->log_len] = '\0';
		if (strcmp(rig->log, c->want) != 0)
			fail_msg("%s: %s", c->name, rig->log);
		round_after(rig, 1); /* once only */
		assert_log(rig, c->want);
		for (int n = 0; n < 4; n++)
			assert_false(jobs[n].task.queued);
	}
}

static void defer_other(struct job *job)
{
	job->then = NULL;
	loop_defer(job->rig->loop, &job->other->task);
}

static void cancel_other(struct job *job)
{
	loop_task_cancel(job->rig->loop, &job->other->task);
}

static void defer_self(struct job *job)
{
	loop_defer(job->rig->loop, &job->task);
}

static void test_tasks_within_tasks(void **state)
{
	struct rig *rig = *state;
	struct job jobs[3];
	init_jobs(rig, jobs, 3);
	jobs[0].then = defer_other;
	jobs[0].other = &jobs[2];
	loop_defer(rig->loop, &jobs[0].task);
	loop_defer(rig->loop, &jobs[1].task);
	round_after(rig, 1);
	assert_log(rig, "abc"); /* in the same round, behind those that were there */
	jobs[0].then = cancel_other;
	jobs[0].other = &jobs[1];
	loop_defer(rig->loop, &jobs[0].task);
	loop_defer(rig->loop, &jobs[1].task);
	loop_defer(rig->loop, &jobs[2].task);
	round_after(rig, 1);
	assert_log(rig, "ac");
	jobs[0].then = defer_other;
	jobs[0].other = &jobs[0]; /* itself, once */
	loop_defer(rig->loop, &jobs[0].task);
	round_after(rig, 1);
	assert_log(rig, "aa");
}

/* A task that asks for itself for ever runs on, round after round, and starves nobody. */
static void test_tasks_are_bounded(void **state)
{
	struct rig *rig = *state;
	struct job job;
	struct sock sock;
	struct item item;
	init_jobs(rig, &job, 1);
	open_socks(rig, &sock, 1);
	init_items(rig, &item, 1);
	job.then = defer_self;
	loop_defer(rig->loop, &job.task);
	round_after(rig, 1);
	int64_t first = job.runs;
	assert_in_range(first, 2, 1000000);
	add_sock(&sock, EPOLLIN);
	loop_timer_set(rig->loop, &item.timer, 1);
	rig->log_len = 0;
	round_after(rig, 1);
	assert_memory_equal(rig->log, "aaa", 3); /* the descriptor, the timer, then the task */
	assert_int_equal(job.runs, 2 * first);
	assert_int_equal(sock.got, EPOLLIN);
	assert_false(item.timer.armed);
	loop_task_cancel(rig->loop, &job.task);
	round_after(rig, 1);
	assert_int_equal(job.runs, 2 * first);
	close_socks(&sock, 1);
}

static struct job *job_of_timer;

static void then_defer(struct item *item)
{
	loop_defer(item->rig->loop, &job_of_timer->task);
}

static void test_descriptors_then_timers_then_tasks(void **state)
{
	struct rig *rig = *state;
	struct sock sock;
	struct item item;
	struct job jobs[3];
	open_socks(rig, &sock, 1);
	init_items(rig, &item, 1);
	init_jobs(rig, jobs, 3);
	item.letter = 'b';
	item.then = then_defer;
	job_of_timer = &jobs[2];
	loop_timer_set(rig->loop, &item.timer, 1);
	add_sock(&sock, EPOLLIN);
	round_after(rig, 1);
	assert_log(rig, "abc");
	close_socks(&sock, 1);
}

/* ---- running ---- */

static void stop_now(struct job *job)
{
	loop_stop(job->rig->loop);
	if (job->other)
		loop_defer(job->rig->loop, &job->other->task);
}

static void test_run_until_stopped(void **state)
{
	struct rig *rig = *state;
	struct job jobs[2];
	struct err err = {0};
	init_jobs(rig, jobs, 2);
	jobs[0].then = stop_now;
	jobs[0].other = &jobs[1];
	for (int i = 0; i < 2; i++) { /* and it can be run again */
		loop_defer(rig->loop, &jobs[0].task);
		assert_int_equal(loop_run(rig->loop, &err), 0);
		assert_log(rig, "ab"); /* the round is finished */
	}
}

static void stop_loop(struct item *item)
{
	loop_stop(item->rig->loop);
}

/* A timer that is due is no reason to wait, however long the caller would. */
static void test_a_due_timer_needs_no_waiting(void **state)
{
	struct rig *rig = *state;
	struct item item;
	struct err err = {0};
	init_items(rig, &item, 1);
	item.then = stop_loop;
	loop_timer_set(rig->loop, &item.timer, 1000);
	rig->hands.mono_us += 1000;
	assert_int_equal(loop_run(rig->loop, &err), 0);
	loop_timer_set(rig->loop, &item.timer, 1000);
	rig->hands.mono_us += 5000000;
	assert_int_equal(loop_once(rig->loop, INT64_MAX, &err), 0);
	assert_log(rig, "aa");
}

static int64_t real_us(void)
{
	const struct clock *clock = clock_system();
	return clock->mono_us(clock->arg);
}

static void never(void *arg)
{
	(void)arg;
	fail_msg("a timer fired before its time");
}

/* How long a round waits, while the clock of the timers stands still. Only a few milliseconds, or
 * the test itself would take long. */
static const struct wait_case {
	const char *name;
	int64_t timer_us; /* 0: no timer */
	int64_t max_wait_us;
	bool task;
	int64_t at_least_us;
} wait_cases[] = {
    {"not at all", 0, 0, false, 0},
    {"at most so long", 0, 2000, false, 2000},
    {"a part of a millisecond is a whole one", 0, 1001, false, 2000},
    {"until the timer", 3000, -1, false, 3000},
    {"until the timer, though longer is fine", 3000, 60000000, false, 3000},
    {"not until the timer", 60000000, 2000, false, 2000},
    {"not at all, though there is a timer", 60000000, 0, false, 0},
    {"not at all when there is a task", 60000000, -1, true, 0},
    {"nor when there is only a task", 0, -1, true, 0},
};

static void test_waiting(void **state)
{
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(wait_cases); i++) {
		const struct wait_case *c = &wait_cases[i];
		struct loop_timer timer;
		struct job job;
		struct err err = {0};
		loop_timer_init(&timer, never, NULL);
		init_jobs(rig, &job, 1);
		if (c->timer_us)
			loop_timer_set(rig->loop, &timer, c->timer_us);
		if (c->task)
			loop_defer(rig->loop, &job.task);
		int64_t began_us = real_us();
		assert_int_equal(loop_once(rig->loop, c->max_wait_us, &err), 0);
		int64_t took_us = real_us() - began_us;
		if (took_us < c->at_least_us || took_us > 1000000)
			fail_msg("%s: %lld us", c->name, (long long)took_us);
		loop_timer_stop(rig->loop, &timer);
	}
}

/* With nothing to wait for but a descriptor, however far away the next timer is. */
static void test_waiting_for_a_descriptor(void **state)
{
	struct rig *rig = *state;
	static const int64_t timers_us[] = {0, 3600000000, 3600001000, INT64_MAX / 2, INT64_MAX};
	for (size_t i = 0; i < N_OF(timers_us); i++) {
		const struct itimerspec soon = {.it_value.tv_nsec = 1000000};
		struct sock sock = {.rig = rig, .letter = 'a', .fd = timerfd_create(CLOCK_MONOTONIC, 0)};
		struct loop_timer timer;
		struct err err = {0};
		assert_true(sock.fd >= 0);
		loop_timer_init(&timer, never, NULL);
		if (timers_us[i])
			loop_timer_set(rig->loop, &timer, timers_us[i]);
		add_sock(&sock, EPOLLIN);
		assert_int_equal(timerfd_settime(sock.fd, 0, &soon, NULL), 0);
		assert_int_equal(loop_once(rig->loop, -1, &err), 0);
		assert_log(rig, "a");
		loop_timer_stop(rig->loop, &timer);
		close_socks(&sock, 1);
	}
}

static void on_alarm(int number)
{
	(void)number;
}

/* A signal that is not the loop's ends the waiting, and is no error. */
static void test_waiting_is_interrupted(void **state)
{
	struct rig *rig = *state;
	const struct sigaction action = {.sa_handler = on_alarm};
	const struct itimerval soon = {.it_value.tv_usec = 1000};
	struct sigaction before;
	struct err err = {0};
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(loop_once(rig->loop, 10000000, &err), 0);
	assert_int_equal(err.kind, ERR_NONE);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

/* ---- the kernel says no ---- */

/* The descriptors that would be opened next. */
struct next {
	int first, second;
};

static struct next next_fds(void)
{
	struct next next = {dup(STDERR_FILENO), dup(STDERR_FILENO)};
	assert_true(next.first >= 0 && next.second >= 0);
	(void)close(next.first);
	(void)close(next.second);
	return next;
}

static void test_free_closes_everything(void **state)
{
	struct rig *rig = *state;
	struct next before = next_fds();
	struct err err = {0};
	sigset_t mask;
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
	struct loop *loop = loop_new(&rig->clock, &err);
	assert_non_null(loop);
	assert_int_equal(loop_signals(loop, NULL, NULL, &err), 0);
	assert_true(next_fds().first > before.second);
	loop_free(loop);
	assert_int_equal(next_fds().first, before.first);
	assert_int_equal(next_fds().second, before.second);
	assert_int_equal(sigprocmask(SIG_SETMASK, &mask, NULL), 0);
	loop_free(NULL);
}

static void test_no_descriptors_left(void **state)
{
	struct rig *rig = *state;
	struct rlimit before, none;
	struct err err = {0}, signals_err = {0};
	sigset_t mask;
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct loop *loop = loop_new(&rig->clock, &err);
	int rc = loop_signals(rig->loop, NULL, NULL, &signals_err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, &mask, NULL), 0);
	assert_null(loop);
	assert_int_equal(err.kind, ERR_FATAL);
	assert_string_equal(err.code, "EMFILE");
	assert_int_equal(rc, -1);
	assert_int_equal(signals_err.kind, ERR_FATAL);
	assert_string_equal(signals_err.code, "EMFILE");
}

static void test_a_broken_loop_says_so(void **state)
{
	struct rig *rig = *state;
	struct err err = {0};
	int fd = next_fds().first;
	struct loop *loop = loop_new(&rig->clock, &err);
	assert_non_null(loop);
	(void)close(fd); /* its own, from under it */
	assert_int_equal(loop_run(loop, &err), -1);
	assert_int_equal(err.kind, ERR_FATAL);
	assert_string_equal(err.code, "EBADF");
	loop_free(loop);
}

/* ---- signals ---- */

static void on_signal(void *arg, int number)
{
	note(arg, number == SIGTERM ? 't' : number == SIGINT ? 'i' : number == SIGHUP ? 'h' : '?');
}

static const struct signal_case {
	const char *name;
	int numbers[3];
	const char *want; /* in any order: the kernel's is by number */
} signal_cases[] = {
    {"term", {SIGTERM}, "t"},
    {"int", {SIGINT}, "i"},
    {"hup", {SIGHUP}, "h"},
    {"the same twice is one", {SIGHUP, SIGHUP}, "h"},
    {"all three", {SIGTERM, SIGHUP, SIGINT}, "hit"},
    {"pipe is nothing", {SIGPIPE}, ""},
};

static void test_signals(void **state)
{
	struct rig *rig = *state;
	struct err err = {0};
	sigset_t before;
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &before), 0);
	assert_int_equal(loop_signals(rig->loop, on_signal, rig, &err), 0);
	for (size_t i = 0; i < N_OF(signal_cases); i++) {
		const struct signal_case *c = &signal_cases[i];
		for (int n = 0; n < 3 && c->numbers[n]; n++)
			assert_int_equal(raise(c->numbers[n]), 0);
		round_after(rig, 1);
		rig->log[rig->log_len] = '\0';
		if (strlen(rig->log) != strlen(c->want) || strspn(rig->log, c->want) != rig->log_len)
			fail_msg("%s: %s", c->name, rig->log);
		rig->log_len = 0;
	}
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

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
	    LOOP_TEST(test_events_that_are_asked_for),
	    LOOP_TEST(test_hang_up_is_always_reported),
	    LOOP_TEST(test_removing_itself),
	    LOOP_TEST(test_removing_others_that_are_ready_in_the_same_round),
	    LOOP_TEST(test_renewing_others_that_are_ready_in_the_same_round),
	    LOOP_TEST(test_adding_and_changing_within_a_callback),
	    LOOP_TEST(test_a_thousand_descriptors),
	    LOOP_TEST(test_descriptors_that_cannot_be_watched),
	    LOOP_TEST(test_tasks_run_in_the_order_of_asking),
	    LOOP_TEST(test_tasks_within_tasks),
	    LOOP_TEST(test_tasks_are_bounded),
	    LOOP_TEST(test_descriptors_then_timers_then_tasks),
	    LOOP_TEST(test_run_until_stopped),
	    LOOP_TEST(test_a_due_timer_needs_no_waiting),
	    LOOP_TEST(test_waiting),
	    LOOP_TEST(test_waiting_for_a_descriptor),
	    LOOP_TEST(test_waiting_is_interrupted),
	    LOOP_TEST(test_free_closes_everything),
	    LOOP_TEST(test_no_descriptors_left),
	    LOOP_TEST(test_a_broken_loop_says_so),
	    LOOP_TEST(test_signals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
