#include "outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct outbox {
	const struct kafka_config *kafka;
	struct store_outbox *store;
	struct relay *relay;
	bool active;
	struct relay_row rows[RELAY_FETCH_MAX]; /* of the answer that is being read */
	int row_count;
	int64_t deleting[RELAY_FETCH_MAX]; /* ids of the delete that is out */
	int deleting_count;
	/* The relay hears of a refusal later, like of everything else. */
	struct loop *loop;
	struct loop_task fetch_failed, delete_failed;
	struct err refusal;
};

static void on_fetch_failed(void *arg)
{
	struct outbox *outbox = arg;
	relay_on_rows(outbox->relay, NULL, 0, &outbox->refusal);
}

static void on_delete_failed(void *arg)
{
	struct outbox *outbox = arg;
	relay_on_deleted(outbox->relay, outbox->deleting, outbox->deleting_count, &outbox->refusal);
}

/* ---- rows ---- */

static void on_row(void *arg, const struct store_outbox_row *row, const struct err *err)
{
	struct outbox *outbox = arg;
	if (!row) {
		relay_on_rows(outbox->relay, outbox->rows, outbox->row_count, err);
		return;
	}
	bool event = strcmp(row->channel, "events") == 0;
	/* The texts live as long as the answer, which outlives the last call of this function. */
	outbox->rows[outbox->row_count++] = (struct relay_row){
	    .id = row->id,
	    .event_id = row->event_id,
	    .function_id = row->function_id,
	    .topic = event ? outbox->kafka->events_topic : outbox->kafka->results_topic,
	    .type = row->type,
	    .source = event ? "/sandsweep/api" : "/sandsweep/worker",
	    .data = row->data,
	    .traceparent = row->traceparent,
	    .time_us = row->created_at_us,
	};
}

static void fetch(void *arg, int64_t after, int max)
{
	struct outbox *outbox = arg;
	outbox->row_count = 0;
	outbox->refusal = (struct err){0};
	if (store_outbox_fetch(outbox->store, after, max < RELAY_FETCH_MAX ? max : RELAY_FETCH_MAX,
	                       on_row, outbox, &outbox->refusal) < 0)
		loop_defer(outbox->loop, &outbox->fetch_failed);
}

/* ---- deletes ---- */

static void on_deleted(void *arg, const struct err *err)
{
	struct outbox *outbox = arg;
	relay_on_deleted(outbox->relay, outbox->deleting, outbox->deleting_count, err);
}

static void delete_rows(void *arg, const int64_t *ids, int count)
{
	struct outbox *outbox = arg;
	outbox->refusal = (struct err){0};
	outbox->deleting_count = count < RELAY_FETCH_MAX ? count : RELAY_FETCH_MAX;
	memcpy(outbox->deleting, ids, (size_t)outbox->deleting_count * sizeof(*ids));
	if (store_outbox_delete(outbox->store, outbox->deleting, outbox->deleting_count, on_deleted,
	                        outbox, &outbox->refusal) < 0)
		loop_defer(outbox->loop, &outbox->delete_failed);
}

/* ---- election ---- */

static void on_elected(void *arg, bool elected)
{
	struct outbox *outbox = arg;
	outbox->active = elected;
	log_event(LOG_L_INFO, elected ? "relay.active" : "relay.standby", NULL);
	relay_set_active(outbox->relay, elected);
}

static void on_wake(void *arg)
{
	outbox_wake(arg);
}

struct outbox *outbox_new(struct loop *loop, const struct outbox_opts *opts, struct err *err)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));
	if (!outbox) {
		(void)err_oom(err);
		return NULL;
	}
	outbox->kafka = opts->kafka;
	outbox->loop = loop;
	loop_task_init(&outbox->fetch_failed, on_fetch_failed, outbox);
	loop_task_init(&outbox->delete_failed, on_delete_failed, outbox);
	const struct relay_source source = {fetch, delete_rows, outbox};
	const struct store_outbox_opts store = {on_elected, on_wake, outbox};
	outbox->relay = relay_new(loop, opts->producer, &source, opts->poll_ms, opts->metrics, err);
	if (outbox->relay)
		outbox->store = store_outbox_new(loop, opts->postgres, &store, err);
	if (outbox->store)
		return outbox;
	outbox_free(outbox);
	return NULL;
}

void outbox_free(struct outbox *outbox)
{
	if (!outbox)
		return;
	loop_task_cancel(outbox->loop, &outbox->fetch_failed);
	loop_task_cancel(outbox->loop, &outbox->delete_failed);
	store_outbox_free(outbox->store);
	relay_free(outbox->relay);
	free(outbox);
}

void outbox_wake(struct outbox *outbox)
{
	relay_wake(outbox->relay);
}

bool outbox_active(const struct outbox *outbox)
{
	return outbox->active;
}

bool outbox_healthy(const struct outbox *outbox, char why[128])
{
	return store_outbox_healthy(outbox->store, why);
}
