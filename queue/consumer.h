/* The consumer of the events topic: hands out one batch at a time, and commits its offsets only
 * when told that the batch is durable. Cooperative rebalancing; memory bounded by batch_max events
 * plus librdkafka's own queue (queued.max.messages.kbytes, 4096 unless configured).
 *
 * Order of delivery: first the batch's transaction is committed in Postgres (and its dead letters
 * are confirmed by the broker), then consumer_done() commits the offsets. A crash between the two
 * reads the batch again; its effects are idempotent. */
#ifndef QUEUE_CONSUMER_H
#define QUEUE_CONSUMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "event.h"
#include "kafka.h"

struct consumer;
struct producer;

/* Where a message came from, and what became of it. */
struct consumer_item {
	struct event event;   /* filled when reject_code is "" */
	char reject_code[32]; /* event_decode's code, or the one set by the batch's owner */
	char reject_text[EVENT_REASON_MAX];
	int32_t partition;
	int64_t offset;
	void *raw; /* the message itself, for the dead letter; owned by the consumer */
};

struct consumer_opts {
	/* A batch of 1..batch_max items, in the order of each partition. Borrowed until
	 * consumer_done() or consumer_retry(); no other batch comes before that. */
	void (*on_batch)(void *arg, struct consumer_item *items, int count);
	/* The broker says that the process cannot go on (unknown topic, no permission). Called once. */
	void (*on_fatal)(void *arg, const struct err *err);
	void *arg;
};

struct consumer *consumer_new(struct loop *loop, const struct kafka_config *config,
                              const struct consumer_opts *opts, struct metrics *metrics,
                              struct err *err) MUST_CHECK;

/* The batch is durable: commits the offsets of its partitions that are still ours (asynchronously; a failed
 * commit only means that the messages are read again), then goes on. */
void consumer_done(struct consumer *consumer);
/* The batch could not be made durable now. It is handed out again after delay_ms by on_batch, the
 * same items with the same raw messages (items of partitions lost meanwhile are left out);
 * fetching is paused until then and the group membership is kept. */
void consumer_retry(struct consumer *consumer, int64_t delay_ms);

/* Sends one item to the dead-letter topic: its key, value and headers as they came, plus the
 * headers sandsweep_reason, sandsweep_reason_text, sandsweep_topic, sandsweep_partition,
 * sandsweep_offset, sandsweep_time. `done` as producer_send's. A value too large for the topic is
 * sent again without its value, with sandsweep_truncated = its length. */
int consumer_dead_letter(struct consumer *consumer, struct producer *producer,
                         const struct consumer_item *item,
                         void (*done)(void *arg, const struct err *err), void *arg,
                         struct err *err) MUST_CHECK;

/* Messages of all owned partitions not read yet, as the broker last said; -1 unknown. */
int64_t consumer_lag(const struct consumer *consumer);
/* True while the group has this member and a broker answers. For the watchdog and /readyz. */
bool consumer_healthy(const struct consumer *consumer, char why[128]);

/* Leaves the group without committing the batch in work; waits at most wait_ms. Dead letters that
 * are still out are forgotten: their producer must be freed before the loop runs again. */
void consumer_free(struct consumer *consumer, int64_t wait_ms);

#endif
