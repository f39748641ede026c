#include "asker.h"

#include <string.h>

enum { WAIT_MAX_US = 1000000 };

void asker_init(struct asker *asker, struct loop *loop, struct platform *platform,
                struct pacer *pacer)
{
	*asker = (struct asker){.loop = loop, .platform = platform, .pacer = pacer};
	asker->waiting_end = &asker->waiting;
}

/* ---- the two lists ---- */

static void wait_for_turn(struct asker *asker, struct ask *ask, int64_t delay_us)
{
	ask->due_us = loop_now_us(asker->loop) + delay_us;
	ask->next = NULL;
	ask->link = asker->waiting_end;
	*asker->waiting_end = ask;
	asker->waiting_end = &ask->next;
}

static void take_from_list(struct asker *asker, struct ask *ask)
{
	if (asker->waiting_end == &ask->next)
		asker->waiting_end = ask->link;
	*ask->link = ask->next;
	if (ask->next)
		ask->next->link = ask->link;
}

static void be_out(struct asker *asker, struct ask *ask)
{
	ask->next = asker->out;
	ask->link = &asker->out;
	if (ask->next)
		ask->next->link = &ask->next;
	asker->out = ask;
}

void asker_put(struct asker *asker, struct ask *ask, int64_t delay_us)
{
	ask->asker = asker;
	ask->attempts = 0;
	wait_for_turn(asker, ask, delay_us);
}

/* ---- answers ---- */

/* True when the call will be made once more. */
static bool again(struct ask *ask, const struct platform_answer *answer)
{
	struct asker *asker = ask->asker;
	int64_t wait_us = pacer_retry_us(asker->pacer, answer, ask->attempts);
	if (wait_us < 0)
		return false;
	asker->retries++;
	wait_for_turn(asker, ask, wait_us);
	return true;
}

static void answered(struct ask *ask, const struct platform_answer *answer)
{
	struct platform_answer malformed;
	if (again(ask, answer) || ask->take(ask->arg, answer))
		return;
	malformed = *answer;
	malformed.fault = PLATFORM_MALFORMED;
	malformed.body = NULL;
	malformed.body_len = 0;
	if (!again(ask, &malformed))
		(void)ask->take(ask->arg, &malformed);
}

static void on_answer(void *arg, const struct platform_answer *answer)
{
	struct ask *ask = arg;
	ask->call = NULL;
	take_from_list(ask->asker, ask);
	pacer_done(ask->asker->pacer);
	answered(ask, answer);
}

/* ---- sending ---- */

/* A call that could not even be sent: no attempt of the platform's, but one of ours. */
static void refused(struct ask *ask, const struct err *err)
{
	struct platform_answer answer = {0};
	/* An id that no path can carry stays so; memory may come back. */
	answer.fault = err->kind == ERR_REJECT ? PLATFORM_CANCELLED : PLATFORM_CONNECT;
	(void)memccpy(answer.code, err->code, '\0', sizeof(answer.code) - 1);
	(void)memccpy(answer.text, err->text, '\0', sizeof(answer.text) - 1);
	answered(ask, &answer);
}

static void send_ask(struct asker *asker, struct ask *ask)
{
	struct err err = {0};
	struct platform_request request = ask->request;
	request.done = on_answer;
	request.arg = ask;
	take_from_list(asker, ask);
	ask->attempts++;
	ask->call = platform_send(asker->platform, &request, &err);
	if (ask->call) {
		be_out(asker, ask);
		return;
	}
	pacer_done(asker->pacer);
	refused(ask, &err);
}

static struct ask *first_due(const struct asker *asker, int64_t *ret_wait_us)
{
	int64_t now_us = loop_now_us(asker->loop);
	for (struct ask *ask = asker->waiting; ask; ask = ask->next) {
		if (ask->due_us <= now_us)
			return ask;
		if (ask->due_us - now_us < *ret_wait_us)
			*ret_wait_us = ask->due_us - now_us;
	}
	return NULL;
}

/* Sends all that may be sent now. Returns after how long to look again. */
static int64_t send_due(struct asker *asker)
{
	for (;;) {
		int64_t wait_us = WAIT_MAX_US;
		struct ask *ask = first_due(asker, &wait_us);
		if (!ask)
			return wait_us;
		int64_t pace_us = pacer_take(asker->pacer);
		if (pace_us > 0)
			return pace_us < WAIT_MAX_US ? pace_us : WAIT_MAX_US;
		send_ask(asker, ask);
	}
}

/* ---- driving ---- */

static void drop_all(struct asker *asker)
{
	while (asker->out) {
		struct ask *ask = asker->out;
		take_from_list(asker, ask);
		platform_cancel(ask->call);
		pacer_done(asker->pacer);
	}
	asker->waiting = NULL;
	asker->waiting_end = &asker->waiting;
}

static int stopped(const bool *stop, struct err *err)
{
	return *stop ? err_set(err, ERR_RETRY, "stopped", "told to stop") : 0;
}

bool asker_idle(const struct asker *asker)
{
	return !asker->waiting && !asker->out;
}

/* 1: go on; 0: all is asked and answered. */
static int round_trip(struct asker *asker, int (*feed)(void *arg, struct err *err), void *arg,
                      const bool *stop, struct err *err)
{
	if (stopped(stop, err) < 0 || feed(arg, err) < 0)
		return -1;
	if (asker_idle(asker))
		return 0;
	int64_t wait_us = send_due(asker);
	/* What could not be sent may have ended here and now, and made room. */
	if (asker_idle(asker))
		return 1;
	return loop_once(asker->loop, wait_us, err) < 0 ? -1 : 1;
}

int asker_run(struct asker *asker, int (*feed)(void *arg, struct err *err), void *arg,
              const bool *stop, struct err *err)
{
	int rc;
	/* Blocking work may lie between the loop's last round and now. */
	if (asker_breathe(asker->loop, stop, err) < 0)
		return -1;
	while ((rc = round_trip(asker, feed, arg, stop, err)) > 0)
		;
	if (rc < 0)
		drop_all(asker);
	return rc;
}

int asker_breathe(struct loop *loop, const bool *stop, struct err *err)
{
	if (loop_once(loop, 0, err) < 0)
		return -1;
	return stopped(stop, err);
}
