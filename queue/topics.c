#include "kafka.h"

#include <string.h>
#include <time.h>

#include "client.h"

/* Creating and checking topics: a client of its own, a few calls that block, and its end. */

enum { TOPIC_COUNT = 3, DESTROY_WAIT_MS = 2000, SETTLE_MS = 100, ERROR_TEXT = 256 };

struct work {
	const struct kafka_config *config;
	rd_kafka_t *client;
	int64_t deadline_ms;
	const char *topics[TOPIC_COUNT];
	int found[TOPIC_COUNT]; /* partitions; 0: the topic is not there */
};

static int left_ms(const struct work *work)
{
	return client_left_ms(work->deadline_ms);
}

static int begin(struct work *work, const struct kafka_config *config, int64_t timeout_ms,
                 struct err *err)
{
	*work = (struct work){
	    .config = config,
	    .deadline_ms = client_deadline_ms(timeout_ms),
	    .topics = {config->events_topic, config->results_topic, config->dead_letter_topic},
	};
	rd_kafka_conf_t *conf = client_conf(config, CLIENT_ADMIN, err);
	work->client = conf ? client_new(CLIENT_ADMIN, conf, err) : NULL;
	return work->client ? 0 : -1;
}

static void end(struct work *work)
{
	(void)client_destroy(work->client, DESTROY_WAIT_MS);
}

/* ---- which are there ---- */

static int look(struct work *work, struct err *err)
{
	return client_topics(work->client, work->topics, work->found, TOPIC_COUNT, work->deadline_ms,
	                     err);
}

static int first_missing(const struct work *work)
{
	for (int t = 0; t < TOPIC_COUNT; t++)
		if (work->found[t] == 0)
			return t;
	return -1;
}

int kafka_topics_check(const struct kafka_config *config, int64_t timeout_ms, struct err *err)
{
	struct work work;
	int rc = begin(&work, config, timeout_ms, err);
	if (rc == 0)
		rc = look(&work, err);
	int missing = rc == 0 ? first_missing(&work) : -1;
	if (missing >= 0)
		rc = client_no_topic(work.topics[missing], err);
	end(&work);
	return rc;
}

/* ---- making them ---- */

static int check_partitions(const struct work *work, struct err *err)
{
	for (int t = 0; t < TOPIC_COUNT; t++)
		if (work->found[t] != 0 && work->found[t] < work->config->partitions)
			return err_set(err, ERR_REJECT, "partitions",
			               "the topic %s has %d partitions and kafka.partitions is %lld; add some "
			               "with Kafka's own tools, or configure fewer",
			               work->topics[t], work->found[t], (long long)work->config->partitions);
	return 0;
}

static int read_result(rd_kafka_event_t *event, struct err *err)
{
	size_t count = 0;
	if (!event)
		return kafka_err(err, RD_KAFKA_RESP_ERR__TIMED_OUT, "cannot create the topics");
	if (rd_kafka_event_error(event))
		return kafka_err(err, rd_kafka_event_error(event), "cannot create the topics");
	const rd_kafka_topic_result_t **results =
	    rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
	for (size_t i = 0; i < count; i++) {
		rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
		char what[ERROR_TEXT];
		const char *why = rd_kafka_topic_result_error_string(results[i]);
		(void)snprintf(what, sizeof(what), "cannot create the topic %s (%s)",
		               rd_kafka_topic_result_name(results[i]), why ? why : "no reason given");
		/* somebody else was faster */
		if (code && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
			return kafka_err(err, code, what);
	}
	return 0;
}

static int request(const struct work *work, rd_kafka_NewTopic_t **topics, size_t count,
                   struct err *err)
{
	char text[ERROR_TEXT];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(work->client);
	rd_kafka_AdminOptions_t *options =
	    rd_kafka_AdminOptions_new(work->client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	(void)rd_kafka_AdminOptions_set_request_timeout(options, left_ms(work), text, sizeof(text));
	(void)rd_kafka_AdminOptions_set_operation_timeout(options, left_ms(work), text, sizeof(text));
	rd_kafka_CreateTopics(work->client, topics, count, options, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, left_ms(work) + 1000);
	int rc = read_result(event, err);
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(queue);
	return rc;
}

static int create_missing(const struct work *work, struct err *err)
{
	rd_kafka_NewTopic_t *topics[TOPIC_COUNT];
	char text[ERROR_TEXT] = "";
	size_t count = 0;
	for (int t = 0; t < TOPIC_COUNT; t++) {
		if (work->found[t] != 0)
			continue;
		topics[count] =
		    rd_kafka_NewTopic_new(work->topics[t], (int)work->config->partitions,
		                          (int)work->config->replication_factor, text, sizeof(text));
		if (!topics[count])
			break;
		count++;
	}
	int rc = *text ? err_set(err, ERR_REJECT, "config", "cannot create the topics: %s", text) : 0;
	if (rc == 0 && count > 0)
		rc = request(work, topics, count, err);
	rd_kafka_NewTopic_destroy_array(topics, count);
	return rc;
}

/* Brokers learn of a new topic one after the other; whoever starts next should find it. */
static int settle(struct work *work, struct err *err)
{
	static const struct timespec pause = {.tv_nsec = SETTLE_MS * 1000000L};
	for (;;) {
		if (look(work, err) < 0)
			return -1;
		int missing = first_missing(work);
		if (missing < 0)
			return 0;
		if (left_ms(work) <= 1)
			return err_set(err, ERR_RETRY, "TIMED_OUT",
			               "the topic %s was created and is not listed yet", work->topics[missing]);
		(void)nanosleep(&pause, NULL);
	}
}

static int create(struct work *work,
                  void (*report)(void *arg, const char *topic, const char *outcome), void *arg,
                  struct err *err)
{
	bool existed[TOPIC_COUNT];
	if (look(work, err) < 0 || check_partitions(work, err) < 0)
		return -1;
	for (int t = 0; t < TOPIC_COUNT; t++)
		existed[t] = work->found[t] != 0;
	if (create_missing(work, err) < 0 || settle(work, err) < 0)
		return -1;
	for (int t = 0; t < TOPIC_COUNT; t++)
		report(arg, work->topics[t], existed[t] ? "exists" : "created");
	return 0;
}

int kafka_topics_create(const struct kafka_config *config, int64_t timeout_ms,
                        void (*report)(void *arg, const char *topic, const char *outcome),
                        void *arg, struct err *err)
{
	struct work work;
	int rc = begin(&work, config, timeout_ms, err);
	if (rc == 0)
		rc = create(&work, report, arg, err);
	end(&work);
	return rc;
}
