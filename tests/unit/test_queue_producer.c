/* What becomes of a message that is sent, whatever the broker says to it. */
#include "queue_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_produce),
	    TEST(test_produce_too_large),
	    TEST(test_produce_retried),
	    TEST(test_produce_forbidden),
	    TEST(test_produce_without_broker),
	    TEST(test_producer_freed_early),
	};
	return run_beside(tests, N_OF(tests));
}
