#include "intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/killpoint.h"
#include "base/log.h"

struct intake {
	struct loop *loop;
	struct intake_opts opts;
	struct consumer *consumer;
	struct consumer_item *items; /* the batch in work */
	int count;
	int from, to;    /* the part of it that is being doomed */
	bool one_by_one; /* the database refused the batch: find the item it refuses */
	int letter;      /* the next item to look at for a dead letter */
	int letters_out;
	bool letter_failed;
	int failures; /* of this batch, in a row */
	struct loop_task next;
	struct store_doom *dooms; /* batch_max */
	int *doomed_items;        /* which item each doom came from */
	int doom_count;
	struct metric *doomed, *batches;
};

static const struct backoff retry_policy = {.base_ms = 200, .cap_ms = 10000};

static void step(void *arg);

struct intake *intake_new(struct loop *loop, const struct intake_opts *opts, struct err *err)
{
	struct intake *intake = calloc(1, sizeof(*intake));
	if (intake) {
		intake->dooms = calloc((size_t)opts->batch_max, sizeof(*intake->dooms));
		intake->doomed_items = calloc((size_t)opts->batch_max, sizeof(*intake->doomed_items));
	}
	if (!intake || !intake->dooms || !intake->doomed_items) {
		intake_free(intake);
		(void)err_oom(err);
		return NULL;
	}
	intake->loop = loop;
	intake->opts = *opts;
	loop_task_init(&intake->next, step, intake);
	intake->doomed = metrics_counter(opts->metrics, "sandsweep_doomed_total", NULL,
	                                 "Ledger rows doomed by events.");
	intake->batches = metrics_counter(opts->metrics, "sandsweep_event_batches_total", NULL,
	                                  "Batches of events made durable.");
	return intake;
}

void intake_free(struct intake *intake)
{
	if (!intake)
		return;
	loop_task_cancel(intake->loop, &intake->next);
	free(intake->dooms);
	free(intake->doomed_items);
	free(intake);
}

void intake_attach(struct intake *intake, struct consumer *consumer)
{
	intake->consumer = consumer;
}

/* The whole batch again, later. Dooming is idempotent; a dead letter may be written twice. */
static void retry(struct intake *intake, const struct err *err)
{
	if (err->kind == ERR_FATAL) {
		intake->opts.on_fatal(intake->opts.arg, err);
		return;
	}
	if (intake->failures == 0)
		log_err(LOG_L_WARN, "intake.retry", err, NULL);
	int64_t wait_ms = backoff_full_jitter_ms(&retry_policy, intake->failures++);
	consumer_retry(intake->consumer, wait_ms + 1);
}

/* ---- dead letters ---- */

static void finish(struct intake *intake)
{
	if (intake->letter_failed) {
		const struct err err = {ERR_RETRY, "dead_letter", "a dead letter could not be written"};
		retry(intake, &err);
		return;
	}
	intake->failures = 0;
	metric_add(intake->batches, 1);
	consumer_done(intake->consumer);
}

static void on_letter(void *arg, const struct err *err)
{
	struct intake *intake = arg;
	intake->letters_out--;
	intake->letter_failed |= err && err->kind != ERR_REJECT;
	if (err && err->kind == ERR_REJECT) /* the broker will never take it: nothing is left to try */
		log_err(LOG_L_ERROR, "intake.dead_letter_refused", err, NULL);
	if (intake->letters_out == 0)
		loop_defer(intake->loop, &intake->next);
}

static void send_letters(struct intake *intake)
{
	for (; intake->letter < intake->count && !intake->letter_failed; intake->letter++) {
		const struct consumer_item *item = &intake->items[intake->letter];
		struct err err = {0};
		if (!*item->reject_code)
			continue;
		if (consumer_dead_letter(intake->consumer, intake->opts.producer, item, on_letter, intake,
		                         &err) < 0) {
			/* A full producer: go on when those before are through. */
			intake->letter_failed = intake->letters_out == 0;
			break;
		}
		intake->letters_out++;
	}
	if (intake->letters_out == 0)
		finish(intake);
}

/* ---- dooming ---- */

static void on_doom(void *arg, int at, const char *refusal, int64_t doomed, const struct err *err)
{
	struct intake *intake = arg;
	if (at >= 0) {
		struct consumer_item *item = &intake->items[intake->doomed_items[at]];
		(void)snprintf(item->reject_code, sizeof(item->reject_code), "%s", refusal);
		(void)snprintf(item->reject_text, sizeof(item->reject_text),
		               "the ledger refuses what this event names");
		return;
	}
	if (err && err->kind == ERR_REJECT && intake->to - intake->from > 1) {
		intake->one_by_one = true;
		intake->to = intake->from;
	} else if (err && err->kind == ERR_REJECT) {
		struct consumer_item *item = &intake->items[intake->from];
		(void)snprintf(item->reject_code, sizeof(item->reject_code), "refused");
		(void)snprintf(item->reject_text, sizeof(item->reject_text), "%.*s", EVENT_REASON_MAX - 1,
		               err->text);
	} else if (err) {
		retry(intake, err);
		return;
	}
	killpoint("intake.after_doom");
	metric_add(intake->doomed, (double)doomed);
	if (doomed > 0)
		intake->opts.on_doomed(intake->opts.arg);
	loop_defer(intake->loop, &intake->next);
}

static void add_doom(struct intake *intake, int at)
{
	static const enum store_scope scopes[EVENT_TYPE_COUNT] = {
	    [EVENT_RUNTIME_RECYCLED] = STORE_SCOPE_SANDBOX,
	    [EVENT_RUNTIME_RESTARTED] = STORE_SCOPE_SANDBOX,
	    [EVENT_FUNCTION_DISABLED] = STORE_SCOPE_DISABLED,
	    [EVENT_FUNCTION_DELETED] = STORE_SCOPE_DELETED,
	};
	const struct consumer_item *item = &intake->items[at];
	if (*item->reject_code)
		return;
	intake->doomed_items[intake->doom_count] = at;
	intake->dooms[intake->doom_count++] = (struct store_doom){
	    .scope = scopes[item->event.type],
	    .event_id = item->event.id,
	    .team_id = item->event.team_id,
	    .function_id = item->event.function_id,
	    .revision_id = item->event.revision_id,
	    .sandbox_id = item->event.sandbox_id,
	    .traceparent = item->event.traceparent,
	};
}

/* Dooms the next part of the batch: all of it, or one item after the database refused all. */
static void doom_next(struct intake *intake)
{
	struct err err = {0};
	intake->from = intake->to;
	intake->to = intake->one_by_one ? intake->from + 1 : intake->count;
	intake->doom_count = 0;
	for (int i = intake->from; i < intake->to; i++)
		add_doom(intake, i);
	if (intake->doom_count == 0) {
		loop_defer(intake->loop, &intake->next);
		return;
	}
	killpoint("intake.before_doom");
	if (store_doom(intake->opts.pool, intake->dooms, intake->doom_count, on_doom, intake, &err) < 0)
		retry(intake, &err);
}

static void step(void *arg)
{
	struct intake *intake = arg;
	if (intake->to < intake->count)
		doom_next(intake);
	else
		send_letters(intake);
}

void intake_on_batch(void *arg, struct consumer_item *items, int count)
{
	struct intake *intake = arg;
	intake->items = items;
	intake->count = count;
	intake->from = intake->to = 0;
	intake->one_by_one = false;
	intake->letter = intake->letters_out = 0;
	intake->letter_failed = false;
	step(intake);
}

void intake_on_fatal(void *arg, const struct err *err)
{
	struct intake *intake = arg;
	intake->opts.on_fatal(intake->opts.arg, err);
}
