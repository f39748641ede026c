#include "client.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

struct property {
	const char *name, *value;
};

/* Where no other value is configured. The sizes keep a process with a backlog of any length within
 * some 20 MB: a fetch brings at most 2 MiB, the queue holds 4 MiB or 10000 messages. */
static const struct property common_defaults[] = {
    {"client.id", "sandsweep"},
    {"socket.keepalive.enable", "true"},
};
static const struct property producer_defaults[] = {
    {"linger.ms", "5"},
    {"queue.buffering.max.kbytes", "8192"},
    {"queue.buffering.max.messages", "20000"},
};
static const struct property consumer_defaults[] = {
    {"queued.max.messages.kbytes", "4096"},    {"queued.min.messages", "10000"},
    {"fetch.message.max.bytes", "1048576"},    {"fetch.max.bytes", "2097152"},
    {"receive.message.max.bytes", "33554432"}, /* also what one compressed batch may grow to */
};

/* Correctness rests on these, so they are set last and may not be configured. */
static const struct property common_fixed[] = {
    {"statistics.interval.ms", "5000"},
    {"log.queue", "true"},
};
static const struct property producer_fixed[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
};
static const struct property consumer_fixed[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"enable.partition.eof", "true"},
    {"auto.offset.reset", "earliest"},
    {"partition.assignment.strategy", "cooperative-sticky"},
};

/* What may not be configured, and what to do instead. */
static const struct {
	const char *name, *why;
} forbidden[] = {
    {"bootstrap.servers", "set kafka.bootstrap_servers"},
    {"metadata.broker.list", "set kafka.bootstrap_servers"},
    {"group.id", "set kafka.group_id"},
    {"enable.auto.commit", "offsets are committed only after the batch is durable"},
    {"auto.commit.enable", "offsets are committed only after the batch is durable"},
    {"enable.auto.offset.store", "offsets are committed only after the batch is durable"},
    {"offset.store.method", "offsets are kept by the broker"},
    {"enable.partition.eof", "the lag is computed from it"},
    {"auto.offset.reset", "a new group reads from the beginning, so that no event is skipped"},
    {"partition.assignment.strategy", "rebalancing is cooperative"},
    {"enable.idempotence", "events are published by an idempotent producer"},
    {"acks", "events are published with acks=all"},
    {"request.required.acks", "events are published with acks=all"},
    {"transactional.id", "events are published without transactions"},
    {"queuing.strategy", "events are published in their order"},
    {"delivery.report.only.error", "an outbox row goes only when its delivery is reported"},
    {"enabled_events", "the program chooses its events"},
    {"statistics.interval.ms", "the watchdog reads them"},
    {"log.queue", "logs are taken over by the program"},
};

/* ---- configuration ---- */

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
	char text[400];
	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
		return 0;
	return err_set(err, ERR_FATAL, "kafka_property", "kafka.%s: %s", name, text);
}

static int set_all(rd_kafka_conf_t *conf, const struct property *properties, size_t count,
                   struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (set(conf, properties[i].name, properties[i].value, err) < 0)
			return -1;
	return 0;
}

/* config_each() has no way to stop: after the first error the rest is passed over. */
struct open_keys {
	rd_kafka_conf_t *conf;
	struct err err;
};

static void set_open_key(void *arg, const char *key, const char *value)
{
	struct open_keys *keys = arg;
	if (keys->err.kind != ERR_NONE)
		return;
	for (size_t i = 0; i < N_OF(forbidden); i++)
		if (strcmp(forbidden[i].name, key) == 0) {
			(void)err_set(&keys->err, ERR_REJECT, "config", "kafka.%s may not be set: %s", key,
			              forbidden[i].why);
			return;
		}
	(void)set(keys->conf, key, value, &keys->err);
}

static int set_defaults(rd_kafka_conf_t *conf, enum client_kind kind, struct err *err)
{
	if (set_all(conf, common_defaults, N_OF(common_defaults), err) < 0)
		return -1;
	if (kind == CLIENT_PRODUCER)
		return set_all(conf, producer_defaults, N_OF(producer_defaults), err);
	if (kind == CLIENT_CONSUMER)
		return set_all(conf, consumer_defaults, N_OF(consumer_defaults), err);
	return 0;
}

static int set_fixed(rd_kafka_conf_t *conf, const struct kafka_config *config,
                     enum client_kind kind, struct err *err)
{
	if (set(conf, "bootstrap.servers", config->bootstrap_servers, err) < 0 ||
	    set_all(conf, common_fixed, N_OF(common_fixed), err) < 0)
		return -1;
	if (kind == CLIENT_PRODUCER)
		return set_all(conf, producer_fixed, N_OF(producer_fixed), err);
	if (kind == CLIENT_CONSUMER)
		return set(conf, "group.id", config->group_id, err) < 0
		           ? -1
		           : set_all(conf, consumer_fixed, N_OF(consumer_fixed), err);
	return 0;
}

static int fill(rd_kafka_conf_t *conf, const struct kafka_config *config, enum client_kind kind,
                struct err *err)
{
	struct open_keys keys = {.conf = conf};
	if (set_defaults(conf, kind, err) < 0)
		return -1;
	if (config->config)
		config_each(config->config, kafka_section.name, set_open_key, &keys);
	if (keys.err.kind != ERR_NONE)
		return err_set(err, keys.err.kind, keys.err.code, "%s", keys.err.text);
	return set_fixed(conf, config, kind, err);
}

rd_kafka_conf_t *client_conf(const struct kafka_config *config, enum client_kind kind,
                             struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (fill(conf, config, kind, err) == 0)
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

rd_kafka_t *client_new(enum client_kind kind, rd_kafka_conf_t *conf, struct err *err)
{
	char text[400];
	rd_kafka_type_t type = kind == CLIENT_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER;
	rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof(text));
	if (client) {
		(void)rd_kafka_set_log_queue(client, NULL);
		return client;
	}
	rd_kafka_conf_destroy(conf);
	(void)err_set(err, ERR_FATAL, "kafka_property", "Kafka client: %s", text);
	return NULL;
}

/* ---- the end ---- */

static void *destroy(void *arg)
{
	rd_kafka_destroy_flags(arg, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	return NULL;
}

/* rd_kafka_destroy() has no deadline of its own, so it runs where it may be left behind. */
bool client_destroy(rd_kafka_t *client, int64_t wait_ms)
{
	pthread_t thread;
	struct timespec until;
	if (!client)
		return true;
	if (pthread_create(&thread, NULL, destroy, client) != 0)
		return false; /* the process is out of threads and about to end */
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(wait_ms / 1000);
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0)
		return true;
	(void)pthread_detach(thread);
	return false;
}

/* ---- calls that block ---- */

static int64_t now_ms(void)
{
	const struct clock *clock = clock_system();
	return clock->mono_us(clock->arg) / 1000;
}

int64_t client_deadline_ms(int64_t timeout_ms)
{
	return now_ms() + timeout_ms;
}

int client_left_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - now_ms();
	return left > 1 ? (int)left : 1;
}

int client_topics(rd_kafka_t *client, const char *const *names, int *ret, int count,
                  int64_t deadline_ms, struct err *err)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code =
	    rd_kafka_metadata(client, 1, NULL, &metadata, client_left_ms(deadline_ms));
	if (code)
		return kafka_err(err, code, "cannot list the topics");
	for (int t = 0; t < count; t++) {
		ret[t] = 0;
		for (int i = 0; i < metadata->topic_cnt; i++)
			if (strcmp(metadata->topics[i].topic, names[t]) == 0 && !metadata->topics[i].err)
				ret[t] = metadata->topics[i].partition_cnt;
	}
	rd_kafka_metadata_destroy(metadata);
	return 0;
}

int client_no_topic(const char *name, struct err *err)
{
	return err_set(err, ERR_FATAL, "UNKNOWN_TOPIC",
	               "the topic %s is not there, or may not be seen; run `sandsweep topics create`",
	               name);
}

/* ---- what librdkafka has to say ---- */

void client_log(int syslog_level, const char *facility, const char *text)
{
	enum log_level level = syslog_level <= 3   ? LOG_L_ERROR
	                       : syslog_level == 4 ? LOG_L_WARN
	                       : syslog_level <= 6 ? LOG_L_INFO
	                                           : LOG_L_DEBUG;
	/* One section configures producer and consumer: each would complain about the other's half. */
	if (strcmp(facility, "CONFWARN") == 0 && strstr(text, "will be ignored by this"))
		return;
	log_event(level, "kafka.log", "facility", facility, "text", text, NULL);
}

/* Of a failed connection its log has told already; that none is left is said only here. */
void client_log_error(int code, const char *text)
{
	log_event(code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ? LOG_L_WARN : LOG_L_DEBUG, "kafka.error",
	          "code", rd_kafka_err2name((rd_kafka_resp_err_t)code), "text", text, NULL);
}

/* The number behind the next `key` at or after *at, or -1 at the end. */
static int64_t next_number(const char **at, const char *end, const char *key)
{
	int64_t number;
	const char *found = memmem(*at, (size_t)(end - *at), key, strlen(key));
	if (!found) {
		*at = end;
		return -1;
	}
	found += strlen(key);
	size_t len = 0;
	while (found + len < end && strchr("-0123456789", found[len]))
		len++;
	*at = found + len;
	return num_i64(found, len, 0, INT64_MAX, &number) == 0 ? number : -1;
}

/* The report has an object for every partition, and a text that librdkafka does not escape
 * (rebalance_reason): it is not parsed, but searched for a key that stands nowhere else. */
int64_t client_heard_us(const char *report, size_t len)
{
	const char *at = report, *end = report + len;
	int64_t heard_us = -1;
	while (at < end) {
		int64_t idle_us = next_number(&at, end, "\"rxidle\":");
		if (idle_us >= 0 && (heard_us < 0 || idle_us < heard_us))
			heard_us = idle_us;
	}
	return heard_us;
}

void client_fatal(rd_kafka_t *client, int code, const char *text, struct err *err)
{
	char fatal_text[400];
	rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(client, fatal_text, sizeof(fatal_text));
	if (fatal)
		(void)err_set(err, ERR_FATAL, rd_kafka_err2name(fatal), "Kafka: %s", fatal_text);
	else
		(void)err_set(err, ERR_FATAL, rd_kafka_err2name((rd_kafka_resp_err_t)code), "Kafka: %s",
		              text);
}

/* ---- a queue on the loop ---- */

static void on_readable(void *arg, uint32_t events)
{
	struct client_wake *wake = arg;
	uint64_t count;
	(void)events;
	/* Emptied before the queue is read: an event that arrives meanwhile rings anew. */
	ssize_t got = read(wake->fd, &count, sizeof(count));
	(void)got;
	wake->fn(wake->arg);
}

int client_wake_init(struct client_wake *wake, struct loop *loop, rd_kafka_queue_t *queue,
                     void (*fn)(void *arg), void *arg, struct err *err)
{
	static const uint64_t one = 1;
	*wake = (struct client_wake){.queue = queue, .fn = fn, .arg = arg};
	wake->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake->fd < 0)
		return err_errno(err, ERR_FATAL, errno, "cannot create an event descriptor");
	if (loop_io_add(loop, &wake->io, wake->fd, EPOLLIN, on_readable, wake, err) < 0) {
		(void)close(wake->fd);
		wake->fd = -1;
		return -1;
	}
	rd_kafka_queue_io_event_enable(queue, wake->fd, &one, sizeof(one));
	client_wake_again(wake); /* for what is there already */
	return 0;
}

void client_wake_again(struct client_wake *wake)
{
	(void)eventfd_write(wake->fd, 1);
}

void client_wake_done(struct client_wake *wake, struct loop *loop)
{
	if (wake->fd < 0)
		return;
	rd_kafka_queue_io_event_enable(wake->queue, -1, NULL, 0);
	loop_io_del(loop, &wake->io);
	(void)close(wake->fd);
	wake->fd = -1;
}
