#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EVENTS_PER_ROUND = 256 };

struct loop {
	const struct clock *clock;
	int epoll_fd;
	int64_t now_us;
	bool stopped;
	struct loop_timer *timers; /* root of the heap: the earliest */
	struct loop_task *tasks, **tasks_end;
	struct epoll_event ready[EVENTS_PER_ROUND];
	int ready_count;
	struct loop_io signal_io;
	void (*signal_fn)(void *arg, int signal);
	void *signal_arg;
};

struct loop *loop_new(const struct clock *clock, struct err *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop) {
		(void)err_oom(err);
		return NULL;
	}
	loop->clock = clock;
	loop->now_us = clock->mono_us(clock->arg);
	loop->tasks_end = &loop->tasks;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		(void)err_errno(err, ERR_FATAL, errno, "cannot create an epoll descriptor");
		free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->signal_io.added) {
		loop_io_del(loop, &loop->signal_io);
		(void)close(loop->signal_io.fd);
	}
	(void)close(loop->epoll_fd);
	free(loop);
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

int64_t loop_now_us(const struct loop *loop)
{
	return loop->now_us;
}

int64_t loop_wall_us(const struct loop *loop)
{
	return loop->clock->wall_us(loop->clock->arg);
}

/* ---- descriptors ---- */

static int ctl(struct loop *loop, int op, struct loop_io *io, struct err *err)
{
	struct epoll_event ev = {.events = io->events, .data.ptr = io};
	if (epoll_ctl(loop->epoll_fd, op, io->fd, &ev) < 0)
		return err_errno(err, ERR_FATAL, errno, "cannot watch descriptor %d", io->fd);
	return 0;
}

int loop_io_add(struct loop *loop, struct loop_io *io, int fd, uint32_t events,
                void (*fn)(void *arg, uint32_t events), void *arg, struct err *err)
{
	*io = (struct loop_io){.fd = fd, .events = events, .fn = fn, .arg = arg};
	if (ctl(loop, EPOLL_CTL_ADD, io, err) < 0)
		return -1;
	io->added = true;
	return 0;
}

int loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events, struct err *err)
{
	if (io->events == events)
		return 0;
	io->events = events;
	return ctl(loop, EPOLL_CTL_MOD, io, err);
}

void loop_io_del(struct loop *loop, struct loop_io *io)
{
	if (!io->added)
		return;
	io->added = false;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	/* It may stand in the list of this round, further down. */
	for (int i = 0; i < loop->ready_count; i++)
		if (loop->ready[i].data.ptr == io)
			loop->ready[i].data.ptr = NULL;
}

/* ---- timers: an intrusive pairing heap ----
 * `prev` is the left sibling, or the parent for a first child. */

static struct loop_timer *meld(struct loop_timer *a, struct loop_timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->due_us < a->due_us) {
		struct loop_timer *swap = a;
		a = b;
		b = swap;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	a->next = a->prev = NULL;
	return a;
}

/* Melds a list of siblings pairwise, left to right, then right to left: without recursion. */
static struct loop_timer *meld_list(struct loop_timer *first)
{
	struct loop_timer *pairs = NULL;
	while (first) {
		struct loop_timer *a = first, *b = a->next;
		first = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	struct loop_timer *root = NULL;
	while (pairs) {
		struct loop_timer *next = pairs->next;
		pairs->next = NULL;
		root = meld(root, pairs);
		pairs = next;
	}
	return root;
}

static void heap_remove(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer *rest = meld_list(timer->child);
	if (timer == loop->timers) {
		loop->timers = rest;
	} else {
		if (timer->prev->child == timer)
			timer->prev->child = timer->next;
		else
			timer->prev->next = timer->next;
		if (timer->next)
			timer->next->prev = timer->prev;
		loop->timers = meld(loop->timers, rest);
	}
	timer->child = timer->next = timer->prev = NULL;
	timer->armed = false;
}

void loop_timer_init(struct loop_timer *timer, void (*fn)(void *arg), void *arg)
{
	*timer = (struct loop_timer){.fn = fn, .arg = arg};
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_us)
{
	if (timer->armed)
		heap_remove(loop, timer);
	if (delay_us <= 0)
		delay_us = 1; /* never this round */
	timer->due_us = delay_us < INT64_MAX - loop->now_us ? loop->now_us + delay_us : INT64_MAX;
	timer->armed = true;
	loop->timers = meld(loop->timers, timer);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	if (timer->armed)
		heap_remove(loop, timer);
}

/* A timer set meanwhile is due after now_us, so each fires at most once a round. */
static void run_timers(struct loop *loop)
{
	while (loop->timers && loop->timers->due_us <= loop->now_us) {
		struct loop_timer *timer = loop->timers;
		heap_remove(loop, timer);
		timer->fn(timer->arg);
	}
}

/* ---- tasks ---- */

void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg)
{
	*task = (struct loop_task){.fn = fn, .arg = arg};
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	struct loop_task **at = &loop->tasks;
	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
	if (!task->next)
		loop->tasks_end = at;
	task->queued = false;
}

static struct loop_task *take_task(struct loop *loop)
{
	struct loop_task *task = loop->tasks;
	if (task)
		loop_task_cancel(loop, task);
	return task;
}

/* Tasks that tasks ask for run in the same round, within a bound: one that asks for itself for
 * ever must not starve the descriptors. */
static void run_tasks(struct loop *loop)
{
	struct loop_task *task;
	for (int budget = 10000; budget > 0 && (task = take_task(loop)); budget--)
		task->fn(task->arg);
}

/* ---- rounds ---- */

static int wait_ms(const struct loop *loop, int64_t max_wait_us)
{
	int64_t wait_us = max_wait_us;
	if (loop->timers) {
		int64_t until = loop->timers->due_us - loop->clock->mono_us(loop->clock->arg);
		until = until > 0 ? until : 0;
		wait_us = wait_us < 0 || until < wait_us ? until : wait_us;
	}
	if (loop->tasks)
		wait_us = 0;
	if (wait_us < 0)
		return -1;
	/* Rounded up: a loop that wakes a moment early would spin until the moment has passed. */
	int64_t ms = (wait_us + 999) / 1000;
	return ms > 3600000 ? 3600000 : (int)ms;
}

int loop_once(struct loop *loop, int64_t max_wait_us, struct err *err)
{
	int n = epoll_wait(loop->epoll_fd, loop->ready, EVENTS_PER_ROUND, wait_ms(loop, max_wait_us));
	if (n < 0 && errno != EINTR)
		return err_errno(err, ERR_FATAL, errno, "epoll_wait failed");
	loop->now_us = loop->clock->mono_us(loop->clock->arg);
	loop->ready_count = n > 0 ? n : 0;
	for (int i = 0; i < loop->ready_count; i++) {
		struct loop_io *io = loop->ready[i].data.ptr;
		if (io)
			io->fn(io->arg, loop->ready[i].events);
	}
	loop->ready_count = 0;
	run_timers(loop);
	run_tasks(loop);
	return 0;
}

int loop_run(struct loop *loop, struct err *err)
{
	loop->stopped = false;
	while (!loop->stopped)
		if (loop_once(loop, -1, err) < 0)
			return -1;
	return 0;
}

/* ---- signals ---- */

static void on_signal(void *arg, uint32_t events)
{
	(void)events;
	struct loop *loop = arg;
	struct signalfd_siginfo info;
	while (read(loop->signal_io.fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		loop->signal_fn(loop->signal_arg, (int)info.ssi_signo);
}

int loop_signals(struct loop *loop, void (*fn)(void *arg, int signal), void *arg, struct err *err)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_errno(err, ERR_FATAL, errno, "cannot block signals");
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_errno(err, ERR_FATAL, errno, "cannot create a signal descriptor");
	loop->signal_fn = fn;
	loop->signal_arg = arg;
	if (loop_io_add(loop, &loop->signal_io, fd, EPOLLIN, on_signal, loop, err) < 0) {
		(void)close(fd);
		return -1;
	}
	return 0;
}
