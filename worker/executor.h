/* The executor: claims due ledger rows, deletes through the platform with many calls in flight,
 * proves that things are gone, and reports in batches. It holds nothing whose loss matters: a row in its
 * hands is a lease that expires. */
#ifndef WORKER_EXECUTOR_H
#define WORKER_EXECUTOR_H

#include "base/config.h"
#include "base/metrics.h"
#include "platform/platform.h"
#include "sql/store_worker.h"

/* The [worker] section. */
struct worker_config {
	const char *metrics_listen;
	const char *name;      /* lease owner; "": host name and process id */
	int64_t held_max;      /* rows in one worker's hands */
	int64_t claim_batch;   /* rows of one claim, 1..STORE_BATCH_MAX */
	int64_t claim_poll_ms; /* between two claims that found nothing */
	int64_t lease_ms;      /* > platform timeout + confirm_ms */
	int64_t in_flight_max, in_flight_start;
	int64_t team_share_percent; /* of the in-flight limit and of held_max, for one team */
	int64_t probe_ms,
	    probe_max_ms;   /* between two looks at something that is still there; doubles */
	int64_t confirm_ms; /* between the first 404 and the one that proves */
	int64_t
	    conflict_ms; /* until a 409 is tried again, and until a volume looks for its sandboxes */
	int64_t still_there_ms; /* accepted, but present for so long: a failed attempt, DELETE again */
	int64_t attempts_max;
	int64_t backoff_base_ms, backoff_cap_ms;
	int64_t budget_per_hour, budget_share_percent, budget_min; /* as struct store_claim */
	int64_t breaker_failures;                                  /* of the last 20 calls */
	int64_t breaker_open_ms, breaker_open_max_ms;
	int64_t flush_ms; /* how long a result may wait for others */
	int64_t outbox_poll_ms;
	int64_t drain_ms;
};
extern const struct config_section worker_section;

struct executor;
struct executor_opts {
	const struct worker_config *config;
	int64_t call_timeout_ms; /* the platform's, for what a lease still allows */
	const char *name;
	struct pg_pool *pool;
	struct platform *platform;
	struct metrics *metrics;
	void (*on_fatal)(void *arg, const struct err *err); /* the schema is not ours; called once */
	void (*on_recorded)(void *arg); /* results went to the ledger, and to the outbox */
	void *arg;
};
struct executor *executor_new(struct loop *loop, const struct executor_opts *opts,
                              struct err *err) MUST_CHECK;
void executor_free(struct executor *executor);

/* Rows may be due (events were taken): claims soon. */
void executor_wake(struct executor *executor);
/* Claims no more, drops every call, gives every row back without using an attempt, and calls
 * done(arg) once when all of that is recorded (never, while Postgres is away: the leases expire). */
void executor_stop(struct executor *executor, void (*done)(void *arg), void *arg);

int executor_held(const struct executor *executor);
int executor_in_flight(const struct executor *executor);
/* "closed", "open", "half_open". */
const char *executor_breaker(const struct executor *executor);

#endif
