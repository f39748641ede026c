/* An idempotent producer on our loop (enable.idempotence, acks=all, linger as configured):
 * delivery reports arrive as loop events. Used by the outbox relay, results and dead letters. */
#ifndef QUEUE_PRODUCER_H
#define QUEUE_PRODUCER_H

#include <stddef.h>

#include "base/metrics.h"
#include "event.h"
#include "kafka.h"

struct producer;

struct producer_opts {
	/* After this the producer cannot go on (a fatal librdkafka error, RFC: KIP-98 fencing): the
	 * process should exit. Called once. */
	void (*on_fatal)(void *arg, const struct err *err);
	void *arg;
};

/* NULL and *err: ERR_FATAL with librdkafka's own text for a property it does not know or take.
 * Memory: queue.buffering.max.kbytes 8192 unless [kafka] says otherwise. */
struct producer *producer_new(struct loop *loop, const struct kafka_config *config,
                              const struct producer_opts *opts, struct err *err) MUST_CHECK;
/* Drops what is not delivered (their senders never hear of it) and waits at most wait_ms for
 * librdkafka's threads. */
void producer_free(struct producer *producer, int64_t wait_ms);

/* Enqueues one message; everything is copied. `done` is called exactly once from the loop, never
 * from inside this call: err NULL when every in-sync replica has it; otherwise ERR_REJECT (too
 * large) or ERR_RETRY. -1: ERR_RETRY "QUEUE_FULL", `done` is not called, try after a delivery. */
int producer_send(struct producer *producer, const char *topic, const struct event_message *message,
                  void (*done)(void *arg, const struct err *err), void *arg,
                  struct err *err) MUST_CHECK;

/* Messages enqueued and not yet reported. */
int producer_in_flight(const struct producer *producer);
/* Monotonic microseconds of the last delivery; of the last sign of a broker (statistics) when
 * nothing was sent. For the watchdog. */
int64_t producer_last_progress_us(const struct producer *producer);

#endif
