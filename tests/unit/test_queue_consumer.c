/* Batches, offsets, and the group: each message is done once, and none is left out. */
#include "queue_fixture.h"
#include "series.h"

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
	assert_true(series_value(metrics, "sandsweep_offset_commits_total") > 0);
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
	WAIT_FOR(series_value(metrics, "sandsweep_offset_commit_failures_total") == 2, 10000);
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
	assert_true(series_value(metrics, "sandsweep_offset_commit_failures_total") == 0);
	node_stop(&a);
	node_stop(&b);
}

static bool asked_for_its_share(void)
{
	size_t left = 1;
	assert_int_equal(rd_kafka_mock_broker_error_stack_cnt(mock, 1, KAFKA_SYNC_GROUP, &left), 0);
	return left == 0;
}

/* A member that has joined and is not told yet what it has; librdkafka's own end of it would abort. */
static void test_stopped_while_joining(void **state)
{
	(void)state;
	struct node node = {.mode = DO};
	fill(1);
	assert_int_equal(rd_kafka_mock_broker_push_request_error_rtts(mock, 1, KAFKA_SYNC_GROUP, 1,
	                                                              RD_KAFKA_RESP_ERR_NO_ERROR, 3000),
	                 0);
	node_start(&node);
	WAIT_FOR(asked_for_its_share(), 20000);
	node_stop(&node);
	node_start(&node);
	WAIT_FOR(all_seen(1), 20000);
	node_stop(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_consume_and_restart),
	    TEST(test_not_done_is_read_again),
	    TEST(test_retry),
	    TEST(test_slow_batch),
	    TEST(test_idle_then_one),
	    TEST(test_lag),
	    TEST(test_commit_fails),
	    TEST(test_broker_restart),
	    TEST(test_healthy),
	    TEST(test_unknown_topic),
	    TEST(test_rebalance),
	    TEST(test_stopped_while_joining),
	};
	return run_beside(tests, N_OF(tests));
}
