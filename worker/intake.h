/* Events in: a batch from the consumer becomes one transaction that dooms what it names; what is
 * refused goes to the dead-letter topic; then, and only then, the offsets are committed. */
#ifndef WORKER_INTAKE_H
#define WORKER_INTAKE_H

#include "queue/consumer.h"
#include "sql/store_worker.h"

struct intake;
struct intake_opts {
	struct pg_pool *pool;
	struct producer *producer; /* for dead letters */
	int64_t batch_max;
	struct metrics *metrics;
	void (*on_doomed)(void *arg); /* rows are due: wake the executor */
	void (*on_fatal)(void *arg, const struct err *err);
	void *arg;
};
struct intake *intake_new(struct loop *loop, const struct intake_opts *opts,
                          struct err *err) MUST_CHECK;
void intake_free(struct intake *intake);
/* The consumer whose batches come; set once before the loop runs. */
void intake_attach(struct intake *intake, struct consumer *consumer);
/* consumer_opts.on_batch and on_fatal, with the intake as their argument. */
void intake_on_batch(void *intake, struct consumer_item *items, int count);
void intake_on_fatal(void *intake, const struct err *err);

#endif
