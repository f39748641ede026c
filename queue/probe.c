#include "probe.h"

#include "client.h"

enum { EVENTS, LETTERS, TOPIC_COUNT, DESTROY_WAIT_MS = 2000 };

struct probe {
	const struct kafka_config *config;
	rd_kafka_t *client;
	int64_t deadline_ms;
	const char *topics[TOPIC_COUNT];
	int partitions[TOPIC_COUNT];
};

static int begin(struct probe *probe, const struct kafka_config *config, int64_t timeout_ms,
                 struct err *err)
{
	*probe = (struct probe){
	    .config = config,
	    .deadline_ms = client_deadline_ms(timeout_ms),
	    .topics = {[EVENTS] = config->events_topic, [LETTERS] = config->dead_letter_topic},
	};
	rd_kafka_conf_t *conf = client_conf(config, CLIENT_CONSUMER, err);
	probe->client = conf ? client_new(CLIENT_CONSUMER, conf, err) : NULL;
	return probe->client ? 0 : -1;
}

/* The first and the next offset of a partition: what lies between is there. */
struct range {
	int64_t low, high;
};

static int read_range(const struct probe *probe, int topic, int partition, struct range *ret,
                      struct err *err)
{
	char what[160];
	rd_kafka_resp_err_t code =
	    rd_kafka_query_watermark_offsets(probe->client, probe->topics[topic], partition, &ret->low,
	                                     &ret->high, client_left_ms(probe->deadline_ms));
	if (!code)
		return 0;
	(void)snprintf(what, sizeof(what), "cannot see what is on the topic %s", probe->topics[topic]);
	return kafka_err(err, code, what);
}

static int count_letters(const struct probe *probe, int64_t *ret, struct err *err)
{
	int64_t sum = 0;
	for (int i = 0; i < probe->partitions[LETTERS]; i++) {
		struct range range;
		if (read_range(probe, LETTERS, i, &range, err) < 0)
			return -1;
		sum += range.high - range.low;
	}
	*ret = sum;
	return 0;
}

static int ask_committed(const struct probe *probe, rd_kafka_topic_partition_list_t *list,
                         struct err *err)
{
	char what[160];
	rd_kafka_resp_err_t code =
	    rd_kafka_committed(probe->client, list, client_left_ms(probe->deadline_ms));
	for (int i = 0; !code && i < list->cnt; i++)
		code = list->elems[i].err;
	if (!code)
		return 0;
	(void)snprintf(what, sizeof(what), "cannot see what the group %s has read",
	               probe->config->group_id);
	return kafka_err(err, code, what);
}

/* Where the group goes on. What it has committed may be gone, or lie beyond the end of a topic that was
 * made anew: then it begins with what is there, as its workers are configured. */
static int64_t next_offset(const struct range *range, int64_t committed)
{
	return committed >= range->low && committed <= range->high ? committed : range->low;
}

static int sum_lag(const struct probe *probe, const rd_kafka_topic_partition_list_t *committed,
                   int64_t *ret, struct err *err)
{
	int64_t sum = 0;
	for (int i = 0; i < committed->cnt; i++) {
		const rd_kafka_topic_partition_t *elem = &committed->elems[i];
		struct range range;
		if (read_range(probe, EVENTS, elem->partition, &range, err) < 0)
			return -1;
		sum += range.high - next_offset(&range, elem->offset);
	}
	*ret = sum;
	return 0;
}

static int count_lag(const struct probe *probe, int64_t *ret, struct err *err)
{
	rd_kafka_topic_partition_list_t *list =
	    rd_kafka_topic_partition_list_new(probe->partitions[EVENTS]);
	for (int i = 0; i < probe->partitions[EVENTS]; i++)
		(void)rd_kafka_topic_partition_list_add(list, probe->topics[EVENTS], i);
	int rc = ask_committed(probe, list, err);
	if (rc == 0)
		rc = sum_lag(probe, list, ret, err);
	rd_kafka_topic_partition_list_destroy(list);
	return rc;
}

static int check_topics(const struct probe *probe, struct err *err)
{
	for (int t = 0; t < TOPIC_COUNT; t++)
		if (probe->partitions[t] == 0)
			return client_no_topic(probe->topics[t], err);
	return 0;
}

/* The lag comes last: its question waits for the group's coordinator, which a broker that has just begun
 * may not have yet. */
static int ask(struct probe *probe, struct queue_probe *ret, struct err *err)
{
	if (client_topics(probe->client, probe->topics, probe->partitions, TOPIC_COUNT,
	                  probe->deadline_ms, err) < 0 ||
	    check_topics(probe, err) < 0 || count_letters(probe, &ret->dead_letters, err) < 0)
		return -1;
	return count_lag(probe, &ret->lag, err);
}

void queue_probe(const struct kafka_config *config, int64_t timeout_ms, struct queue_probe *ret)
{
	struct probe probe;
	struct err err = {0};
	*ret = (struct queue_probe){.lag = -1, .dead_letters = -1};
	ret->reachable = begin(&probe, config, timeout_ms, &err) == 0 && ask(&probe, ret, &err) == 0;
	if (!ret->reachable)
		(void)snprintf(ret->why, sizeof(ret->why), "%.159s", err.text);
	(void)client_destroy(probe.client, DESTROY_WAIT_MS);
}
