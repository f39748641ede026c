/* libcurl's descriptors on the loop: what stays registered between two uses, and what ends it. */
#include "platform/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

enum { WAIT_MS = 30 };

struct fixture {
	struct loop *loop;
	struct watches watches;
	int fd, peer; /* connected to each other */
	int calls, last_fd;
	uint32_t last_events;
};

static void on_ready(void *arg, int fd, uint32_t events)
{
	struct fixture *f = arg;
	f->calls++;
	f->last_fd = fd;
	f->last_events = events;
}

/* A pair whose first descriptor has the number `want`, or any when that is negative. */
static void make_pair(struct fixture *f, int want)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	f->fd = fds[0];
	f->peer = fds[1];
	if (want < 0 || want == f->fd)
		return;
	if (want == f->peer) {
		f->fd = fds[1];
		f->peer = fds[0];
		return;
	}
	assert_int_equal(dup2(fds[0], want), want);
	(void)close(fds[0]);
	f->fd = want;
}

static void close_pair(const struct fixture *f)
{
	(void)close(f->fd);
	(void)close(f->peer);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->loop = loop_new(clock_system(), NULL);
	assert_non_null(f->loop);
	watches_init(&f->watches, f->loop, on_ready, f);
	make_pair(f, -1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	watches_done(&f->watches);
	close_pair(f);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void say(const struct fixture *f)
{
	assert_int_equal(write(f->peer, "x", 1), 1);
}

static int calls_in_one_round(struct fixture *f)
{
	int before = f->calls;
	assert_int_equal(loop_once(f->loop, 0, NULL), 0);
	return f->calls - before;
}

/* The round waits for its whole time: no descriptor wakes the loop. */
static bool sleeps(struct fixture *f)
{
	struct timespec begin, end;
	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(loop_once(f->loop, WAIT_MS * 1000, NULL), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	return (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 >=
	       WAIT_MS - 1;
}

static void test_what_is_wanted_is_told(void **state)
{
	struct fixture *f = *state;
	watches_opened(&f->watches, f->fd);
	watches_want(&f->watches, f->fd, EPOLLIN | EPOLLOUT);
	assert_int_equal(calls_in_one_round(f), 1);
	assert_int_equal(f->last_fd, f->fd);
	assert_int_equal(f->last_events, EPOLLOUT);
	watches_want(&f->watches, f->fd, EPOLLIN);
	assert_int_equal(calls_in_one_round(f), 0);
	say(f);
	assert_int_equal(calls_in_one_round(f), 1);
	assert_int_equal(f->last_events, EPOLLIN);
}

static void test_it_can_be_wanted_again(void **state)
{
	struct fixture *f = *state;
	watches_opened(&f->watches, f->fd);
	for (int i = 0; i < 3; i++) {
		watches_want(&f->watches, f->fd, EPOLLIN);
		watches_want(&f->watches, f->fd, 0);
		assert_int_equal(calls_in_one_round(f), 0);
	}
	watches_want(&f->watches, f->fd, EPOLLIN);
	say(f);
	assert_int_equal(calls_in_one_round(f), 1);
}

/* Readiness that nobody wants is swallowed once and then wakes nobody; whoever wants it again is
 * told of it. */
static void test_readiness_between_two_uses(void **state)
{
	struct fixture *f = *state;
	watches_opened(&f->watches, f->fd);
	for (int i = 0; i < 3; i++) {
		watches_want(&f->watches, f->fd, EPOLLIN);
		watches_want(&f->watches, f->fd, 0);
		say(f);
		assert_int_equal(calls_in_one_round(f), 0);
		assert_true(sleeps(f));
		watches_want(&f->watches, f->fd, EPOLLIN);
		assert_int_equal(calls_in_one_round(f), 1);
	}
}

static void test_the_end_between_two_uses(void **state)
{
	struct fixture *f = *state;
	watches_opened(&f->watches, f->fd);
	watches_want(&f->watches, f->fd, EPOLLIN);
	watches_want(&f->watches, f->fd, 0);
	(void)shutdown(f->peer, SHUT_RDWR);
	assert_int_equal(calls_in_one_round(f), 0);
	assert_true(sleeps(f));
	assert_int_equal(f->calls, 0);
}

/* An idle connection can always be written to. */
static void test_the_wish_to_write_ends_with_the_use(void **state)
{
	struct fixture *f = *state;
	watches_opened(&f->watches, f->fd);
	watches_want(&f->watches, f->fd, EPOLLIN | EPOLLOUT);
	watches_want(&f->watches, f->fd, 0);
	assert_true(sleeps(f));
	assert_int_equal(f->calls, 0);
}

static void test_a_closed_one_tells_nothing(void **state)
{
	struct fixture *f = *state;
	watches_opened(&f->watches, f->fd);
	watches_want(&f->watches, f->fd, EPOLLIN);
	say(f);
	watches_closed(&f->watches, f->fd);
	assert_int_equal(calls_in_one_round(f), 0);
	watches_closed(&f->watches, f->fd);
	watches_closed(&f->watches, 1 << 20); /* never heard of */
	watches_want(&f->watches, 1 << 20, 0);
}

/* The number of a closed descriptor comes back with the next one. */
static void reuse(struct fixture *f, bool lasting, bool told)
{
	if (lasting)
		watches_opened(&f->watches, f->fd);
	watches_want(&f->watches, f->fd, EPOLLIN);
	assert_int_equal(calls_in_one_round(f), 0);
	watches_want(&f->watches, f->fd, 0);
	if (told)
		watches_closed(&f->watches, f->fd);
	int fd = f->fd;
	close_pair(f);
	make_pair(f, fd);
	if (lasting)
		watches_opened(&f->watches, f->fd);
	watches_want(&f->watches, f->fd, EPOLLIN);
	say(f);
	assert_int_equal(calls_in_one_round(f), 1);
	assert_int_equal(f->last_fd, fd);
}

static void test_a_number_that_is_used_again(void **state)
{
	reuse(*state, true, true);
}

static void test_a_number_that_was_closed_behind_our_back(void **state)
{
	reuse(*state, true, false);
}

/* The resolver's: not announced, and closed when nobody looks. */
static void test_a_number_that_was_never_announced(void **state)
{
	reuse(*state, false, false);
}

struct closing {
	struct fixture *f;
	int other;
};

static void on_ready_close_other(void *arg, int fd, uint32_t events)
{
	struct closing *closing = arg;
	(void)fd, (void)events;
	closing->f->calls++;
	watches_closed(&closing->f->watches, closing->f->fd);
	watches_closed(&closing->f->watches, closing->other);
}

/* Two are ready in one round; the first one's callback closes both. */
static void test_readiness_that_is_stale(void **state)
{
	struct fixture *f = *state;
	int more[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, more), 0);
	struct closing closing = {f, more[0]};
	f->watches.fn = on_ready_close_other;
	f->watches.arg = &closing;
	watches_opened(&f->watches, f->fd);
	watches_opened(&f->watches, more[0]);
	watches_want(&f->watches, f->fd, EPOLLIN);
	watches_want(&f->watches, more[0], EPOLLIN);
	say(f);
	assert_int_equal(write(more[1], "x", 1), 1);
	assert_int_equal(calls_in_one_round(f), 1);
	(void)close(more[0]);
	(void)close(more[1]);
}

static void test_high_numbers(void **state)
{
	struct fixture *f = *state;
	close_pair(f);
	make_pair(f, 700);
	watches_opened(&f->watches, f->fd);
	watches_want(&f->watches, f->fd, EPOLLIN);
	say(f);
	assert_int_equal(calls_in_one_round(f), 1);
	assert_int_equal(f->last_fd, 700);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_what_is_wanted_is_told),
	    TEST(test_it_can_be_wanted_again),
	    TEST(test_readiness_between_two_uses),
	    TEST(test_the_end_between_two_uses),
	    TEST(test_the_wish_to_write_ends_with_the_use),
	    TEST(test_a_closed_one_tells_nothing),
	    TEST(test_a_number_that_is_used_again),
	    TEST(test_a_number_that_was_closed_behind_our_back),
	    TEST(test_a_number_that_was_never_announced),
	    TEST(test_readiness_that_is_stale),
	    TEST(test_high_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
