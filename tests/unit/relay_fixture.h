/* What the relay is tested on: an outbox in memory and a producer of our own (its producer_send takes
 * the real one's place when a program is linked), on a clock that only the test moves. */
#ifndef TESTS_UNIT_RELAY_FIXTURE_H
#define TESTS_UNIT_RELAY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/relay.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

enum { ROWS_MAX = 20000 };
static const int64_t poll_us = 1000000;

/* ---- the clock ---- */

static int64_t now_us;

static int64_t read_now(void *arg)
{
	(void)arg;
	return now_us;
}

static const struct clock fake_clock = {read_now, read_now, NULL};

/* ---- the producer ---- */

struct message {
	int64_t id; /* of the row: the fake data is its number */
	void (*done)(void *arg, const struct err *err);
	void *arg;
};
static struct message out[ROWS_MAX]; /* sent and not reported, oldest first */
static int out_count, out_max, sent_total, queue_room, times_sent[ROWS_MAX];
static int64_t order[4 * ROWS_MAX];
static int64_t poison_id; /* refused for ever; 0: none */
static char last_message[1024];

static void remember(const struct event_message *message, const char *topic)
{
	int n =
	    snprintf(last_message, sizeof(last_message), "%s|%.*s|%.*s", topic, (int)message->key_len,
	             (const char *)message->key, (int)message->value_len, (const char *)message->value);
	for (size_t i = 0; i < message->field_count; i++)
		n += snprintf(last_message + n, sizeof(last_message) - (size_t)n, "|%s=%.*s",
		              message->fields[i].name, (int)message->fields[i].len,
		              (const char *)message->fields[i].value);
}

int producer_send(struct producer *producer, const char *topic, const struct event_message *message,
                  void (*done)(void *arg, const struct err *err), void *arg, struct err *err)
{
	(void)producer;
	if (out_count == queue_room)
		return err_set(err, ERR_RETRY, "QUEUE_FULL", "full");
	int64_t id = strtoll(message->value, NULL, 10);
	remember(message, topic);
	out[out_count++] = (struct message){id, done, arg};
	out_max = out_count > out_max ? out_count : out_max;
	order[sent_total++] = id;
	times_sent[id]++;
	return 0;
}

/* Reports the oldest `count` messages: as delivered, or with this kind of error. */
static void report(int count, enum err_kind kind)
{
	for (int i = 0; i < count; i++) {
		struct message message = out[0];
		struct err err = {0};
		memmove(out, out + 1, (size_t)--out_count * sizeof(*out));
		if (message.id == poison_id)
			(void)err_set(&err, ERR_REJECT, "MSG_SIZE_TOO_LARGE", "too large");
		else if (kind != ERR_NONE)
			(void)err_set(&err, kind, "test", "as the test wants");
		message.done(message.arg, err.kind == ERR_NONE ? NULL : &err);
	}
}

/* ---- the outbox ---- */

static int64_t ids[ROWS_MAX]; /* what is in it, ascending */
static int row_count;
static struct {
	bool out;
	int64_t after;
	int max;
} fetch;
static int64_t *deleting;
static int deleting_count;
static int fetches, deletes, rows_read;
static bool fetch_fails, delete_fails;

static void on_fetch(void *arg, int64_t after, int max)
{
	(void)arg;
	assert_false(fetch.out);
	assert_null(deleting);
	assert_true(max > 0 && max <= RELAY_FETCH_MAX);
	fetch.out = true;
	fetch.after = after;
	fetch.max = max;
	fetches++;
}

static void on_delete(void *arg, const int64_t *list, int count)
{
	(void)arg;
	assert_false(fetch.out);
	assert_null(deleting);
	assert_true(count > 0 && count <= RELAY_FETCH_MAX);
	deleting = calloc((size_t)count, sizeof(*deleting));
	assert_non_null(deleting);
	memcpy(deleting, list, (size_t)count * sizeof(*deleting));
	deleting_count = count;
	deletes++;
}

static void insert(int64_t id)
{
	int at = row_count++;
	for (; at > 0 && ids[at - 1] > id; at--)
		ids[at] = ids[at - 1];
	ids[at] = id;
}

static void insert_range(int64_t first, int count)
{
	for (int i = 0; i < count; i++)
		insert(first + i);
}

static bool has(int64_t id)
{
	for (int i = 0; i < row_count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static void erase(int64_t id)
{
	for (int i = 0; i < row_count; i++)
		if (ids[i] == id) {
			memmove(ids + i, ids + i + 1, (size_t)(--row_count - i) * sizeof(*ids));
			return;
		}
}

static const struct uuid event_id = {{1, 2, 3}}, function_id = {{4, 5, 6}};

static void answer_fetch(struct relay *relay)
{
	static struct relay_row rows[RELAY_FETCH_MAX];
	static char data[RELAY_FETCH_MAX][24];
	struct err err = {0};
	int n = 0;
	fetch.out = false;
	if (fetch_fails) {
		(void)err_set(&err, ERR_RETRY, "08006", "connection lost");
		relay_on_rows(relay, NULL, 0, &err);
		return;
	}
	for (int i = 0; i < row_count && n < fetch.max; i++) {
		if (ids[i] <= fetch.after)
			continue;
		(void)snprintf(data[n], sizeof(data[n]), "%lld", (long long)ids[i]);
		rows[n] = (struct relay_row){
		    .id = ids[i],
		    .event_id = event_id,
		    .function_id = function_id,
		    .topic = "events",
		    .type = "io.sandsweep.function.deleted",
		    .source = "/sandsweep",
		    .data = data[n],
		    .traceparent =
		        ids[i] % 2 ? "" : "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		    .time_us = 1767323045123456};
		n++;
	}
	rows_read += n;
	relay_on_rows(relay, rows, n, NULL);
}

static void answer_delete(struct relay *relay)
{
	struct err err = {0};
	int64_t *list = deleting;
	deleting = NULL;
	if (delete_fails)
		(void)err_set(&err, ERR_RETRY, "08006", "connection lost");
	for (int i = 0; i < deleting_count && !delete_fails; i++)
		erase(list[i]);
	relay_on_deleted(relay, list, deleting_count, delete_fails ? &err : NULL);
	free(list);
}

/* ---- the world ---- */

static struct loop *loop;
static struct metrics *metrics;
static struct relay *relay;
static struct relay_source source = {on_fetch, on_delete, NULL};

static int setup(void **state)
{
	(void)state;
	struct err err = {0};
	now_us = 1000000;
	out_count = out_max = sent_total = row_count = fetches = deletes = rows_read = 0;
	memset(times_sent, 0, sizeof(times_sent));
	queue_room = ROWS_MAX;
	poison_id = 0;
	fetch_fails = delete_fails = fetch.out = false;
	loop = loop_new(&fake_clock, &err);
	metrics = metrics_new(&err);
	relay = relay_new(loop, NULL, &source, poll_us / 1000, metrics, &err);
	return loop && metrics && relay ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	relay_free(relay);
	metrics_free(metrics);
	loop_free(loop);
	free(deleting);
	deleting = NULL;
	return 0;
}

static void round_once(void)
{
	struct err err = {0};
	now_us++;
	assert_int_equal(loop_once(loop, 0, &err), 0);
}

/* Rounds, each with its answers, until nothing more is asked. `deliver`: messages too. */
static void run(bool deliver)
{
	for (int quiet = 0; quiet < 3; quiet++) {
		round_once();
		if (fetch.out) {
			answer_fetch(relay);
			quiet = 0;
		} else if (deleting) {
			answer_delete(relay);
			quiet = 0;
		}
		if (deliver && out_count > 0) {
			report(out_count, ERR_NONE);
			quiet = 0;
		}
	}
}

static void pass(int64_t us)
{
	now_us += us;
	round_once();
}

static void start(void)
{
	relay_set_active(relay, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
