#include "record.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "base/killpoint.h"
#include "base/log.h"

struct record {
	struct loop *loop;
	struct record_opts opts;
	struct target *first, **tail; /* waiting, in the order of decision */
	int waiting, sent, failures;
	bool busy;
	struct loop_timer timer;
	struct target *batch[RECORD_BATCH_MAX]; /* on their way */
	struct store_outcome outcomes[RECORD_BATCH_MAX];
};

static const struct backoff retry_policy = {.base_ms = 100, .cap_ms = 5000};

static void send(struct record *record);

static void on_timer(void *arg)
{
	send(arg);
}

struct record *record_new(struct loop *loop, const struct record_opts *opts, struct err *err)
{
	struct record *record = calloc(1, sizeof(*record));
	if (!record) {
		(void)err_oom(err);
		return NULL;
	}
	record->loop = loop;
	record->opts = *opts;
	record->tail = &record->first;
	loop_timer_init(&record->timer, on_timer, record);
	return record;
}

void record_free(struct record *record)
{
	if (!record)
		return;
	loop_timer_stop(record->loop, &record->timer);
	free(record);
}

static void retry_later(struct record *record, const struct err *err)
{
	if (err->kind == ERR_FATAL) {
		record->opts.on_fatal(record->opts.arg, err);
		return;
	}
	if (record->failures == 0)
		log_err(LOG_L_WARN, "record.retry", err, NULL);
	loop_timer_set(record->loop, &record->timer,
	               backoff_full_jitter_ms(&retry_policy, record->failures++) * 1000);
}

static void on_recorded(void *arg, int64_t recorded, int64_t dead, const struct err *err)
{
	struct record *record = arg;
	record->busy = false;
	if (err) {
		retry_later(record, err);
		return;
	}
	killpoint("record.after");
	int count = record->sent;
	record->sent = record->failures = 0;
	for (int i = 0; i < count; i++)
		record->opts.on_done(record->opts.arg, record->batch[i]);
	record->opts.on_batch(record->opts.arg, recorded, count - recorded, dead);
	if (record->waiting >= RECORD_BATCH_MAX)
		send(record);
	else if (record->first)
		loop_timer_set(record->loop, &record->timer, record->opts.flush_ms * 1000);
}

/* Fills the batch from the waiting ones; a batch that failed is still there and goes again. */
static void fill(struct record *record)
{
	while (record->sent < RECORD_BATCH_MAX && record->first) {
		struct target *target = record->first;
		record->first = target->next;
		record->waiting--;
		record->outcomes[record->sent] = target->outcome;
		record->batch[record->sent++] = target;
	}
	if (!record->first)
		record->tail = &record->first;
}

static void send(struct record *record)
{
	struct err err = {0};
	if (record->busy)
		return;
	fill(record);
	if (record->sent == 0)
		return;
	loop_timer_stop(record->loop, &record->timer);
	killpoint("record.before");
	record->busy = true;
	if (store_record(record->opts.pool, record->outcomes, record->sent, record->opts.attempts_max,
	                 on_recorded, record, &err) == 0)
		return;
	record->busy = false;
	retry_later(record, &err);
}

void record_put(struct record *record, struct target *target)
{
	target->next = NULL;
	*record->tail = target;
	record->tail = &target->next;
	record->waiting++;
	if (record->failures > 0 || record->busy)
		return;
	if (record->waiting >= RECORD_BATCH_MAX)
		send(record);
	else if (record->waiting == 1)
		loop_timer_set(record->loop, &record->timer, record->opts.flush_ms * 1000);
}

void record_flush(struct record *record)
{
	if (!record->busy)
		send(record);
}
