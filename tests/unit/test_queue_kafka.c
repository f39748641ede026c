/* Producer, consumer, dead letters and topics against librdkafka's mock cluster. */
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
static int seen[PARTITIONS]
               [OFFSETS_MAX]; /* how often each message was part of a batch that was done */
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

static double value_of(const char *series)
{
	struct buf text;
	char line[160];
	double value = -1;
	buf_init(&text, 262144);
	metrics_write(metrics, &text);
	(void)snprintf(line, sizeof(line), "\n%s ", series);
	const char *at = strstr(text.data, line);
	if (at)
		value = strtod(at + strlen(line), NULL);
	buf_done(&text);
	return value;
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

/* ---- configuration ---- */

static void expect_refused(const char *property, enum err_kind kind, const char *part)
{
	struct consumer_opts opts = {on_batch, on_fatal, NULL};
	struct producer_opts popts = {on_fatal, NULL};
	struct err err = {0}, perr = {0};
	CONFIGURE(property);
	assert_null(consumer_new(loop, &kafka, &opts, metrics, &err));
	assert_null(producer_new(loop, &kafka, &popts, &perr));
	if (err.kind != kind || !strstr(err.text, part) || perr.kind != kind)
		fail_msg("%s: %s", property, err.text);
}

static void test_properties(void **state)
{
	(void)state;
	expect_refused("no.such.property=1", ERR_FATAL, "No such configuration property");
	expect_refused("socket.timeout.ms=soon", ERR_FATAL, "socket.timeout.ms");
	expect_refused("security.protocol=carrier_pigeon", ERR_FATAL, "security.protocol");
	expect_refused("enable.auto.commit=true", ERR_REJECT, "may not be set");
	expect_refused("enable.auto.offset.store=true", ERR_REJECT, "may not be set");
	expect_refused("enable.idempotence=false", ERR_REJECT, "may not be set");
	expect_refused("acks=1", ERR_REJECT, "may not be set");
	expect_refused("request.required.acks=0", ERR_REJECT, "may not be set");
	expect_refused("auto.offset.reset=latest", ERR_REJECT, "may not be set");
	expect_refused("group.id=other", ERR_REJECT, "kafka.group_id");
	expect_refused("bootstrap.servers=other", ERR_REJECT, "kafka.bootstrap_servers");
}

/* What librdkafka finds wrong only when all of it is together. */
static void test_properties_together(void **state)
{
	(void)state;
	struct consumer_opts opts = {on_batch, on_fatal, NULL};
	struct err err = {0};
	CONFIGURE("session.timeout.ms=9000", "max.poll.interval.ms=6000");
	assert_null(consumer_new(loop, &kafka, &opts, metrics, &err));
	assert_int_equal(err.kind, ERR_FATAL);
	assert_non_null(strstr(err.text, "max.poll.interval.ms"));
}

static void test_error_kinds(void **state)
{
	(void)state;
	static const struct {
		int code;
		enum err_kind kind;
		const char *name;
	} cases[] = {
	    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ERR_REJECT, "MSG_SIZE_TOO_LARGE"},
	    {RD_KAFKA_RESP_ERR__TRANSPORT, ERR_RETRY, "TRANSPORT"},
	    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, ERR_RETRY, "MSG_TIMED_OUT"},
	    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, ERR_RETRY, "NOT_ENOUGH_REPLICAS"},
	    {RD_KAFKA_RESP_ERR__FATAL, ERR_FATAL, "FATAL"},
	    {RD_KAFKA_RESP_ERR__AUTHENTICATION, ERR_FATAL, "AUTHENTICATION"},
	    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ERR_FATAL, "TOPIC_AUTHORIZATION_FAILED"},
	    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ERR_FATAL, "GROUP_AUTHORIZATION_FAILED"},
	    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ERR_FATAL, "UNKNOWN_TOPIC_OR_PART"},
	    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ERR_FATAL, "UNKNOWN_TOPIC"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct err err = {0};
		assert_int_equal(kafka_err(&err, cases[i].code, "what"), -1);
		assert_int_equal(err.kind, cases[i].kind);
		assert_string_equal(err.code, cases[i].name);
		assert_memory_equal(err.text, "what: ", 6);
	}
	struct err err = {0};
	(void)kafka_err(&err, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "x");
	assert_non_null(strstr(err.text, "sandsweep topics create"));
}

/* ---- topics ---- */

static char outcomes[512];

static void on_outcome(void *arg, const char *topic, const char *outcome)
{
	(void)arg;
	size_t len = strlen(outcomes);
	(void)snprintf(outcomes + len, sizeof(outcomes) - len, "%s %s\n", topic, outcome);
}

static void test_topics(void **state)
{
	(void)state;
	struct err err = {0};
	outcomes[0] = '\0';
	assert_int_equal(kafka_topics_check(&kafka, 10000, &err), 0);
	assert_int_equal(kafka_topics_create(&kafka, 10000, on_outcome, NULL, &err), 0);
	assert_string_equal(outcomes, EVENTS " exists\n" RESULTS " exists\n" LETTERS " exists\n");
	CONFIGURE("partitions=5");
	assert_int_equal(kafka_topics_create(&kafka, 10000, on_outcome, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_REJECT);
	assert_non_null(strstr(err.text, EVENTS));
}

static void test_topic_missing(void **state)
{
	(void)state;
	struct err err = {0};
	CONFIGURE("results_topic=test.missing");
	assert_int_equal(kafka_topics_check(&kafka, 10000, &err), -1);
	assert_int_equal(err.kind, ERR_FATAL);
	assert_non_null(strstr(err.text, "test.missing"));
	assert_non_null(strstr(err.text, "topics create"));
	err = (struct err){0};
	/* the mock cluster cannot create topics, and says so */
	assert_int_equal(kafka_topics_create(&kafka, 3000, on_outcome, NULL, &err), -1);
	assert_true(err.kind != ERR_NONE);
}

static void test_topics_without_broker(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(rd_kafka_mock_broker_set_down(mock, -1), 0);
	int64_t end = deadline_us(5000);
	assert_int_equal(kafka_topics_check(&kafka, 500, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_true(before(end));
}

/* ---- producer ---- */

static void test_produce(void **state)
{
	(void)state;
	start_producer();
	reported = reported_ok = 0;
	for (int i = 0; i < 1000; i++)
		send_value(RESULTS, DATA, strlen(DATA));
	assert_int_equal(producer_in_flight(producer), 1000);
	assert_int_equal(reported, 0);
	WAIT_FOR(reported == 1000, 10000);
	assert_int_equal(reported_ok, 1000);
	assert_int_equal(producer_in_flight(producer), 0);
	assert_true(loop_now_us(loop) - producer_last_progress_us(producer) < 1000000);
}

static void test_produce_too_large(void **state)
{
	(void)state;
	static char large[2000000];
	start_producer();
	reported = reported_ok = 0;
	send_value(RESULTS, large, sizeof(large)); /* librdkafka's own bound */
	assert_int_equal(reported, 0);
	WAIT_FOR(reported == 1, 5000);
	assert_int_equal(last_report.kind, ERR_REJECT);
	rd_kafka_mock_push_request_errors(mock, KAFKA_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	last_report = (struct err){0};
	send_value(RESULTS, DATA, strlen(DATA)); /* the broker's */
	WAIT_FOR(reported == 2, 5000);
	assert_int_equal(last_report.kind, ERR_REJECT);
	assert_int_equal(fatals, 0);
}

static void test_produce_retried(void **state)
{
	(void)state;
	start_producer();
	reported = reported_ok = 0;
	rd_kafka_mock_push_request_errors(
	    mock, KAFKA_PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__TRANSPORT);
	for (int i = 0; i < 100; i++)
		send_value(RESULTS, DATA, strlen(DATA));
	WAIT_FOR(reported == 100, 20000);
	assert_int_equal(reported_ok, 100);
}

static void test_produce_forbidden(void **state)
{
	(void)state;
	start_producer();
	reported = reported_ok = 0;
	rd_kafka_mock_push_request_errors(mock, KAFKA_PRODUCE, 1,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	send_value(RESULTS, DATA, strlen(DATA));
	WAIT_FOR(reported == 1, 10000);
	assert_int_equal(last_report.kind, ERR_RETRY); /* the message is as good as before */
	assert_int_equal(fatals, 1);
	assert_int_equal(fatal_err.kind, ERR_FATAL);
}

static void test_produce_without_broker(void **state)
{
	(void)state;
	struct err err = {0};
	struct event_message message = {.value = "x", .value_len = 1};
	CONFIGURE("queue.buffering.max.messages=10", "message.timeout.ms=1000");
	assert_int_equal(rd_kafka_mock_broker_set_down(mock, -1), 0);
	start_producer();
	reported = reported_ok = 0;
	int64_t start_us = loop_now_us(loop);
	for (int i = 0; i < 10; i++)
		send_value(RESULTS, DATA, strlen(DATA));
	assert_int_equal(send_message(RESULTS, &message, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.code, "QUEUE_FULL");
	assert_int_equal(producer_in_flight(producer), 10);
	WAIT_FOR(reported == 10, 20000);
	assert_int_equal(reported_ok, 0);
	assert_int_equal(last_report.kind, ERR_RETRY);
	assert_true(producer_last_progress_us(producer) <= start_us + 100000);
	assert_int_equal(fatals, 0);
	assert_int_equal(rd_kafka_mock_broker_set_up(mock, -1), 0);
	send_value(RESULTS, DATA, strlen(DATA));
	WAIT_FOR(reported == 11, 30000);
	assert_int_equal(reported_ok, 1);
}

/* Freed with messages under way: their senders hear nothing, and nothing leaks. */
static void test_producer_freed_early(void **state)
{
	(void)state;
	assert_int_equal(rd_kafka_mock_broker_set_down(mock, -1), 0);
	start_producer();
	reported = 0;
	for (int i = 0; i < 10; i++)
		send_value(RESULTS, DATA, strlen(DATA));
	run_for(50);
	int64_t end = deadline_us(4000);
	producer_free(producer, 3000);
	producer = NULL;
	assert_true(before(end));
	assert_int_equal(reported, 0);
}

/* ---- consumer ---- */

static void test_consume_and_restart(void **state)
{
	(void)state;
	struct node node = {.mode = DO};
	fill(300);
	CONFIGURE(QUICK_GROUP, "batch_max=100");
	node_start(&node);
	WAIT_FOR(all_seen(300), 20000);
	assert_false(node.gaps);
	assert_true(node.batches >= 12);
	node_stop(&node); /* commits what is done */
	assert_int_equal(committed(), messages(300));
	assert_true(value_of("sandsweep_offset_commits_total") > 0);
	fill(1);
	node_start(&node);
	WAIT_FOR(all_seen(301), 20000);
	run_for(300);
	assert_int_equal(seen_count(301, 2), 0); /* nothing twice */
	node_stop(&node);
}

static void test_not_done_is_read_again(void **state)
{
	(void)state;
	struct node node = {.mode = KEEP};
	fill(5);
	node_start(&node);
	WAIT_FOR(node.items, 20000);
	node_stop(&node);
	assert_int_equal(committed(), 0);
	node.mode = DO;
	node_start(&node);
	WAIT_FOR(all_seen(5), 20000);
	assert_int_equal(seen_count(5, 2), 0);
	node_stop(&node);
}

/* A batch comes back as it was, and reading goes on exactly behind it. */
static void test_retry(void **state)
{
	(void)state;
	struct node node = {.mode = RETRY, .retry_ms = 30};
	fill(100);
	CONFIGURE(QUICK_GROUP, "batch_max=7");
	node_start(&node);
	for (int round = 0; round < 10; round++) {
		int batches = node.batches + 3;
		node.mode = RETRY;
		WAIT_FOR(node.batches >= batches, 20000);
		node.mode = KEEP;
		WAIT_FOR(node.items, 20000);
		assert_in_range(node.count, 1, 7);
		check_order(&node, node.items, node.count);
		finish(&node, node.items, node.count);
		node.mode = DO;
	}
	WAIT_FOR(all_seen(100), 30000);
	assert_false(node.gaps);
	assert_int_equal(seen_count(100, 2), 0);
	node_stop(&node);
	assert_int_equal(committed(), messages(100));
}

/* A batch that is out for longer than the group allows between two polls. The partitions that were
 * not read from yet get their first messages meanwhile. */
static void test_slow_batch(void **state)
{
	(void)state;
	struct node node = {.mode = KEEP};
	char why[128] = "";
	fill(50);
	CONFIGURE("session.timeout.ms=2500", "heartbeat.interval.ms=300", "max.poll.interval.ms=2500",
	          "batch_max=10");
	node_start(&node);
	WAIT_FOR(node.items, 20000);
	fill(50);
	run_for(6000);
	assert_true(consumer_healthy(node.consumer, why));
	assert_int_equal(node.batches, 1);
	check_order(&node, node.items, node.count);
	node.mode = DO;
	finish(&node, node.items, node.count);
	WAIT_FOR(all_seen(100), 20000);
	assert_false(node.gaps);
	assert_int_equal(seen_count(100, 2), 0); /* the membership was never lost */
	node_stop(&node);
	assert_int_equal(committed(), messages(100));
}

static void test_idle_then_one(void **state)
{
	(void)state;
	struct node node = {.mode = DO};
	node_start(&node);
	WAIT_FOR(consumer_lag(node.consumer) == 0, 20000);
	for (int i = 1; i <= 5; i++) {
		fill(1);
		WAIT_FOR(all_seen(i), 5000);
	}
	WAIT_FOR(consumer_lag(node.consumer) == 0, 5000);
	node_stop(&node);
}

static void test_lag(void **state)
{
	(void)state;
	struct node node = {.mode = KEEP};
	CONFIGURE(QUICK_GROUP, "batch_max=10");
	node_start(&node);
	assert_int_equal(consumer_lag(node.consumer), -1);
	WAIT_FOR(consumer_lag(node.consumer) == 0, 20000);
	fill(100);
	WAIT_FOR(node.items, 5000);
	/* as the broker last said: all of them once every partition was fetched from */
	WAIT_FOR(consumer_lag(node.consumer) == messages(100) - node.count, 5000);
	node.mode = DO;
	finish(&node, node.items, node.count);
	WAIT_FOR(all_seen(100), 20000);
	WAIT_FOR(consumer_lag(node.consumer) == 0, 5000);
	node_stop(&node);
}

static void test_commit_fails(void **state)
{
	(void)state;
	struct node node = {.mode = DO};
	node_start(&node);
	WAIT_FOR(consumer_lag(node.consumer) == 0, 20000);
	rd_kafka_mock_push_request_errors(mock, KAFKA_OFFSET_COMMIT, 2,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	                                  RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE);
	fill(10);
	WAIT_FOR(all_seen(10), 20000);
	WAIT_FOR(value_of("sandsweep_offset_commit_failures_total") == 2, 10000);
	WAIT_FOR(committed() == messages(10), 10000); /* asked for again, without a new batch */
	assert_int_equal(seen_count(10, 2), 0);
	node_stop(&node);
}

static void test_broker_restart(void **state)
{
	(void)state;
	struct node node = {.mode = DO};
	CONFIGURE(QUICK_GROUP, "reconnect.backoff.max.ms=200");
	fill(20);
	node_start(&node);
	WAIT_FOR(all_seen(20), 20000);
	assert_int_equal(rd_kafka_mock_broker_set_down(mock, -1), 0);
	run_for(500);
	assert_int_equal(rd_kafka_mock_broker_set_up(mock, -1), 0);
	fill(20);
	WAIT_FOR(all_seen(40), 30000);
	assert_false(node.gaps);
	assert_int_equal(fatals, 0);
	node_stop(&node);
}

static void test_healthy(void **state)
{
	(void)state;
	struct node node = {.mode = DO};
	char why[128] = "";
	node_start(&node);
	assert_false(consumer_healthy(node.consumer, why));
	assert_non_null(strstr(why, "not a member"));
	WAIT_FOR(consumer_healthy(node.consumer, why), 20000);
	assert_int_equal(rd_kafka_mock_broker_set_down(mock, -1), 0);
	run_for(200);
	clock_ahead_us += 40000000;
	turn();
	assert_false(consumer_healthy(node.consumer, why));
	assert_non_null(strstr(why, "no Kafka broker"));
	assert_int_equal(rd_kafka_mock_broker_set_up(mock, -1), 0);
	WAIT_FOR(consumer_healthy(node.consumer, why), 30000); /* by the statistics: nothing is sent */
	node_stop(&node);
}

static void test_unknown_topic(void **state)
{
	(void)state;
	struct node node = {.mode = DO};
	rd_kafka_mock_topic_set_error(mock, EVENTS, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	node_start(&node);
	WAIT_FOR(fatals == 1, 20000);
	assert_int_equal(fatal_err.kind, ERR_FATAL);
	run_for(300);
	assert_int_equal(fatals, 1);
	node_stop(&node);
}

/* ---- dead letters ---- */

static int letters_done, letters_failed;

static void on_letter(void *arg, const struct err *err)
{
	(void)arg;
	letters_done++;
	letters_failed += err != NULL;
}

/* The one message of the dead-letter topic as text: key|value length|name=value|... */
static void read_letter(char *out, size_t size, int want)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
	rd_kafka_message_t *message = NULL;
	char text[256];
	(void)rd_kafka_conf_set(conf, "bootstrap.servers", kafka.bootstrap_servers, text, sizeof(text));
	(void)rd_kafka_conf_set(conf, "group.id", "reader", text, sizeof(text));
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	for (int p = 0; p < PARTITIONS; p++)
		rd_kafka_topic_partition_list_add(list, LETTERS, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
	assert_int_equal(rd_kafka_assign(client, list), 0);
	for (int i = 0; i < want; i++) {
		if (message)
			rd_kafka_message_destroy(message);
		message = rd_kafka_consumer_poll(client, 10000);
		assert_non_null(message);
		assert_int_equal(message->err, 0);
	}
	rd_kafka_headers_t *headers = NULL;
	const char *name;
	const void *value;
	size_t len;
	int n = snprintf(out, size, "%.*s|%zd", (int)message->key_len, (const char *)message->key,
	                 message->payload ? (ssize_t)message->len : -1);
	(void)rd_kafka_message_headers(message, &headers);
	for (size_t i = 0; headers && !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
		n += snprintf(out + n, size - (size_t)n, "|%s=%.*s%s", name, len < 64 ? (int)len : 64,
		              value ? (const char *)value : "", value ? "" : "(null)");
	rd_kafka_message_destroy(message);
	rd_kafka_topic_partition_list_destroy(list);
	(void)rd_kafka_consumer_close(client);
	rd_kafka_destroy(client);
}

static void send_odd(size_t value_len, size_t header_len)
{
	char *value = calloc(1, value_len + 1), *text = calloc(1, header_len + 1);
	assert_true(value && text);
	memset(value, 'v', value_len);
	memset(text, 'h', header_len);
	struct event_field fields[] = {
	    {"ce_id", "7", 1}, {"empty", "", 0}, {"none", NULL, 0}, {"long", text, header_len}};
	struct event_message message = {.key = "k",
	                                .key_len = 1,
	                                .value = value,
	                                .value_len = value_len,
	                                .fields = fields,
	                                .field_count = N_OF(fields)};
	struct err err = {0};
	assert_int_equal(send_message(EVENTS, &message, &err), 0);
	free(value);
	free(text);
}

static void bury(struct node *node, struct producer *by)
{
	struct err err = {0};
	WAIT_FOR(node->items, 20000);
	assert_int_equal(node->count, 1);
	assert_string_equal(node->items[0].reject_code, "missing_attribute");
	int before_count = letters_done;
	assert_int_equal(
	    consumer_dead_letter(node->consumer, by, &node->items[0], on_letter, NULL, &err), 0);
	assert_int_equal(letters_done, before_count);
	WAIT_FOR(letters_done == before_count + 1, 10000);
	assert_int_equal(letters_failed, 0);
	node->items = NULL;
	consumer_done(node->consumer);
}

static void test_dead_letter(void **state)
{
	(void)state;
	struct node node = {.mode = KEEP};
	char text[2048], want[512], *time;
	letters_done = letters_failed = 0;
	start_producer();
	send_odd(10, 5);
	node_start(&node);
	WAIT_FOR(node.items, 20000);
	(void)snprintf(want, sizeof(want),
	               "k|10|ce_id=7|empty=|none=(null)|long=hhhhh|sandsweep_reason=missing_attribute"
	               "|sandsweep_reason_text=the attribute specversion is missing"
	               "|sandsweep_topic=" EVENTS
	               "|sandsweep_partition=%d|sandsweep_offset=0|sandsweep_time=",
	               (int)node.items[0].partition);
	bury(&node, producer);
	read_letter(text, sizeof(text), 1);
	time = strstr(text, "sandsweep_time=") + strlen("sandsweep_time=");
	int64_t time_us;
	assert_int_equal(clock_parse_rfc3339(time, strlen(time), &time_us), 0);
	*time = '\0';
	assert_string_equal(text, want);
	assert_true(value_of("sandsweep_dead_letters_total") == 1);
	assert_true(value_of("sandsweep_events_rejected_total{reason=\"missing_attribute\"}") == 1);
	node_stop(&node);
}

/* Through a producer that takes 1500 bytes: first the value goes, then the foreign headers too. */
static void test_dead_letter_too_large(void **state)
{
	(void)state;
	struct node node = {.mode = KEEP};
	struct producer_opts opts = {on_fatal, NULL};
	struct err err = {0};
	char text[4096];
	letters_done = letters_failed = 0;
	start_producer();
	CONFIGURE(QUICK_GROUP, "message.max.bytes=1500");
	struct producer *narrow = producer_new(loop, &kafka, &opts, &err);
	assert_non_null(narrow);
	CONFIGURE(QUICK_GROUP, "batch_max=1");
	node_start(&node);
	send_odd(3000, 5);
	bury(&node, narrow);
	read_letter(text, sizeof(text), 1);
	assert_non_null(strstr(text, "k|-1|ce_id=7"));
	assert_non_null(strstr(text, "|sandsweep_truncated=3000"));
	send_odd(3000, 4000);
	bury(&node, narrow);
	read_letter(text, sizeof(text), 2);
	bool bare = strncmp(text, "|-1|sandsweep_reason=missing_attribute", 38) == 0;
	if (!bare) /* partitions are read in any order */
		assert_non_null(strstr(text, "k|-1|ce_id=7"));
	assert_true(value_of("sandsweep_dead_letters_total") == 2);
	node_stop(&node);
	producer_free(narrow, 5000);
}

/* ---- the group ---- */

/* How many of the messages from..to-1 of each partition were done exactly once. */
static int seen_once(int from, int to)
{
	int n = 0;
	for (int p = 0; p < PARTITIONS; p++)
		for (int i = from; i < to; i++)
			n += seen[p][i] == 1;
	return n;
}

/* A second member comes, goes and comes again while the first one's batch is out. */
static void test_rebalance(void **state)
{
	(void)state;
	struct node a = {.mode = KEEP}, b = {.mode = DO};
	fill(50);
	node_start(&a);
	WAIT_FOR(a.items, 20000);
	node_start(&b); /* it is given half of the partitions, although nothing is committed */
	WAIT_FOR(b.handed == 2 * 50, 30000);
	finish(&a, a.items, a.count); /* commits only what is still a's */
	a.mode = DO;
	WAIT_FOR(all_seen(50), 20000);
	WAIT_FOR(committed() == messages(50), 10000);

	a.mode = KEEP;
	fill(10);
	WAIT_FOR(a.items && b.handed == 2 * 60, 20000);
	node_stop(&b);
	fill(10);
	run_for(4000); /* a is given all partitions while it holds, and takes nothing of them yet */
	int batches = a.batches;
	a.mode = DO;
	finish(&a, a.items, a.count);
	WAIT_FOR(all_seen(70), 20000);
	assert_true(a.batches > batches);
	assert_int_equal(seen_once(50, 70), PARTITIONS * 20);

	a.mode = RETRY;
	a.retry_ms = 200;
	fill(10);
	batches = a.batches;
	WAIT_FOR(a.batches > batches, 20000);
	b.handed = 0;
	node_start(&b);
	WAIT_FOR(b.handed >= 2 * 10, 30000);
	a.mode = KEEP;
	WAIT_FOR(a.items, 20000);
	for (int i = 0; i < a.count; i++)
		assert_int_equal(b.next[a.items[i].partition], -1); /* what was lost is left out */
	a.mode = DO;
	finish(&a, a.items, a.count);
	WAIT_FOR(all_seen(80), 20000);
	assert_int_equal(seen_once(70, 80), PARTITIONS * 10);
	WAIT_FOR(committed() == messages(80), 10000);
	assert_true(value_of("sandsweep_offset_commit_failures_total") == 0);
	node_stop(&a);
	node_stop(&b);
}

/* A group of the mock cluster needs 3 s to form, and a test of it mostly waits: so the tests run in
 * several processes at once. */
static int run_beside(const struct CMUnitTest *tests, size_t count)
{
	enum { PROCESSES = 9 };
	int failed = 0, status;
	for (size_t p = 0; p < PROCESSES; p++) {
		struct CMUnitTest share[32];
		size_t n = 0;
		for (size_t i = p; i < count; i += PROCESSES)
			share[n++] = tests[i];
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			exit(_cmocka_run_group_tests("queue", share, n, NULL, NULL) != 0);
	}
	while (wait(&status) > 0)
		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return failed;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_rebalance), /* the long ones first */
	    TEST(test_healthy),
	    TEST(test_slow_batch),
	    TEST(test_consume_and_restart),
	    TEST(test_not_done_is_read_again),
	    TEST(test_properties),
	    TEST(test_properties_together),
	    cmocka_unit_test(test_error_kinds),
	    TEST(test_topics),
	    TEST(test_topic_missing),
	    TEST(test_topics_without_broker),
	    TEST(test_produce),
	    TEST(test_produce_too_large),
	    TEST(test_produce_retried),
	    TEST(test_produce_forbidden),
	    TEST(test_produce_without_broker),
	    TEST(test_producer_freed_early),
	    TEST(test_retry),
	    TEST(test_idle_then_one),
	    TEST(test_lag),
	    TEST(test_commit_fails),
	    TEST(test_broker_restart),
	    TEST(test_unknown_topic),
	    TEST(test_dead_letter),
	    TEST(test_dead_letter_too_large),
	};
	return run_beside(tests, N_OF(tests));
}
