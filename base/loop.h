/* The event loop: one thread, one epoll. libpq, libcurl, librdkafka's queue descriptors and the
 * HTTP server are all sources on it, so that our own state needs no locks.
 *
 * Sources are embedded in the struct that owns them and never allocate:
 *
 *     struct thing { struct loop_timer tick; struct loop_io sock; };
 *     loop_timer_init(&t->tick, thing_on_tick, t);
 *     loop_timer_set(loop, &t->tick, 1000000);
 *
 * A callback may add, change or remove any source, its own included. A source must be removed
 * before its memory goes. Nothing here is safe to call from another thread. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "err.h"

struct loop;

/* `clock` must outlive the loop. NULL and *err (ERR_FATAL) when the kernel has no descriptors. */
struct loop *loop_new(const struct clock *clock, struct err *err) MUST_CHECK;
void loop_free(struct loop *loop); /* NULL is fine */

/* Runs until loop_stop(). Returns 0, or -1 (ERR_FATAL) when epoll itself fails. */
int loop_run(struct loop *loop, struct err *err) MUST_CHECK;
/* Makes loop_run() return after the current round. */
void loop_stop(struct loop *loop);
/* One round: waits at most max_wait_us (0: do not wait, <0: until something happens). */
int loop_once(struct loop *loop, int64_t max_wait_us, struct err *err) MUST_CHECK;

/* The monotonic time at the start of this round, microseconds. */
int64_t loop_now_us(const struct loop *loop);
/* The wall clock, read anew, microseconds since 1970. */
int64_t loop_wall_us(const struct loop *loop);

/* Descriptors. `events` are EPOLLIN | EPOLLOUT; EPOLLERR and EPOLLHUP are always reported. */
struct loop_io {
	int fd; /* not owned */
	uint32_t events;
	void (*fn)(void *arg, uint32_t events);
	void *arg;
	bool added;
};
int loop_io_add(struct loop *loop, struct loop_io *io, int fd, uint32_t events,
                void (*fn)(void *arg, uint32_t events), void *arg, struct err *err) MUST_CHECK;
/* Changes what is waited for. A no-op when nothing changes. */
int loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events, struct err *err) MUST_CHECK;
/* Before the descriptor is closed. A no-op on a source that is not added. */
void loop_io_del(struct loop *loop, struct loop_io *io);

/* One-shot timers on the monotonic clock, in an intrusive pairing heap: set is O(1), expiry and
 * stop O(log n) amortised. */
struct loop_timer {
	int64_t due_us;
	void (*fn)(void *arg);
	void *arg;
	struct loop_timer *child, *next, *prev; /* heap links */
	bool armed;
};
void loop_timer_init(struct loop_timer *timer, void (*fn)(void *arg), void *arg);
/* (Re)arms the timer to fire once, delay_us from now (not before the next round). */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_us);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer); /* a no-op when not armed */

/* Work for the end of this round, before the loop waits again. Queued once however often it is
 * asked for; runs in the order of asking. */
struct loop_task {
	void (*fn)(void *arg);
	void *arg;
	struct loop_task *next;
	bool queued;
};
void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg);
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop *loop, struct loop_task *task);

/* Blocks SIGTERM, SIGINT and SIGHUP for the process and delivers them here. Call before any
 * thread is started (librdkafka starts some). SIGPIPE is ignored. */
int loop_signals(struct loop *loop, void (*fn)(void *arg, int signal), void *arg,
                 struct err *err) MUST_CHECK;

#endif
