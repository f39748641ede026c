/* Outcomes on their way to the ledger, in batches: a batch leaves when it is full, or when its first
 * outcome has waited flush_ms; one is on its way at a time; a failed one is sent again. */
#ifndef WORKER_RECORD_H
#define WORKER_RECORD_H

#include "base/loop.h"
#include "sql/store_worker.h"
#include "target.h"

enum { RECORD_BATCH_MAX = 1000 };

struct record_opts {
	struct pg_pool *pool;
	int64_t flush_ms, attempts_max;
	/* The target is recorded (or its lease was lost: the row is another's business). */
	void (*on_done)(void *arg, struct target *target);
	/* After each batch that was written. */
	void (*on_batch)(void *arg, int64_t recorded, int64_t lost, int64_t dead);
	void (*on_fatal)(void *arg, const struct err *err);
	void *arg;
};
struct record;
struct record *record_new(struct loop *loop, const struct record_opts *opts,
                          struct err *err) MUST_CHECK;
/* Targets that are not recorded are handed to nobody: the caller still has them. */
void record_free(struct record *record);
/* A target in TARGET_DECIDED. It stays the caller's, untouched until on_done. */
void record_put(struct record *record, struct target *target);
/* Sends what is there without waiting for more. */
void record_flush(struct record *record);

#endif
