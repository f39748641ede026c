#include "consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/killpoint.h"
#include "base/log.h"
#include "consumer_private.h"

/* librdkafka is polled from the loop, one message at a time, whenever its queue rings. While a
 * batch is with its owner it is not polled at all, which is the cheapest back-pressure: its own
 * queue fills to its bound and fetching stops. But a rebalance waits for us as long as we do not
 * poll. So when the batch takes longer than HOLD_AFTER_US, or is given back, the partitions are
 * paused and polling goes on; a message that comes nevertheless (of a partition that was assigned
 * meanwhile) is taken back. partitions.c knows where each of them goes on. */

enum {
	BATCH_BYTES_MAX = 4 << 20,
	HOLD_AFTER_US = 1000000, /* then also the period of polling while holding */
	RETRY_COMMIT_US = 1000000,
	NO_MEMORY_RETRY_US = 100000,
	POLLS_PER_ROUND = 10000, /* while holding */
	NUDGE_BYTES = 2 << 20,   /* half of what librdkafka's queue holds */
	NUDGE_AFTER_US = 5000,
	HEARD_MAX_US = 30000000,
	CLOSE_POLL_MS = 20,
};

static void ring(struct consumer *consumer)
{
	client_wake_again(&consumer->wake);
}

static void die(struct consumer *consumer, const struct err *err)
{
	if (consumer->fatal)
		return;
	consumer->fatal = true;
	consumer->opts.on_fatal(consumer->opts.arg, err);
}

static void heard(struct consumer *consumer)
{
	consumer->heard_us = loop_now_us(consumer->loop);
}

/* ---- one message ---- */

size_t consumer_fields(rd_kafka_message_t *message, struct event_field *ret, size_t max)
{
	rd_kafka_headers_t *headers;
	if (rd_kafka_message_headers(message, &headers))
		return 0;
	size_t count = rd_kafka_header_cnt(headers);
	for (size_t i = 0; i < count && i < max; i++)
		(void)rd_kafka_header_get_all(headers, i, &ret[i].name, &ret[i].value, &ret[i].len);
	return count;
}

/* Decodes into the batch's next item. -1 without memory: the message can be judged later. */
static int take(struct consumer *consumer, rd_kafka_message_t *message)
{
	struct consumer_item *item = &consumer->items[consumer->count];
	struct event_field fields[EVENT_FIELD_MAX];
	struct err err = {0};
	size_t count = consumer_fields(message, fields, EVENT_FIELD_MAX);
	struct event_message raw = {
	    .key = message->key,
	    .key_len = message->key_len,
	    .value = message->payload,
	    .value_len = message->len,
	    .fields = fields,
	    .field_count = count < EVENT_FIELD_MAX ? count : EVENT_FIELD_MAX,
	};
	*item = (struct consumer_item){
	    .partition = message->partition, .offset = message->offset, .raw = message};
	if (event_decode(&raw, &item->event, &err) < 0) {
		if (err.kind != ERR_REJECT)
			return -1;
		(void)snprintf(item->reject_code, sizeof(item->reject_code), "%s", err.code);
		(void)snprintf(item->reject_text, sizeof(item->reject_text), "%.*s", EVENT_REASON_MAX - 1,
		               err.text);
	}
	consumer->lost[consumer->count++] = false;
	consumer->bytes += message->len + message->key_len;
	consumer->taken_bytes += message->len + message->key_len;
	metric_add(consumer->consumed, 1);
	return 0;
}

/* librdkafka hands errors over as messages. */
static void on_message_error(struct consumer *consumer, const rd_kafka_message_t *message)
{
	struct err err = {0};
	struct partition *part = partitions_find(&consumer->parts, message->partition);
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		heard(consumer);
		if (part && part->position < 0)
			part->position = message->offset; /* read to its end, and there was nothing */
		return;
	}
	if (message->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED)
		consumer->joined = false;
	(void)kafka_err(&err, message->err, rd_kafka_message_errstr(message));
	if (err.kind == ERR_FATAL)
		die(consumer, &err);
	else
		log_err(LOG_L_WARN, "kafka.consumer_error", &err, NULL);
}

static void on_message(struct consumer *consumer, rd_kafka_message_t *message)
{
	struct partition *part = partitions_find(&consumer->parts, message->partition);
	if (message->err) {
		on_message_error(consumer, message);
	} else if (part) {
		heard(consumer);
		if (!consumer->holding && take(consumer, message) == 0) {
			part->position = message->offset + 1;
			return;
		}
		partitions_take_back(&consumer->parts, part, message->offset);
		if (!consumer->holding)
			loop_timer_set(consumer->loop, &consumer->retry, NO_MEMORY_RETRY_US);
	}
	rd_kafka_message_destroy(message);
}

/* ---- the batch ---- */

static void drop_item(struct consumer *consumer, int i)
{
	letters_forget(&consumer->letters, consumer->items[i].raw);
	rd_kafka_message_destroy(consumer->items[i].raw);
}

static void drop_lost(struct consumer *consumer)
{
	int kept = 0;
	for (int i = 0; i < consumer->count; i++) {
		if (consumer->lost[i]) {
			drop_item(consumer, i);
			continue;
		}
		consumer->items[kept] = consumer->items[i];
		consumer->lost[kept++] = false;
	}
	consumer->count = kept;
}

/* The batch is over, one way or the other: takes messages again. */
static void end_batch(struct consumer *consumer)
{
	for (int i = 0; i < consumer->count; i++)
		drop_item(consumer, i);
	consumer->count = 0;
	consumer->bytes = 0;
	consumer->state = BATCH_NONE;
	consumer->holding = false;
	loop_timer_stop(consumer->loop, &consumer->hold);
	loop_timer_stop(consumer->loop, &consumer->retry);
	partitions_resume(&consumer->parts);
	ring(consumer);
}

static void hand_out(struct consumer *consumer)
{
	drop_lost(consumer);
	if (consumer->count == 0) {
		end_batch(consumer);
		return;
	}
	consumer->state = BATCH_OUT;
	loop_timer_set(consumer->loop, &consumer->hold, HOLD_AFTER_US);
	consumer->opts.on_batch(consumer->opts.arg, consumer->items, consumer->count);
}

static void collect(struct consumer *consumer)
{
	rd_kafka_message_t *message;
	while (consumer->count < consumer->batch_max && consumer->bytes < BATCH_BYTES_MAX &&
	       (message = rd_kafka_consumer_poll(consumer->client, 0)))
		on_message(consumer, message);
	if (consumer->taken_bytes >= NUDGE_BYTES && !consumer->nudge.armed)
		loop_timer_set(consumer->loop, &consumer->nudge, NUDGE_AFTER_US);
	if (consumer->count > 0)
		hand_out(consumer);
}

/* When librdkafka 2.0.2 finds its queue full, it stops fetching and looks again only after a
 * second, however soon the queue was read: a small queue would mean few messages a second. A seek
 * to where we are wakes it, and costs nothing while the queue is empty. A fetch that happens to be
 * on its way is then made twice; at most once for every NUDGE_BYTES that were read. */
static void on_nudge(void *arg)
{
	struct consumer *consumer = arg;
	if (rd_kafka_queue_length(consumer->queue) > 0) {
		loop_timer_set(consumer->loop, &consumer->nudge, NUDGE_AFTER_US);
		return;
	}
	consumer->taken_bytes = 0;
	if (!consumer->holding)
		partitions_nudge(&consumer->parts);
}

static void poll_while_holding(struct consumer *consumer)
{
	for (int i = 0; i < POLLS_PER_ROUND; i++) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, 0);
		if (!message)
			return;
		on_message(consumer, message);
	}
	ring(consumer);
}

static void on_wake(void *arg)
{
	struct consumer *consumer = arg;
	if (consumer->holding)
		poll_while_holding(consumer);
	else if (consumer->state == BATCH_NONE)
		collect(consumer);
}

static void begin_holding(struct consumer *consumer)
{
	if (consumer->holding)
		return;
	consumer->holding = true;
	partitions_pause_known(&consumer->parts);
	ring(consumer);
}

static void on_hold(void *arg)
{
	struct consumer *consumer = arg;
	begin_holding(consumer);
	loop_timer_set(consumer->loop, &consumer->hold, HOLD_AFTER_US);
	ring(consumer);
}

static void on_retry(void *arg)
{
	struct consumer *consumer = arg;
	if (consumer->state == BATCH_WAITING)
		hand_out(consumer);
	else if (consumer->state == BATCH_NONE)
		end_batch(consumer); /* there may be memory again */
}

/* ---- commits ---- */

static void commit(struct consumer *consumer);

static void on_commit(rd_kafka_t *client, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *arg)
{
	struct consumer *consumer = arg;
	(void)client;
	consumer->commits_out--;
	if (partitions_on_commit(&consumer->parts, code, offsets) == 0) {
		killpoint("consumer.after_commit");
		metric_add(consumer->commits, 1);
		heard(consumer);
		commit(consumer); /* what was done meanwhile */
		return;
	}
	metric_add(consumer->commit_failures, 1);
	loop_timer_set(consumer->loop, &consumer->commit_retry, RETRY_COMMIT_US);
}

static void commit_now(struct consumer *consumer)
{
	rd_kafka_topic_partition_list_t *offsets = partitions_to_commit(&consumer->parts);
	if (!offsets)
		return;
	killpoint("consumer.before_commit");
	consumer->commits_out++;
	(void)rd_kafka_commit_queue(consumer->client, offsets, consumer->queue, on_commit, consumer);
	rd_kafka_topic_partition_list_destroy(offsets);
}

/* One request at a time: under load the next one covers many batches. None while joining. */
static void commit(struct consumer *consumer)
{
	if (consumer->commits_out == 0 && !consumer->commit_retry.armed &&
	    !joining_now(consumer->joining))
		commit_now(consumer);
}

static void on_commit_retry(void *arg)
{
	commit(arg);
}

void consumer_done(struct consumer *consumer)
{
	for (int i = 0; i < consumer->count; i++) {
		struct partition *part = partitions_find(&consumer->parts, consumer->items[i].partition);
		if (part && !consumer->lost[i])
			part->done = consumer->items[i].offset + 1;
	}
	commit(consumer);
	end_batch(consumer);
}

void consumer_retry(struct consumer *consumer, int64_t delay_ms)
{
	consumer->state = BATCH_WAITING;
	begin_holding(consumer);
	loop_timer_set(consumer->loop, &consumer->retry, delay_ms * 1000);
}

/* ---- the group; all of this runs inside rd_kafka_consumer_poll(), on our thread ---- */

static void on_assigned(struct consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	struct err err = {0};
	for (int i = 0; i < list->cnt; i++)
		if (partitions_add(&consumer->parts, list->elems[i].partition, &err) < 0)
			die(consumer, &err);
	consumer->joined = consumer->assigned = true;
	heard(consumer);
	commit(consumer); /* what had to wait for this */
	rd_kafka_error_destroy(rd_kafka_incremental_assign(consumer->client, list));
}

static void on_revoked(struct consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	/* What is durable is committed while the partitions are still ours to commit. */
	if (rd_kafka_assignment_lost(consumer->client))
		consumer->joined = false;
	else
		commit_now(consumer);
	for (int i = 0; i < list->cnt; i++) {
		for (int j = 0; j < consumer->count; j++)
			if (consumer->items[j].partition == list->elems[i].partition)
				consumer->lost[j] = true;
		partitions_remove(&consumer->parts, list->elems[i].partition);
	}
	joining_expect(consumer->joining); /* so does the cooperative protocol ask */
	rd_kafka_error_destroy(rd_kafka_incremental_unassign(consumer->client, list));
}

static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *arg)
{
	struct consumer *consumer = arg;
	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		on_assigned(consumer, list);
	} else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
		on_revoked(consumer, list);
	} else {
		consumer->joined = false;
		(void)rd_kafka_assign(client, NULL);
	}
}

static void on_error(rd_kafka_t *client, int code, const char *text, void *arg)
{
	struct consumer *consumer = arg;
	struct err kind = {0}, err = {0};
	(void)kafka_err(&kind, code, text);
	if (kind.kind == ERR_FATAL) {
		client_fatal(client, code, text, &err);
		die(consumer, &err);
		return;
	}
	client_log_error(code, text);
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client;
	client_log(level, facility, text);
}

static int on_stats(rd_kafka_t *client, char *report, size_t len, void *arg)
{
	struct consumer *consumer = arg;
	int64_t ago_us = client_heard_us(report, len), at_us = loop_now_us(consumer->loop) - ago_us;
	(void)client;
	if (ago_us >= 0 && at_us > consumer->heard_us)
		consumer->heard_us = at_us;
	return 0; /* librdkafka frees the report */
}

/* ---- life ---- */

static rd_kafka_t *new_client(struct consumer *consumer, const struct kafka_config *config,
                              struct err *err)
{
	rd_kafka_conf_t *conf = client_conf(config, CLIENT_CONSUMER, err);
	if (!conf)
		return NULL;
	consumer->joining = joining_new(conf, err);
	if (!consumer->joining) {
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	rd_kafka_conf_set_opaque(conf, consumer);
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_stats_cb(conf, on_stats);
	rd_kafka_conf_set_log_cb(conf, on_log);
	return client_new(CLIENT_CONSUMER, conf, err);
}

static int subscribe(struct consumer *consumer, const char *topic, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	(void)rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	return code ? kafka_err(err, code, "cannot subscribe") : 0;
}

static int start(struct consumer *consumer, const struct kafka_config *config, struct err *err)
{
	consumer->items = calloc((size_t)consumer->batch_max, sizeof(*consumer->items));
	consumer->lost = calloc((size_t)consumer->batch_max, sizeof(*consumer->lost));
	if (!consumer->items || !consumer->lost)
		return err_oom(err);
	consumer->client = new_client(consumer, config, err);
	if (!consumer->client)
		return -1;
	consumer->parts =
	    (struct partitions){.client = consumer->client, .topic = config->events_topic};
	(void)rd_kafka_poll_set_consumer(consumer->client);
	consumer->queue = rd_kafka_queue_get_consumer(consumer->client);
	if (client_wake_init(&consumer->wake, consumer->loop, consumer->queue, on_wake, consumer, err) <
	    0)
		return -1;
	return subscribe(consumer, config->events_topic, err);
}

struct consumer *consumer_new(struct loop *loop, const struct kafka_config *config,
                              const struct consumer_opts *opts, struct metrics *metrics,
                              struct err *err)
{
	struct consumer *consumer = calloc(1, sizeof(*consumer));
	if (!consumer) {
		(void)err_oom(err);
		return NULL;
	}
	consumer->loop = loop;
	consumer->opts = *opts;
	consumer->wake.fd = -1;
	consumer->batch_max = (int)config->batch_max;
	heard(consumer);
	loop_timer_init(&consumer->hold, on_hold, consumer);
	loop_timer_init(&consumer->retry, on_retry, consumer);
	loop_timer_init(&consumer->commit_retry, on_commit_retry, consumer);
	loop_timer_init(&consumer->nudge, on_nudge, consumer);
	consumer->consumed = metrics_counter(metrics, "sandsweep_events_consumed_total", NULL,
	                                     "Messages read from the events topic.");
	consumer->commits = metrics_counter(metrics, "sandsweep_offset_commits_total", NULL,
	                                    "Offset commits that the broker confirmed.");
	consumer->commit_failures =
	    metrics_counter(metrics, "sandsweep_offset_commit_failures_total", NULL,
	                    "Offset commits that failed and are asked for again.");
	letters_init(&consumer->letters, loop, config->dead_letter_topic, metrics);
	if (start(consumer, config, err) == 0)
		return consumer;
	consumer_free(consumer, 0);
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Leaves the group: waits for open commits and says goodbye, so that the others need not wait for
 * the session to run out. The queue of the closing must not be the consumer's own, to which
 * librdkafka would then forward itself. */
static void leave_group(struct consumer *consumer, int64_t deadline_ms)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->client);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(consumer->client, queue);
	while (!error && !rd_kafka_consumer_closed(consumer->client) && now_ms() < deadline_ms) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, CLOSE_POLL_MS);
		if (message)
			rd_kafka_message_destroy(message);
	}
	rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
}

/* librdkafka (2.0.2) aborts the process at the end of a member that has joined its group and has never been told
 * what it is assigned. Such a client is left to itself; its group knows already that it has gone. */
static bool may_destroy(const struct consumer *consumer)
{
	return consumer->assigned || !consumer->joining || !joining_ever(consumer->joining);
}

void consumer_free(struct consumer *consumer, int64_t wait_ms)
{
	if (!consumer)
		return;
	int64_t deadline_ms = now_ms() + wait_ms, left_ms;
	consumer->fatal = true; /* nobody wants to hear of it any more */
	for (int i = 0; i < consumer->count; i++)
		drop_item(consumer, i);
	consumer->count = 0;
	client_wake_done(&consumer->wake, consumer->loop);
	if (consumer->queue) {
		if (!joining_now(consumer->joining))
			commit_now(consumer);
		leave_group(consumer, deadline_ms);
		rd_kafka_queue_destroy(consumer->queue);
	}
	loop_timer_stop(consumer->loop, &consumer->hold);
	loop_timer_stop(consumer->loop, &consumer->retry);
	loop_timer_stop(consumer->loop, &consumer->commit_retry);
	loop_timer_stop(consumer->loop, &consumer->nudge);
	left_ms = deadline_ms - now_ms();
	if (may_destroy(consumer) && client_destroy(consumer->client, left_ms > 0 ? left_ms : 0))
		joining_free(consumer->joining); /* otherwise it is still in use */
	letters_done(&consumer->letters);
	partitions_done(&consumer->parts);
	free(consumer->items);
	free(consumer->lost);
	free(consumer);
}

/* ---- how it is ---- */

int64_t consumer_lag(const struct consumer *consumer)
{
	return consumer->joined ? partitions_lag(&consumer->parts) : -1;
}

bool consumer_healthy(const struct consumer *consumer, char why[128])
{
	int64_t silent_us = loop_now_us(consumer->loop) - consumer->heard_us;
	if (consumer->fatal)
		(void)snprintf(why, 128, "the Kafka consumer has failed for good");
	else if (!consumer->joined)
		(void)snprintf(why, 128, "not a member of the consumer group");
	else if (silent_us > HEARD_MAX_US)
		(void)snprintf(why, 128, "no Kafka broker has answered for %lld s",
		               (long long)(silent_us / 1000000));
	return !consumer->fatal && consumer->joined && silent_us <= HEARD_MAX_US;
}
