/* What the relay sends while all goes well: everything, in order, each row once and within its bound;
 * and what it leaves alone while it is not in office. */
#include "relay_fixture.h"
#include "series.h"

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
	assert_true(series_value(metrics, "sandsweep_outbox_published_total") == 2500);
	assert_true(series_value(metrics, "sandsweep_outbox_in_flight") == 0);
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
	assert_true(series_value(metrics, "sandsweep_outbox_in_flight") == 6);
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
	assert_true((int)series_value(metrics, "sandsweep_outbox_in_flight") == out_count);
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

int main(void)
{
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
	    TEST(test_office_lost_in_flight),
	    TEST(test_office_lost_while_fetching),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
