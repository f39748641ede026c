/* What every Kafka client of ours shares: the configuration, how errors are read, topics. */
#ifndef QUEUE_KAFKA_H
#define QUEUE_KAFKA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "base/loop.h"

/* The [kafka] section. Every other key of the section is a librdkafka property, as it is. */
struct kafka_config {
	const char *bootstrap_servers; /* required */
	const char *events_topic, *results_topic, *dead_letter_topic;
	const char *group_id;
	int64_t batch_max;                      /* events per doom transaction, 1..5000 */
	int64_t partitions, replication_factor; /* for `topics create` */
	struct config *config; /* for the open keys; set by whoever reads the section */
};
extern const struct config_section kafka_section;

/* Kafka's error code to a kind: fatal producer errors, unknown properties, authentication and
 * authorisation: ERR_FATAL; unknown topic: ERR_FATAL ("run `sandsweep topics create`");
 * message too large: ERR_REJECT; the rest is ERR_RETRY. `code` is an rd_kafka_resp_err_t. */
int kafka_err(struct err *err, int code, const char *what);

/* Creates the three topics that do not exist yet, and waits up to timeout_ms.
 * report(arg, topic, "created" or "exists") for each. -1: ERR_RETRY no broker, ERR_REJECT a topic
 * exists with fewer partitions than asked for, ERR_FATAL the broker refuses. Blocks. */
int kafka_topics_create(const struct kafka_config *config, int64_t timeout_ms,
                        void (*report)(void *arg, const char *topic, const char *outcome),
                        void *arg, struct err *err) MUST_CHECK;

/* 0 when the three topics exist; -1 ERR_FATAL naming the missing one and what to do; ERR_RETRY no
 * broker answered within timeout_ms. Blocks that long. Called once at start-up. */
int kafka_topics_check(const struct kafka_config *config, int64_t timeout_ms,
                       struct err *err) MUST_CHECK;

#endif
