/* Properties, kinds of errors, and topics. */
#include "queue_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_properties), TEST(test_properties_together), cmocka_unit_test(test_error_kinds),
	    TEST(test_topics),     TEST(test_topic_missing),       TEST(test_topics_without_broker),
	};
	return run_beside(tests, N_OF(tests));
}
