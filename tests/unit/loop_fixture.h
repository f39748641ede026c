/* What the loop is tested on: a loop with a clock that moves when it is told to, and timers,
 * descriptors and tasks that log their calls. */
#ifndef TESTS_UNIT_LOOP_FIXTURE_H
#define TESTS_UNIT_LOOP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/macros.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

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

#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif
