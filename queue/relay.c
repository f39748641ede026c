#include "relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/killpoint.h"
#include "base/log.h"
#include "idset.h"

/* How rows are found. A scan reads upward from an id, RELAY_FETCH_MAX rows at a time, until a
 * fetch comes back short. While few rows are in flight every scan starts at the beginning: cheap,
 * and a row whose transaction committed late under a lower id is simply there. Under load, where
 * that would read the rows in flight again and again, a scan starts behind the highest row that was
 * sent, and the lower part is made up for when the flight thins out, at the latest at the next
 * poll. What is in flight is recognised by its id and passed over, so no scan sends a row twice.
 *
 * Order: rows go to the producer in the order of their ids. A row that the broker did not confirm
 * in time (message.timeout.ms) goes again later, possibly behind younger ones of its key. Nothing
 * downstream depends on order: an event dooms what is released, whenever it comes.
 *
 * A row that Kafka refuses for ever (too large) stays where it is, visible in the outbox, counted,
 * logged once, and tried again ever more rarely: deleting it would lose it, waiting for it would
 * hold up everything behind it. */

enum {
	REREAD_MAX = 256, /* with no more rows than this in flight, a scan starts at the beginning */
	MIN_ROOM = RELAY_FETCH_MAX / 2, /* less is not worth a fetch */
	HELD_MAX = 256,                 /* refused rows that are remembered */
	QUEUE_FULL_US = 20000,
};
static const struct backoff failure_backoff = {.base_ms = 100, .cap_ms = 10000};
static const struct backoff held_backoff = {.base_ms = 60000, .cap_ms = 3600000};

/* What is known of a row that is in the set. */
struct flight {
	struct relay *relay;
	enum { FLIGHT_SENT, FLIGHT_DELIVERED, FLIGHT_HELD } state;
	int refusals;   /* HELD: how often */
	int64_t due_us; /* HELD: not tried again before */
	uint32_t scan;  /* HELD: the last scan that met it */
};

enum call { CALL_NONE, CALL_FETCH, CALL_DELETE };

struct relay {
	struct loop *loop;
	struct producer *producer;
	struct relay_source source;
	int64_t poll_us;
	struct loop_task pump;
	struct loop_timer poll, retry; /* retry armed: no fetch, and after a failed delete no delete */

	bool active;
	enum call call, last_call; /* one at a time, so that no answer is older than what we know */
	bool stale;                /* the answer that comes belongs to an office that was lost */
	bool delete_failed;
	int asked; /* rows, of the fetch that is out */

	int64_t cursor, highest; /* the last id looked at; the highest that was sent */
	uint32_t scan;
	bool more;       /* the scan has not met its end yet */
	bool whole;      /* the scan began at the beginning */
	bool wanted;     /* there may be rows that no scan has seen */
	bool sweep;      /* the next scan begins at the beginning in any case */
	bool low_wanted; /* the lower part still has to be looked at */

	struct idset set;
	struct flight *flights; /* by slot */
	int sent, held;
	int64_t *confirmed; /* ids to delete: the first `deleting` are with the source */
	int confirmed_count, deleting;
	int source_failures, delivery_failures;
	bool overflow_logged;

	struct metric *published, *failures, *in_flight, *refused;
};

static void pump(void *arg);
static void on_poll(void *arg);
static void on_retry(void *arg);

/* ---- life ---- */

static void add_metrics(struct relay *relay, struct metrics *metrics)
{
	relay->published = metrics_counter(metrics, "sandsweep_outbox_published_total", NULL,
	                                   "Outbox rows that the broker has confirmed.");
	relay->failures = metrics_counter(metrics, "sandsweep_outbox_publish_failures_total", NULL,
	                                  "Outbox rows that the broker did not confirm or refused.");
	relay->in_flight = metrics_gauge(metrics, "sandsweep_outbox_in_flight", NULL,
	                                 "Outbox rows that are sent and not deleted yet.");
	relay->refused = metrics_gauge(metrics, "sandsweep_outbox_refused", NULL,
	                               "Outbox rows that Kafka refuses; they stay in the outbox.");
}

struct relay *relay_new(struct loop *loop, struct producer *producer,
                        const struct relay_source *source, int64_t poll_ms, struct metrics *metrics,
                        struct err *err)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	if (!relay) {
		(void)err_oom(err);
		return NULL;
	}
	relay->loop = loop;
	relay->producer = producer;
	relay->source = *source;
	relay->poll_us = poll_ms * 1000;
	loop_task_init(&relay->pump, pump, relay);
	loop_timer_init(&relay->poll, on_poll, relay);
	loop_timer_init(&relay->retry, on_retry, relay);
	relay->flights = calloc(RELAY_IN_FLIGHT_MAX, sizeof(*relay->flights));
	relay->confirmed = calloc(RELAY_IN_FLIGHT_MAX, sizeof(*relay->confirmed));
	if (!relay->flights || !relay->confirmed) {
		(void)err_oom(err);
		relay_free(relay);
		return NULL;
	}
	if (idset_init(&relay->set, RELAY_IN_FLIGHT_MAX, err) < 0) {
		relay_free(relay);
		return NULL;
	}
	add_metrics(relay, metrics);
	return relay;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	loop_task_cancel(relay->loop, &relay->pump);
	loop_timer_stop(relay->loop, &relay->poll);
	loop_timer_stop(relay->loop, &relay->retry);
	idset_done(&relay->set);
	free(relay->flights);
	free(relay->confirmed);
	free(relay);
}

static void look_again(struct relay *relay, bool from_the_beginning)
{
	relay->wanted = true;
	relay->sweep = relay->sweep || from_the_beginning;
	loop_defer(relay->loop, &relay->pump);
}

static void wait_before_retry(struct relay *relay, int *failures)
{
	int64_t wait_ms = backoff_full_jitter_ms(&failure_backoff, (*failures)++);
	if (!relay->retry.armed)
		loop_timer_set(relay->loop, &relay->retry, wait_ms * 1000);
}

static void on_retry(void *arg)
{
	struct relay *relay = arg;
	relay->delete_failed = false;
	loop_defer(relay->loop, &relay->pump);
}

static void on_poll(void *arg)
{
	struct relay *relay = arg;
	loop_timer_set(relay->loop, &relay->poll, relay->poll_us);
	look_again(relay, true);
}

void relay_set_active(struct relay *relay, bool active)
{
	if (relay->active == active)
		return;
	relay->active = active;
	relay->more = relay->wanted = relay->sweep = relay->low_wanted = false;
	relay->stale = relay->call == CALL_FETCH;
	if (active) {
		loop_timer_set(relay->loop, &relay->poll, relay->poll_us);
		look_again(relay, true);
	} else {
		loop_timer_stop(relay->loop, &relay->poll);
	}
}

void relay_wake(struct relay *relay)
{
	if (relay->active)
		look_again(relay, false);
}

bool relay_idle(const struct relay *relay)
{
	return relay->sent == 0 && relay->confirmed_count == 0 && relay->call == CALL_NONE;
}

static void show(const struct relay *relay)
{
	metric_set(relay->in_flight, relay->sent + relay->confirmed_count);
	metric_set(relay->refused, relay->held);
}

/* ---- one row out, and what becomes of it ---- */

/* Kafka will not take this row, now or after a restart. */
static void hold(struct relay *relay, int slot, const struct err *err)
{
	struct flight *flight = &relay->flights[slot];
	char id[24];
	if (relay->held == HELD_MAX) {
		if (!relay->overflow_logged)
			log_err(LOG_L_ERROR, "relay.many_rows_refused", err, NULL);
		relay->overflow_logged = true;
		idset_remove(&relay->set,
		             slot); /* the next sweep tries it again, and that is all the harm */
		return;
	}
	if (flight->refusals == 0) {
		(void)snprintf(id, sizeof(id), "%lld", (long long)relay->set.ids[slot]);
		log_err(LOG_L_ERROR, "relay.row_refused", err, "outbox_id", id, NULL);
	}
	flight->state = FLIGHT_HELD;
	flight->scan = relay->scan;
	flight->due_us =
	    loop_now_us(relay->loop) + backoff_ceiling_ms(&held_backoff, flight->refusals++) * 1000;
	relay->held++;
}

static void on_delivered(void *arg, const struct err *err)
{
	struct flight *flight = arg;
	struct relay *relay = flight->relay;
	int slot = (int)(flight - relay->flights);
	relay->sent--;
	if (!err) {
		killpoint("relay.after_delivery");
		flight->state = FLIGHT_DELIVERED;
		relay->confirmed[relay->confirmed_count++] = relay->set.ids[slot];
		relay->delivery_failures = 0;
		metric_add(relay->published, 1);
	} else {
		metric_add(relay->failures, 1);
		if (err->kind == ERR_REJECT) {
			hold(relay, slot, err);
		} else {
			idset_remove(&relay->set, slot);
			wait_before_retry(relay, &relay->delivery_failures);
			relay->wanted = relay->sweep = true;
		}
	}
	loop_defer(relay->loop, &relay->pump);
}

struct message_text {
	char id[UUID_TEXT_SIZE], key[UUID_TEXT_SIZE], time[CLOCK_RFC3339_SIZE];
	struct event_field fields[7];
};

static struct event_field field(const char *name, const char *value)
{
	return (struct event_field){name, value, strlen(value)};
}

/* The event in binary content mode; borrows from the row and from *text. */
static struct event_message message_of(const struct relay_row *row, struct message_text *text)
{
	size_t n = 0;
	uuid_format(&row->event_id, text->id);
	uuid_format(&row->function_id, text->key);
	clock_rfc3339(row->time_us, text->time);
	text->fields[n++] = field("ce_specversion", "1.0");
	text->fields[n++] = field("ce_id", text->id);
	text->fields[n++] = field("ce_source", row->source);
	text->fields[n++] = field("ce_type", row->type);
	text->fields[n++] = field("ce_time", text->time);
	text->fields[n++] = field("content-type", "application/json");
	if (*row->traceparent)
		text->fields[n++] = field("ce_traceparent", row->traceparent);
	return (struct event_message){
	    .key = text->key,
	    .key_len = strlen(text->key),
	    .value = row->data,
	    .value_len = strlen(row->data),
	    .fields = text->fields,
	    .field_count = n,
	};
}

/* False: the producer takes no more for now. */
static bool send_row(struct relay *relay, const struct relay_row *row, int slot)
{
	struct flight *flight = &relay->flights[slot];
	struct message_text text;
	struct event_message message = message_of(row, &text);
	struct err err = {0};
	killpoint("relay.before_produce");
	if (producer_send(relay->producer, row->topic, &message, on_delivered, flight, &err) < 0) {
		if (!relay->retry.armed)
			loop_timer_set(relay->loop, &relay->retry, QUEUE_FULL_US);
		return false;
	}
	killpoint("relay.after_produce");
	if (flight->state == FLIGHT_HELD)
		relay->held--;
	flight->state = FLIGHT_SENT;
	relay->sent++;
	if (row->id > relay->highest)
		relay->highest = row->id;
	return true;
}

/* Sends the row unless it is on its way or not due. False: come back to it later. */
static bool publish(struct relay *relay, const struct relay_row *row)
{
	int slot = idset_find(&relay->set, row->id);
	if (slot >= 0) {
		struct flight *flight = &relay->flights[slot];
		flight->scan = relay->scan;
		if (flight->state != FLIGHT_HELD || flight->due_us > loop_now_us(relay->loop))
			return true;
		return send_row(relay, row, slot);
	}
	slot = idset_add(&relay->set, row->id);
	if (slot < 0)
		return false;
	relay->flights[slot] = (struct flight){.relay = relay, .state = FLIGHT_SENT};
	if (send_row(relay, row, slot))
		return true;
	idset_remove(&relay->set, slot);
	return false;
}

/* ---- scans ---- */

static void begin_scan(struct relay *relay, bool whole)
{
	relay->cursor = whole ? 0 : relay->highest;
	relay->whole = whole;
	relay->scan++;
	relay->wanted = false;
	relay->low_wanted = !whole;
	relay->sweep = relay->sweep && !whole;
}

/* True when there is something to read, with the cursor where it is to be read from. */
static bool next_read(struct relay *relay)
{
	bool few = relay->set.count - relay->held <= REREAD_MAX;
	if (relay->sweep || (few && !relay->more && (relay->wanted || relay->low_wanted)))
		begin_scan(relay, true);
	else if (relay->wanted && !relay->more)
		begin_scan(relay, false);
	else
		return relay->more;
	return true;
}

static bool start_fetch(struct relay *relay)
{
	int room = relay->set.max - relay->set.count;
	if (!relay->active || relay->retry.armed || room < MIN_ROOM || !next_read(relay))
		return false;
	/* Below the highest id most rows are in flight already and need no room. */
	relay->asked =
	    relay->cursor < relay->highest || room > RELAY_FETCH_MAX ? RELAY_FETCH_MAX : room;
	relay->call = relay->last_call = CALL_FETCH;
	relay->source.fetch(relay->source.arg, relay->cursor, relay->asked);
	return true;
}

/* A refused row that a whole scan did not meet was deleted by somebody else. */
static void drop_vanished(struct relay *relay)
{
	for (int slot = 0; slot < relay->set.max && relay->held > 0; slot++) {
		struct flight *flight = &relay->flights[slot];
		if (flight->state == FLIGHT_HELD && flight->scan != relay->scan) {
			flight->state = FLIGHT_DELIVERED; /* so that HELD always means: in the set */
			idset_remove(&relay->set, slot);
			relay->held--;
		}
	}
}

void relay_on_rows(struct relay *relay, const struct relay_row *rows, int count,
                   const struct err *err)
{
	relay->call = CALL_NONE;
	loop_defer(relay->loop, &relay->pump);
	if (relay->stale || !relay->active) {
		relay->stale = false;
		return;
	}
	if (err) {
		relay->more = false;
		relay->wanted = relay->sweep = true;
		wait_before_retry(relay, &relay->source_failures);
		return;
	}
	relay->source_failures = 0;
	int i = 0;
	for (; i < count && publish(relay, &rows[i]); i++)
		relay->cursor = rows[i].id;
	relay->more = i < count || count == relay->asked;
	if (!relay->more && relay->whole)
		drop_vanished(relay);
	show(relay);
}

/* ---- what is confirmed goes ---- */

static bool start_delete(struct relay *relay)
{
	if (relay->confirmed_count == 0 || relay->delete_failed)
		return false;
	relay->deleting =
	    relay->confirmed_count < RELAY_FETCH_MAX ? relay->confirmed_count : RELAY_FETCH_MAX;
	relay->call = relay->last_call = CALL_DELETE;
	relay->source.delete_rows(relay->source.arg, relay->confirmed, relay->deleting);
	return true;
}

void relay_on_deleted(struct relay *relay, const int64_t *ids, int count, const struct err *err)
{
	relay->call = CALL_NONE;
	loop_defer(relay->loop, &relay->pump);
	if (err) {
		relay->delete_failed = true; /* they stay in the set: not published again meanwhile */
		wait_before_retry(relay, &relay->source_failures);
		return;
	}
	relay->source_failures = 0;
	count = count < relay->deleting ? count : relay->deleting;
	for (int i = 0; i < count; i++)
		idset_remove(&relay->set, idset_find(&relay->set, ids[i]));
	relay->confirmed_count -= count;
	memmove(relay->confirmed, relay->confirmed + count,
	        (size_t)relay->confirmed_count * sizeof(*relay->confirmed));
	show(relay);
}

/* Runs at the end of a round in which anything happened. Reading and deleting take turns, so that
 * neither starves the other. */
static void pump(void *arg)
{
	struct relay *relay = arg;
	if (relay->call != CALL_NONE)
		return;
	if (relay->last_call == CALL_FETCH)
		(void)(start_delete(relay) || start_fetch(relay));
	else
		(void)(start_fetch(relay) || start_delete(relay));
	show(relay);
}
