/* What the relay does about rows that are not delivered or never will be, and about an outbox or a
 * producer that refuses it. */
#include "relay_fixture.h"
#include "series.h"

/* So often, and each time so much later, with all the answers and deliveries of that moment. */
static void run_often(int times, int64_t us)
{
	for (int i = 0; i < times; i++) {
		pass(us);
		run(true);
	}
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
	run_often(20, 100000);
	assert_int_equal(row_count, 0);
	assert_int_equal(times_sent[1], 2);
	assert_int_equal(times_sent[2] + times_sent[3], 2);
	assert_true(series_value(metrics, "sandsweep_outbox_publish_failures_total") == 1);
	assert_true(series_value(metrics, "sandsweep_outbox_published_total") == 3);
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
	assert_true(series_value(metrics, "sandsweep_outbox_refused") == 1);
	run_often(50, poll_us);
	assert_int_equal(times_sent[2], 1);
	insert(6);
	relay_wake(relay);
	run(true);
	assert_int_equal(times_sent[6], 1);
	run_often(11, poll_us);
	assert_int_equal(times_sent[2], 2); /* after a minute */
	poison_id = 0;
	run_often(121, poll_us);
	assert_int_equal(row_count, 0);
	assert_int_equal(times_sent[2], 3);
	assert_true(series_value(metrics, "sandsweep_outbox_refused") == 0);
}

static void test_refused_row_deleted_by_hand(void **state)
{
	(void)state;
	insert_range(1, 3);
	poison_id = 2;
	start();
	run(true);
	assert_true(series_value(metrics, "sandsweep_outbox_refused") == 1);
	erase(2);
	pass(poll_us);
	run(true);
	assert_true(series_value(metrics, "sandsweep_outbox_refused") == 0);
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
	assert_true(series_value(metrics, "sandsweep_outbox_refused") == 256);
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
	run_often(110, 100000);
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
	run_often(50, 100000);
	assert_int_equal(sent_total, 3); /* what is confirmed is not published again */
	delete_fails = false;
	run_often(110, 100000);
	assert_int_equal(row_count, 0);
	assert_int_equal(sent_total, 3);
	assert_true(relay_idle(relay));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_failed_delivery),   TEST(test_backoff),
	    TEST(test_refused_row),       TEST(test_refused_row_deleted_by_hand),
	    TEST(test_many_refused_rows), TEST(test_fetch_fails),
	    TEST(test_delete_fails),      TEST(test_producer_queue_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
