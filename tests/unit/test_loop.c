/* Tasks, rounds, how long a round waits, what the kernel refuses, and signals. */
#include "loop_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>

/* ---- tasks ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
