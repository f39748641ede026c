/* One look at the queue from outside: what waits on the events topic, and what lies on the dead-letter
 * topic. */
#ifndef QUEUE_PROBE_H
#define QUEUE_PROBE_H

#include "kafka.h"

struct queue_probe {
	bool reachable; /* every question below was answered */
	char why[160];  /* otherwise: one sentence, or the beginning of one */
	/* Messages on the events topic that kafka.group_id has not committed; -1: not known. Where it has
	 * committed nothing, or what is not there any more, all that are there: the workers would read them. */
	int64_t lag;
	int64_t dead_letters; /* on the dead-letter topic now; -1: not known */
};

/* Asks the brokers with a client of its own, which joins no group, reads no message and commits nothing.
 * A broker that is away, a topic that is missing, a right that is not given, a property that librdkafka
 * refuses: none is an error, ret->why says it.
 * Blocks for timeout_ms at most, and up to two seconds more where librdkafka's threads do not end;
 * a signal that the loop would take waits as long. */
void queue_probe(const struct kafka_config *config, int64_t timeout_ms, struct queue_probe *ret);

#endif
