/* What the Kafka clients of this folder share and nobody else sees: librdkafka's configuration from
 * ours, its logs, its queues on our loop, and an end that does not take for ever. */
#ifndef QUEUE_CLIENT_H
#define QUEUE_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "kafka.h"

enum client_kind { CLIENT_ADMIN, CLIENT_PRODUCER, CLIENT_CONSUMER };

/* Our defaults, then the section's open keys, then what correctness rests on. NULL and *err:
 * ERR_FATAL with librdkafka's own text, ERR_REJECT for a property that may not be set. The caller
 * owns the result until client_new(). */
rd_kafka_conf_t *client_conf(const struct kafka_config *config, enum client_kind kind,
                             struct err *err) MUST_CHECK;
/* Takes `conf` in any case. Logs come as events or callbacks on the main queue. */
rd_kafka_t *client_new(enum client_kind kind, rd_kafka_conf_t *conf, struct err *err) MUST_CHECK;
/* Destroys the client, and waits at most wait_ms for librdkafka's threads to end; after that they
 * are left to themselves, and false is returned. Every message, list and queue of it must be gone
 * before. */
bool client_destroy(rd_kafka_t *client, int64_t wait_ms);

/* For calls that block: a moment of the monotonic clock, and what is left until then, at least 1 ms, so
 * that librdkafka answers with its own error. */
int64_t client_deadline_ms(int64_t timeout_ms);
int client_left_ms(int64_t deadline_ms);

/* How many partitions each of the topics has, into ret; 0: it is not there, or may not be seen. They are
 * looked up in the list of all topics: asking for one by its name may create it. Blocks. */
int client_topics(rd_kafka_t *client, const char *const *names, int *ret, int count,
                  int64_t deadline_ms, struct err *err) MUST_CHECK;
/* -1, and *err says so: ERR_FATAL. */
int client_no_topic(const char *name, struct err *err);

/* One line of librdkafka's log, into ours. */
void client_log(int syslog_level, const char *facility, const char *text);
/* An error that librdkafka deals with itself. */
void client_log_error(int code, const char *text);

/* What a statistics report says about being alive: microseconds since the last answer of any
 * broker, or -1 when none is connected. */
int64_t client_heard_us(const char *report, size_t len);

/* librdkafka's own fatal error if there is one, otherwise `code` and `text`, into *err. */
void client_fatal(rd_kafka_t *client, int code, const char *text, struct err *err);

/* A librdkafka queue as a source on our loop. librdkafka tells only of the first event on an empty
 * queue: fn must read until the queue is empty, or ask again. */
struct client_wake {
	int fd; /* an eventfd; -1: none */
	struct loop_io io;
	rd_kafka_queue_t *queue; /* borrowed */
	void (*fn)(void *arg);
	void *arg;
};
int client_wake_init(struct client_wake *wake, struct loop *loop, rd_kafka_queue_t *queue,
                     void (*fn)(void *arg), void *arg, struct err *err) MUST_CHECK;
/* Calls fn again in the next round. */
void client_wake_again(struct client_wake *wake);
/* Before the queue is destroyed. Safe on one that was never initialised but has fd -1. */
void client_wake_done(struct client_wake *wake, struct loop *loop);

#endif
