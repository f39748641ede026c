/* What is remembered of runs of the reconciler, for people. Blocking; errors as pg_sync_run. */
#ifndef SQL_STORE_HISTORY_H
#define SQL_STORE_HISTORY_H

#include "pg_sync.h"
#include "store_reconcile.h"

/* A run. Texts are borrowed during the callback; nil and 0 where there is nothing. */
struct store_past_run {
	int64_t id, term;
	int64_t started_at_us, finished_at_us; /* 0: it is running, or was interrupted */
	const char *actor, *holder, *shard, *mode;
	bool dry;
	struct uuid team_id, function_id; /* what it was narrowed to */
	const char *outcome;              /* the verdict's word, "interrupted" or "running" */
	int64_t found, acted;
	int64_t reused;     /* last seen by it while observing, and used again later */
	const char *counts; /* JSON object: the summary; {} when it has none */
};
typedef void store_past_run_fn(void *arg, const struct store_past_run *run);

/* The newest first, of those before `before` (0: all). Returns how many, at most max. */
int store_history_runs(struct pg_sync *sync, int64_t before, int64_t max, store_past_run_fn *fn,
                       void *arg, struct err *err) MUST_CHECK;
/* One of them. Returns 1, or 0 when there is none. */
int store_history_run(struct pg_sync *sync, int64_t id, store_past_run_fn *fn, void *arg,
                      struct err *err) MUST_CHECK;

/* A finding of a run that is over. */
struct store_past_finding {
	struct store_finding finding;
	int64_t run_id, at_us;
};
typedef void store_past_finding_fn(void *arg, const struct store_past_finding *finding);
/* In the order of finding, of those after `after` (a finding's id). Returns how many, at most max. */
int store_history_findings(struct pg_sync *sync, int64_t run, int64_t after, int64_t max,
                           store_past_finding_fn *fn, void *arg, struct err *err) MUST_CHECK;
/* The newest findings about one thing, whatever the run (sql/queries/explain_findings.sql). */
int store_history_about(struct pg_sync *sync, const char *resource_id, int64_t max,
                        store_past_finding_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* Things that runs in observe mode would have deleted. */
struct store_observed {
	int64_t observed, reused, open;
};
int store_history_observed(struct pg_sync *sync, struct store_observed *ret,
                           struct err *err) MUST_CHECK;

#endif
