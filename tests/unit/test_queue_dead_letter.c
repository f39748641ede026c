/* The dead letter that is made of a message, and what it leaves out when it is too large. */
#include "queue_fixture.h"
#include "series.h"

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
	assert_true(series_value(metrics, "sandsweep_dead_letters_total") == 1);
	assert_true(series_value(metrics,
	                         "sandsweep_events_rejected_total{reason=\"missing_attribute\"}") == 1);
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
	assert_true(series_value(metrics, "sandsweep_dead_letters_total") == 2);
	node_stop(&node);
	producer_free(narrow, 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_dead_letter),
	    TEST(test_dead_letter_too_large),
	};
	return run_beside(tests, N_OF(tests));
}
