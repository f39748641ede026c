/* The outbox relay against an outbox in memory and a producer of our own (its producer_send takes
 * the real one's place when this program is linked), on a clock that only the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/idset.h"
#include "queue/relay.h"

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

static double value_of(const char *name)
{
	struct buf text;
	char line[128];
	double value = -1;
	buf_init(&text, 65536);
	metrics_write(metrics, &text);
	(void)snprintf(line, sizeof(line), "\n%s ", name);
	const char *at = strstr(text.data, line);
	if (at)
		value = strtod(at + strlen(line), NULL);
	buf_done(&text);
	return value;
}

static void start(void)
{
	relay_set_active(relay, true);
}

/* ---- tests ---- */

static void test_nothing_before_active(void **state)
{
	(void)state;
	insert_range(1, 3);
	relay_wake(relay);
	run(true);
	pass(10 * poll_us);
	assert_int_equal(fetches, 0);
	assert_true(relay_idle(relay));
}

static void test_order(void **state)
{
	(void)state;
	insert_range(1, 2500);
	start();
	run(true);
	assert_int_equal(sent_total, 2500);
	for (int i = 0; i < sent_total; i++)
		assert_int_equal(order[i], i + 1);
	assert_int_equal(row_count, 0);
	assert_true(relay_idle(relay));
	assert_true(value_of("sandsweep_outbox_published_total") == 2500);
	assert_true(value_of("sandsweep_outbox_in_flight") == 0);
}

static void test_message(void **state)
{
	(void)state;
	insert(2);
	start();
	run(false);
	assert_string_equal(last_message,
	                    "events|04050600-0000-0000-0000-000000000000|2|ce_specversion=1.0"
	                    "|ce_id=01020300-0000-0000-0000-000000000000|ce_source=/sandsweep"
	                    "|ce_type=io.sandsweep.function.deleted|ce_time=2026-01-02T03:04:05.123456Z"
	                    "|content-type=application/json"
	                    "|ce_traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	insert(3);
	relay_wake(relay);
	run(false);
	assert_null(strstr(last_message, "ce_traceparent"));
	assert_false(relay_idle(relay));
}

static void test_delete_only_what_is_confirmed(void **state)
{
	(void)state;
	insert_range(1, 10);
	start();
	run(false);
	assert_int_equal(out_count, 10);
	assert_int_equal(deletes, 0);
	report(4, ERR_NONE);
	run(false);
	assert_int_equal(deletes, 1); /* the four together */
	assert_int_equal(row_count, 6);
	assert_false(has(4));
	assert_true(has(5));
	assert_true(value_of("sandsweep_outbox_in_flight") == 6);
}

static void test_wakes_become_one_fetch(void **state)
{
	(void)state;
	start();
	run(true);
	int before = fetches;
	insert(1);
	for (int i = 0; i < 100; i++)
		relay_wake(relay);
	run(true);
	assert_int_equal(fetches, before + 1);
	for (int i = 0; i < 100; i++) {
		relay_wake(relay);
		round_once(); /* the fetch is out: these all mean one more */
	}
	run(true);
	assert_int_equal(fetches, before + 3);
	assert_int_equal(sent_total, 1);
}

static void test_poll(void **state)
{
	(void)state;
	start();
	run(true);
	insert(7); /* and no wake */
	run(true);
	assert_int_equal(sent_total, 0);
	pass(poll_us);
	run(true);
	assert_int_equal(sent_total, 1);
}

static void test_late_lower_id(void **state)
{
	(void)state;
	insert_range(100, 5);
	start();
	run(false);
	assert_int_equal(sent_total, 5);
	insert(50); /* its transaction committed late */
	relay_wake(relay);
	run(false);
	assert_int_equal(sent_total, 6);
	assert_int_equal(order[5], 50);
}

/* With many rows in flight the beginning is not read again at every wake, but at every poll. */
static void test_late_lower_id_under_load(void **state)
{
	(void)state;
	insert_range(1000, 600);
	start();
	run(false);
	assert_int_equal(sent_total, 600);
	insert(50);
	insert(2000);
	int before = rows_read;
	relay_wake(relay);
	run(false);
	assert_int_equal(times_sent[2000], 1);
	assert_int_equal(times_sent[50], 0);
	assert_int_equal(rows_read, before + 1);
	pass(poll_us);
	run(false);
	assert_int_equal(times_sent[50], 1);
	assert_int_equal(sent_total, 602);
}

/* And as soon as the flight thins out, without waiting for the poll. */
static void test_late_lower_id_after_load(void **state)
{
	(void)state;
	insert_range(1000, 600);
	start();
	run(false);
	insert(50);
	relay_wake(relay);
	run(false);
	assert_int_equal(times_sent[50], 0);
	report(500, ERR_NONE);
	run(false);
	assert_int_equal(times_sent[50], 1);
	run(true);
	assert_int_equal(row_count, 0);
	assert_int_equal(sent_total, 601);
}

static void test_bound(void **state)
{
	(void)state;
	insert_range(1, 15000);
	start();
	run(false);
	assert_in_range(out_count, RELAY_IN_FLIGHT_MAX - RELAY_FETCH_MAX, RELAY_IN_FLIGHT_MAX);
	assert_true((int)value_of("sandsweep_outbox_in_flight") == out_count);
	for (int i = 0; i < 100000 && row_count > 0; i++) {
		report(out_count < 37 ? out_count : 37, ERR_NONE);
		round_once();
		if (fetch.out)
			answer_fetch(relay);
		else if (deleting)
			answer_delete(relay);
	}
	assert_int_equal(row_count, 0);
	assert_in_range(out_max, 1, RELAY_IN_FLIGHT_MAX);
	assert_int_equal(sent_total, 15000);
	for (int i = 0; i < sent_total; i++)
		assert_int_equal(order[i], i + 1);
	/* reading is not much more than what is sent */
	assert_true(rows_read < 2 * 15000);
}

static void test_failed_delivery(void **state)
{
	(void)state;
	insert_range(1, 3);
	start();
	run(false);
	report(1, ERR_RETRY);
	report(2, ERR_NONE);
	run(false);
	assert_int_equal(row_count, 1);
	assert_true(has(1));
	for (int i = 0; i < 20 && row_count > 0; i++) {
		pass(100000); /* the backoff */
		run(true);
	}
	assert_int_equal(row_count, 0);
	assert_int_equal(times_sent[1], 2);
	assert_int_equal(times_sent[2] + times_sent[3], 2);
	assert_true(value_of("sandsweep_outbox_publish_failures_total") == 1);
	assert_true(value_of("sandsweep_outbox_published_total") == 3);
}

/* While nothing gets through, rows are tried again ever more rarely. */
static void test_backoff(void **state)
{
	(void)state;
	insert(1);
	start();
	for (int64_t until = now_us + 60000000; now_us < until;) {
		run(false);
		report(out_count, ERR_RETRY);
		pass(10000);
	}
	assert_true(times_sent[1] >= 7);
	assert_true(times_sent[1] < 60);
}

static void test_refused_row(void **state)
{
	(void)state;
	insert_range(1, 5);
	poison_id = 2;
	start();
	run(true);
	assert_int_equal(row_count, 1);
	assert_true(has(2));
	assert_true(relay_idle(relay)); /* it does not hold up a stop either */
	assert_true(value_of("sandsweep_outbox_refused") == 1);
	for (int i = 0; i < 50; i++) {
		pass(poll_us);
		run(true);
	}
	assert_int_equal(times_sent[2], 1);
	insert(6);
	relay_wake(relay);
	run(true);
	assert_int_equal(times_sent[6], 1);
	for (int i = 0; i < 11; i++) {
		pass(poll_us);
		run(true);
	}
	assert_int_equal(times_sent[2], 2); /* after a minute */
	poison_id = 0;
	for (int i = 0; i < 121; i++) {
		pass(poll_us);
		run(true);
	}
	assert_int_equal(row_count, 0);
	assert_int_equal(times_sent[2], 3);
	assert_true(value_of("sandsweep_outbox_refused") == 0);
}

static void test_refused_row_deleted_by_hand(void **state)
{
	(void)state;
	insert_range(1, 3);
	poison_id = 2;
	start();
	run(true);
	assert_true(value_of("sandsweep_outbox_refused") == 1);
	erase(2);
	pass(poll_us);
	run(true);
	assert_true(value_of("sandsweep_outbox_refused") == 0);
}

/* More refused rows than are remembered: they cost a try at each sweep, and nothing is held up. */
static void test_many_refused_rows(void **state)
{
	(void)state;
	insert_range(1, 400);
	start();
	run(false);
	report(400, ERR_REJECT);
	run(false);
	assert_true(value_of("sandsweep_outbox_refused") == 256);
	insert(500);
	relay_wake(relay);
	run(false);
	assert_int_equal(times_sent[500], 1);
	assert_int_equal(out_count, 144 + 1);
	run(true);
	assert_int_equal(row_count, 256);
}

static void test_fetch_fails(void **state)
{
	(void)state;
	insert(1);
	fetch_fails = true;
	start();
	for (int i = 0; i < 300; i++) {
		run(true);
		pass(100000);
	}
	assert_true(fetches > 3 && fetches < 60); /* 30 seconds of backoff */
	fetch_fails = false;
	for (int i = 0; i < 110 && row_count > 0; i++) {
		pass(100000);
		run(true);
	}
	assert_int_equal(row_count, 0);
	assert_int_equal(times_sent[1], 1);
}

static void test_delete_fails(void **state)
{
	(void)state;
	insert_range(1, 3);
	delete_fails = true;
	start();
	run(true);
	assert_int_equal(row_count, 3);
	assert_false(relay_idle(relay));
	for (int i = 0; i < 50; i++) {
		pass(100000);
		run(true);
	}
	assert_int_equal(sent_total, 3); /* what is confirmed is not published again */
	delete_fails = false;
	for (int i = 0; i < 110 && row_count > 0; i++) {
		pass(100000);
		run(true);
	}
	assert_int_equal(row_count, 0);
	assert_int_equal(sent_total, 3);
	assert_true(relay_idle(relay));
}

static void test_office_lost_in_flight(void **state)
{
	(void)state;
	insert_range(1, 3);
	start();
	run(false);
	int before = fetches;
	relay_set_active(relay, false);
	insert(4);
	relay_wake(relay);
	run(false);
	pass(10 * poll_us);
	run(false);
	assert_int_equal(fetches, before);
	report(3, ERR_NONE); /* still confirmed, so still deleted */
	run(false);
	assert_int_equal(row_count, 1);
	assert_true(relay_idle(relay));
	relay_set_active(relay, true);
	run(true);
	assert_int_equal(row_count, 0);
	assert_int_equal(sent_total, 4);
}

/* The answer to a fetch of a former office is not published: another relay may have done it. */
static void test_office_lost_while_fetching(void **state)
{
	(void)state;
	insert_range(1, 3);
	start();
	round_once();
	assert_true(fetch.out);
	relay_set_active(relay, false);
	answer_fetch(relay);
	run(true);
	assert_int_equal(sent_total, 0);
	relay_set_active(relay, true);
	round_once();
	assert_true(fetch.out);
	relay_set_active(relay, false);
	relay_set_active(relay, true);
	answer_fetch(relay);
	assert_int_equal(sent_total, 0);
	run(true);
	assert_int_equal(sent_total, 3);
	assert_int_equal(row_count, 0);
}

static void test_producer_queue_full(void **state)
{
	(void)state;
	insert_range(1, 100);
	queue_room = 10;
	start();
	run(false);
	assert_int_equal(out_count, 10);
	int before = fetches;
	run(false);
	assert_int_equal(fetches, before); /* and not in circles */
	for (int i = 0; i < 1000 && row_count > 0; i++) {
		report(out_count, ERR_NONE);
		pass(20000);
		run(false);
	}
	assert_int_equal(row_count, 0);
	assert_int_equal(sent_total, 100);
	for (int i = 0; i < sent_total; i++)
		assert_int_equal(order[i], i + 1);
}

/* ---- the set of ids ---- */

static void test_idset(void **state)
{
	(void)state;
	enum { MAX = 100, RANGE = 400, STEPS = 200000 };
	struct idset set;
	struct err err = {0};
	static int slots[RANGE]; /* slot + 1, by id */
	uint64_t random = 88172645463325252u;
	assert_int_equal(idset_init(&set, MAX, &err), 0);
	for (int step = 0; step < STEPS; step++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		int64_t id = (int64_t)(random % RANGE);
		assert_int_equal(idset_find(&set, id), slots[id] - 1);
		if (slots[id]) {
			idset_remove(&set, slots[id] - 1);
			slots[id] = 0;
		} else {
			int count = set.count, slot = idset_add(&set, id);
			assert_true(count == MAX ? slot == -1 : slot >= 0 && slot < MAX);
			slots[id] = slot + 1;
		}
	}
	for (int64_t id = 0; id < RANGE; id++)
		assert_int_equal(idset_find(&set, id), slots[id] - 1);
	idset_done(&set);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_nothing_before_active),
	    TEST(test_order),
	    TEST(test_message),
	    TEST(test_delete_only_what_is_confirmed),
	    TEST(test_wakes_become_one_fetch),
	    TEST(test_poll),
	    TEST(test_late_lower_id),
	    TEST(test_late_lower_id_under_load),
	    TEST(test_late_lower_id_after_load),
	    TEST(test_bound),
	    TEST(test_failed_delivery),
	    TEST(test_backoff),
	    TEST(test_refused_row),
	    TEST(test_refused_row_deleted_by_hand),
	    TEST(test_many_refused_rows),
	    TEST(test_fetch_fails),
	    TEST(test_delete_fails),
	    TEST(test_office_lost_in_flight),
	    TEST(test_office_lost_while_fetching),
	    TEST(test_producer_queue_full),
	    cmocka_unit_test(test_idset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
