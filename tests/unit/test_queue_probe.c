/* What a look at the queue sees, against librdkafka's mock cluster. */
#include "queue/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/config.h"

#define EVENTS "test.events"
#define LETTERS "test.deadletters"

enum {
	PARTITIONS = 3,
	ENOUGH_MS = 30000,
	KAFKA_LIST_OFFSETS = 2, /* API keys of the protocol */
	KAFKA_OFFSET_FETCH = 9,
};

static rd_kafka_t *mock_client;
static rd_kafka_mock_cluster_t *mock;
static struct kafka_config kafka;

static rd_kafka_t *client(rd_kafka_type_t type, const char *group)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[256];
	(void)rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text));
	if (mock)
		(void)rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(mock),
		                        text, sizeof(text));
	if (group)
		(void)rd_kafka_conf_set(conf, "group.id", group, text, sizeof(text));
	rd_kafka_t *made = rd_kafka_new(type, conf, text, sizeof(text));
	if (!made)
		fail_msg("%s", text);
	return made;
}

static int setup(void **state)
{
	(void)state;
	mock_client = client(RD_KAFKA_PRODUCER, NULL);
	mock = rd_kafka_mock_cluster_new(mock_client, 1);
	(void)rd_kafka_mock_topic_create(mock, EVENTS, PARTITIONS, 1);
	(void)rd_kafka_mock_topic_create(mock, LETTERS, PARTITIONS, 1);
	kafka = (struct kafka_config){
	    .bootstrap_servers = rd_kafka_mock_cluster_bootstraps(mock),
	    .events_topic = EVENTS,
	    .dead_letter_topic = LETTERS,
	    .group_id = "test-group",
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rd_kafka_mock_cluster_destroy(mock);
	mock = NULL;
	rd_kafka_destroy(mock_client);
	return 0;
}

/* Puts `count` messages onto each partition. */
static void fill(const char *topic, int count)
{
	rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, NULL);
	char value[] = "x";
	for (int i = 0; i < PARTITIONS * count; i++)
		assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
		                                   RD_KAFKA_V_PARTITION(i % PARTITIONS),
		                                   RD_KAFKA_V_VALUE(value, 1), RD_KAFKA_V_END),
		                 0);
	assert_int_equal(rd_kafka_flush(producer, ENOUGH_MS), 0);
	rd_kafka_destroy(producer);
}

/* Commits these offsets for a group; -1: none for that partition. */
static void commit(const char *group, const int64_t offsets[PARTITIONS])
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
	for (int p = 0; p < PARTITIONS; p++)
		if (offsets[p] >= 0)
			rd_kafka_topic_partition_list_add(list, EVENTS, p)->offset = offsets[p];
	if (list->cnt > 0) {
		rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, group);
		assert_int_equal(rd_kafka_commit(consumer, list, 0), 0);
		rd_kafka_destroy(consumer);
	}
	rd_kafka_topic_partition_list_destroy(list);
}

static void expect(const char *name, int64_t lag, int64_t letters, const char *why)
{
	struct queue_probe got;
	queue_probe(&kafka, ENOUGH_MS, &got);
	if (got.lag != lag || got.dead_letters != letters || got.reachable == (why != NULL) ||
	    (why ? !strstr(got.why, why) : *got.why))
		fail_msg("%s: lag %lld, %lld letters, %s%s", name, (long long)got.lag,
		         (long long)got.dead_letters,
		         got.reachable ? "reachable" : "not reachable: ", got.why);
}

static void test_nothing_there(void **state)
{
	(void)state;
	expect("nothing", 0, 0, NULL);
}

/* Ten messages on each partition, and groups that have come so far with them. */
static void test_lag(void **state)
{
	(void)state;
	static const struct {
		const char *group;
		int64_t offsets[PARTITIONS], want;
	} cases[] = {
	    {"nothing-committed", {-1, -1, -1}, 30},
	    {"at-the-beginning", {0, 0, 0}, 30},
	    {"on-the-way", {1, 5, 10}, 14},
	    {"one-partition-only", {10, -1, -1}, 20},
	    {"all-read", {10, 10, 10}, 0},
	    {"read-on-a-topic-that-was-longer", {10, 11, 1000}, 20},
	};
	fill(EVENTS, 10);
	for (size_t i = 0; i < N_OF(cases); i++) {
		commit(cases[i].group, cases[i].offsets);
		kafka.group_id = cases[i].group;
		expect(cases[i].group, cases[i].want, 0, NULL);
		expect("again: a look changes nothing", cases[i].want, 0, NULL);
	}
}

static void test_dead_letters(void **state)
{
	(void)state;
	fill(LETTERS, 2);
	expect("letters", 0, PARTITIONS * 2, NULL);
	fill(EVENTS, 1);
	fill(LETTERS, 1);
	expect("both", PARTITIONS, PARTITIONS * 3, NULL);
}

/* Asked for twice: the first look must not create it. */
static void test_missing_topic(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		kafka.events_topic = "test.none";
		expect("no events topic", -1, -1, "the topic test.none is not there");
		kafka.events_topic = EVENTS;
		kafka.dead_letter_topic = "test.nothing";
		expect("no dead-letter topic", -1, -1, "the topic test.nothing is not there");
		kafka.dead_letter_topic = LETTERS;
	}
}

/* What was learnt before the refusal is kept. */
static void test_refused(void **state)
{
	(void)state;
	fill(LETTERS, 1);
	rd_kafka_mock_push_request_errors(mock, KAFKA_OFFSET_FETCH, 1,
	                                  RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
	expect("the group", -1, PARTITIONS, "cannot see what the group test-group has read: ");
	rd_kafka_mock_push_request_errors(mock, KAFKA_LIST_OFFSETS, 2,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	expect("a topic", -1, -1, "cannot see what is on the topic " LETTERS ": ");
	expect("no more", 0, PARTITIONS, NULL);
}

static void test_broker_away(void **state)
{
	(void)state;
	struct queue_probe got;
	assert_int_equal(rd_kafka_mock_broker_set_down(mock, -1), 0);
	queue_probe(&kafka, 200, &got);
	assert_false(got.reachable);
	assert_non_null(strstr(got.why, "cannot list the topics: "));
	assert_int_equal(got.lag, -1);
	assert_int_equal(got.dead_letters, -1);
	assert_int_equal(rd_kafka_mock_broker_set_up(mock, -1), 0);
	expect("back", 0, 0, NULL);
}

/* The properties of the section are used, and one that may not be set, or is none, is told of. */
static void test_properties(void **state)
{
	(void)state;
	static const struct config_section *const sections[] = {&kafka_section};
	static const struct {
		const char *setting, *why;
	} cases[] = {
	    {"kafka.client.id=probe", NULL},
	    {"kafka.enable.auto.commit=true", "kafka.enable.auto.commit may not be set"},
	    {"kafka.no.such.property=1", "no.such.property"},
	    {"kafka.max.poll.interval.ms=1000", "max.poll.interval.ms"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct err err = {0};
		struct config *config =
		    config_load(NULL, sections, N_OF(sections), &cases[i].setting, 1, &err);
		if (!config)
			fail_msg("%s", err.text);
		kafka.config = config;
		expect(cases[i].setting, cases[i].why ? -1 : 0, cases[i].why ? -1 : 0, cases[i].why);
		config_free(config);
		kafka.config = NULL;
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_nothing_there), TEST(test_lag),     TEST(test_dead_letters),
	    TEST(test_missing_topic), TEST(test_refused), TEST(test_broker_away),
	    TEST(test_properties),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
