/* What the producer, the consumer and all that goes between them are tested on: librdkafka's mock
 * cluster, with a topic each for events, results and dead letters. */
#ifndef TESTS_UNIT_QUEUE_FIXTURE_H
#define TESTS_UNIT_QUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/log.h"
#include "queue/consumer.h"
#include "queue/producer.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

#define EVENTS "test.events"
#define RESULTS "test.results"
#define LETTERS "test.deadletters"
#define EVENT "0190f5a8-6d5c-7cc1-9d0a-111111111111"
#define DATA                                                 \
	"{\"team_id\":\"22222222-2222-4222-8222-222222222222\"," \
	"\"function_id\":\"33333333-3333-4333-8333-333333333333\"}"

enum {
	PARTITIONS = 4,
	OFFSETS_MAX = 4000,
	KAFKA_PRODUCE = 0, /* API keys of the protocol */
	KAFKA_OFFSET_COMMIT = 8,
	KAFKA_SYNC_GROUP = 14,
	OVERRIDES_MAX = 8,
};

/* ---- the world of a test ---- */

static rd_kafka_t *mock_client;
static rd_kafka_mock_cluster_t *mock;
static struct loop *loop;
static struct metrics *metrics;
static struct producer *producer;
static struct config *config;
static struct kafka_config kafka;
static int64_t clock_ahead_us;
/* How often each message was part of a batch that was done. */
static int seen[PARTITIONS][OFFSETS_MAX];
static int fatals;
static struct err fatal_err;

static int64_t ahead_mono(void *arg)
{
	(void)arg;
	return clock_system()->mono_us(NULL) + clock_ahead_us;
}

static int64_t ahead_wall(void *arg)
{
	(void)arg;
	return clock_system()->wall_us(NULL);
}

static const struct clock test_clock = {ahead_mono, ahead_wall, NULL};

static void on_fatal(void *arg, const struct err *err)
{
	(void)arg;
	fatals++;
	fatal_err = *err;
}

/* Reads the [kafka] section with these further "key=value"s. */
static void configure(const char *const *more, size_t count)
{
	static const struct config_section *const sections[] = {&kafka_section};
	char texts[OVERRIDES_MAX + 8][256];
	const char *overrides[OVERRIDES_MAX + 8];
	struct err err = {0};
	size_t n = 0;
	(void)snprintf(texts[n++], 256, "kafka.bootstrap_servers=%s",
	               rd_kafka_mock_cluster_bootstraps(mock));
	(void)snprintf(texts[n++], 256, "kafka.events_topic=" EVENTS);
	(void)snprintf(texts[n++], 256, "kafka.results_topic=" RESULTS);
	(void)snprintf(texts[n++], 256, "kafka.dead_letter_topic=" LETTERS);
	(void)snprintf(texts[n++], 256, "kafka.partitions=%d", PARTITIONS);
	for (size_t i = 0; i < count; i++)
		(void)snprintf(texts[n++], 256, "kafka.%s", more[i]);
	for (size_t i = 0; i < n; i++)
		overrides[i] = texts[i];
	config_free(config);
	kafka = (struct kafka_config){0};
	config = config_load(NULL, sections, 1, overrides, n, &err);
	if (!config || config_read(config, &kafka_section, &kafka, &err) < 0)
		fail_msg("%s", err.text);
	kafka.config = config;
}

#define CONFIGURE(...)                            \
	configure((const char *const[]){__VA_ARGS__}, \
	          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Short enough for a test that waits for the group, long enough for a slow machine. */
#define QUICK_GROUP "session.timeout.ms=3000", "heartbeat.interval.ms=300"

static void start_producer(void)
{
	struct producer_opts opts = {on_fatal, NULL};
	struct err err = {0};
	producer = producer_new(loop, &kafka, &opts, &err);
	if (!producer)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	(void)state;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	struct err err = {0};
	char text[256];
	memset(seen, 0, sizeof(seen));
	fatals = 0;
	clock_ahead_us = 0;
	(void)rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text));
	mock_client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	mock = rd_kafka_mock_cluster_new(mock_client, 1);
	(void)rd_kafka_mock_topic_create(mock, EVENTS, PARTITIONS, 1);
	(void)rd_kafka_mock_topic_create(mock, RESULTS, PARTITIONS, 1);
	(void)rd_kafka_mock_topic_create(mock, LETTERS, PARTITIONS, 1);
	loop = loop_new(&test_clock, &err);
	metrics = metrics_new(&err);
	CONFIGURE(QUICK_GROUP);
	return loop && metrics ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	producer_free(producer, 5000);
	producer = NULL;
	metrics_free(metrics);
	loop_free(loop);
	config_free(config);
	config = NULL;
	rd_kafka_mock_cluster_destroy(mock);
	rd_kafka_destroy(mock_client);
	return 0;
}

static void turn(void)
{
	struct err err = {0};
	assert_int_equal(loop_once(loop, 5000, &err), 0);
}

static int64_t deadline_us(int ms)
{
	return clock_system()->mono_us(NULL) + (int64_t)ms * 1000;
}

static bool before(int64_t deadline)
{
	return clock_system()->mono_us(NULL) < deadline;
}

#define WAIT_FOR(condition, ms)                                 \
	do {                                                        \
		for (int64_t _end = deadline_us(ms); !(condition);) {   \
			if (!before(_end))                                  \
				fail_msg("no %s within %d ms", #condition, ms); \
			turn();                                             \
		}                                                       \
	} while (0)

static void run_for(int ms)
{
	for (int64_t end = deadline_us(ms); before(end);)
		turn();
}

/* ---- sending ---- */

static int reported, reported_ok;
static struct err last_report;
static bool inside_send;

static void on_report(void *arg, const struct err *err)
{
	(void)arg;
	assert_false(inside_send);
	reported++;
	reported_ok += !err;
	if (err)
		last_report = *err;
}

static int send_message(const char *topic, const struct event_message *message, struct err *err)
{
	inside_send = true;
	int rc = producer_send(producer, topic, message, on_report, NULL, err);
	inside_send = false;
	return rc;
}

static void send_value(const char *topic, const void *value, size_t len)
{
	static const struct event_field fields[] = {{"ce_specversion", "1.0", 3},
	                                            {"ce_id", EVENT, 36},
	                                            {"ce_source", "/test", 5},
	                                            {"ce_type", "io.sandsweep.function.deleted", 29}};
	struct event_message message = {
	    .value = value, .value_len = len, .fields = fields, .field_count = N_OF(fields)};
	struct err err = {0};
	if (send_message(topic, &message, &err) < 0)
		fail_msg("%s", err.text);
}

/* Puts `count` messages onto each partition, past the clients, and waits until they are there. */
static void fill(int count)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[256];
	(void)rd_kafka_conf_set(conf, "bootstrap.servers", kafka.bootstrap_servers, text, sizeof(text));
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	for (int p = 0; p < PARTITIONS; p++)
		for (int i = 0; i < count; i++)
			assert_int_equal(
			    rd_kafka_producev(client, RD_KAFKA_V_TOPIC(EVENTS), RD_KAFKA_V_PARTITION(p),
			                      RD_KAFKA_V_VALUE((void *)(uintptr_t)DATA, strlen(DATA)),
			                      RD_KAFKA_V_HEADER("ce_specversion", "1.0", -1),
			                      RD_KAFKA_V_HEADER("ce_id", EVENT, -1),
			                      RD_KAFKA_V_HEADER("ce_source", "/test", -1),
			                      RD_KAFKA_V_HEADER("ce_type", "io.sandsweep.function.deleted", -1),
			                      RD_KAFKA_V_END),
			    0);
	assert_int_equal(rd_kafka_flush(client, 10000), 0);
	rd_kafka_destroy(client);
}

/* ---- consuming ---- */

struct node {
	struct consumer *consumer;
	enum { DO, KEEP, RETRY } mode;
	struct consumer_item *items; /* KEEP: the batch that is out */
	int count, batches, handed, retry_ms;
	int64_t next[PARTITIONS]; /* the offset that must come next; -1: any */
	bool gaps;
};

static void check_order(struct node *node, const struct consumer_item *items, int count)
{
	for (int i = 0; i < count; i++) {
		int64_t *next = &node->next[items[i].partition];
		if (*next >= 0 && items[i].offset != *next)
			node->gaps = true;
		*next = items[i].offset + 1;
	}
}

static void finish(struct node *node, const struct consumer_item *items, int count)
{
	for (int i = 0; i < count; i++)
		seen[items[i].partition][items[i].offset]++;
	node->items = NULL;
	consumer_done(node->consumer);
}

static void on_batch(void *arg, struct consumer_item *items, int count)
{
	struct node *node = arg;
	assert_null(node->items);
	assert_in_range(count, 1, kafka.batch_max);
	node->batches++;
	node->handed += count;
	if (node->mode == RETRY) {
		consumer_retry(node->consumer, node->retry_ms);
		return;
	}
	if (node->mode == KEEP) {
		node->items = items;
		node->count = count;
		return;
	}
	check_order(node, items, count);
	finish(node, items, count);
}

static void node_start(struct node *node)
{
	struct consumer_opts opts = {on_batch, on_fatal, node};
	struct err err = {0};
	node->items = NULL;
	for (int i = 0; i < PARTITIONS; i++)
		node->next[i] = -1;
	node->consumer = consumer_new(loop, &kafka, &opts, metrics, &err);
	if (!node->consumer)
		fail_msg("%s", err.text);
}

static void node_stop(struct node *node)
{
	consumer_free(node->consumer, 10000);
	node->consumer = NULL;
	node->items = NULL;
}

static int seen_count(int count, int least)
{
	int n = 0;
	for (int p = 0; p < PARTITIONS; p++)
		for (int i = 0; i < count; i++)
			n += seen[p][i] >= least;
	return n;
}

static bool all_seen(int count)
{
	return seen_count(count, 1) == PARTITIONS * count;
}

static int64_t messages(int per_partition)
{
	return (int64_t)PARTITIONS * per_partition;
}

/* What the group has committed, all partitions together. */
static int64_t committed(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
	char text[256];
	int64_t sum = 0;
	(void)rd_kafka_conf_set(conf, "bootstrap.servers", kafka.bootstrap_servers, text, sizeof(text));
	(void)rd_kafka_conf_set(conf, "group.id", kafka.group_id, text, sizeof(text));
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	for (int p = 0; p < PARTITIONS; p++)
		(void)rd_kafka_topic_partition_list_add(list, EVENTS, p);
	assert_int_equal(rd_kafka_committed(client, list, 10000), 0);
	for (int p = 0; p < PARTITIONS; p++)
		sum += list->elems[p].offset > 0 ? list->elems[p].offset : 0;
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(client);
	return sum;
}

/* ---- running them ---- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A group of the mock cluster needs 3 s to form, and a test of it mostly waits: so the tests run at
 * once, each in a process of its own. */
static int run_beside(const struct CMUnitTest *tests, size_t count)
{
	int failed = 0, status;
	for (size_t i = 0; i < count; i++) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			exit(_cmocka_run_group_tests("queue", &tests[i], 1, NULL, NULL) != 0);
	}
	while (wait(&status) > 0)
		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return failed;
}

#endif
