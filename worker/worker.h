/* The worker process: outbox relay, event intake and executor on one loop. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "executor.h"
#include "queue/kafka.h"
#include "sql/pg.h"

struct worker;
struct worker_settings {
	struct pg_config postgres;
	struct kafka_config kafka;
	struct platform_config platform;
	struct worker_config worker;
};
/* Starts everything; nothing blocks longer than a topic check (5 s, only while no broker answers).
 * NULL and *err: configuration (REJECT), a missing topic or another schema (FATAL). */
struct worker *worker_new(struct loop *loop, const struct worker_settings *settings,
                          struct err *err) MUST_CHECK;
/* Gives every row back, commits nothing more, and stops the loop within drain_ms. */
void worker_stop(struct worker *worker);
/* After the loop. *err tells what ended it when that was an error; returns -1 then. */
int worker_free(struct worker *worker, struct err *err);
int worker_metrics_port(const struct worker *worker);

#endif
