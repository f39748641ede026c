/* What a reconciliation asks of Postgres: one session from its lock to its last word. Everything here
 * blocks, at most query_timeout_ms a statement (reconcile.query_timeout_ms for the set-based ones): a
 * run is a batch, and its only concurrency is toward the platform.
 *
 * The session holds an advisory lock (one run at a time per shard) and temporary tables: what was
 * listed, how well, and what was found. Losing the connection loses the lock, the tables and the power
 * to act, all at once; the term number that every act carries fences what may still be on its way. */
#ifndef SQL_STORE_RECONCILE_H
#define SQL_STORE_RECONCILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"
#include "pg.h"

struct store_run;

struct store_run_opts {
	const char *shard;  /* runs of different shards may run side by side */
	const char *actor;  /* who: an operator's account, or "timer" */
	const char *holder; /* host name and process id: what a second run is told */
	const char *mode;   /* "observe", "repair" (a dry run too, with dry) */
	bool dry;           /* no act follows */
	int64_t query_timeout_ms;
	struct uuid team_id, function_id; /* nil: all; what the run is narrowed to */
	bool adopt_volumes; /* what lost calls of publishes made may be taken into the ledger */
};
struct store_run_begun {
	bool acquired;
	int64_t run_id, term;
	int64_t t0_us;         /* the database's clock at the beginning */
	int64_t system_id;     /* pg_control_system(): which database cluster */
	char database[128];    /* and which database of it */
	char holder[128];      /* not acquired: who holds the lock, */
	int64_t held_since_us; /* and since when */
};
/* Connects, takes the lock, makes the temporary tables, writes the run's row. NULL and *err as
 * pg_sync_open. Not acquired is no error: `ret->acquired` is false and the run can only be closed. */
struct store_run *store_run_begin(const struct pg_config *config, const struct store_run_opts *opts,
                                  struct store_run_begun *ret, struct err *err) MUST_CHECK;
/* For AUTO: gives up the lock; the next run's beginning marks one that was not finished as "interrupted". */
void store_run_close(struct store_run **run);

/* A function by id or slug (slugs are unique within a team; ambiguous without one is ERR_REJECT
 * "ambiguous"; none is ERR_REJECT "unknown"). Before store_run_begin: opens its own connection. */
int store_run_resolve(const struct pg_config *config, const char *text, const struct uuid *team_id,
                      struct uuid *ret_function, struct uuid *ret_team, struct err *err) MUST_CHECK;

/* ---- listing ---- */

/* The teams to list, in the order of id, of those after `after` (nil: from the first): every team that
 * has a function that is not deleted, a ledger row of any state, or an open attempt; with whether the
 * ledger says that some sandbox, some volume of it is in use (an empty listing of that kind would be no
 * truth; what is on its way out may be gone already). Returns how many were given to fn, at most max. */
int store_run_teams(struct store_run *run, const struct uuid *after, int max,
                    void (*fn)(void *arg, const struct uuid *team, bool sandboxes, bool volumes),
                    void *arg, struct err *err) MUST_CHECK;

struct store_seen {
	const char *kind; /* sandbox, volume */
	struct uuid team_id;
	const char *id;
	const char *template_id;      /* NULL for a volume */
	const char *source_volume_id; /* NULL for none */
	const char *user_id; /* whose a volume is; NULL for a sandbox, or where it is not told */
	const char *status;  /* NULL for a volume */
	int64_t created_at_us;
	bool again; /* it may have been shown before: the database must look */
};
/* COPY: begin, rows in any number, end; and again for the next teams, as often as it takes, all into one
 * table. Between begin and end nothing else may be asked of the run. Rows are gathered and written in
 * chunks of some 64 KiB, or of up to 16 MiB while the session works through a diff that was begun ahead. */
int store_run_copy_begin(struct store_run *run, struct err *err) MUST_CHECK;
int store_run_copy_row(struct store_run *run, const struct store_seen *row,
                       struct err *err) MUST_CHECK;
int store_run_copy_end(struct store_run *run, struct err *err) MUST_CHECK;
/* So much is gathered that it is better to ask the platform for no more; to be waited for with
 * store_run_copy_wait when nothing is on its way from there. */
bool store_run_copy_full(const struct store_run *run);
int store_run_copy_wait(struct store_run *run, struct err *err) MUST_CHECK;

struct store_listing {
	struct uuid team_id;
	const char *kind;
	bool complete;
	const char *reason; /* not complete: why ("count", "repeat", "error", ...); else NULL */
	int64_t rows, pages;
};
int store_run_listings(struct store_run *run, const struct store_listing *listings, int count,
                       struct err *err) MUST_CHECK;
/* After the last of them: indexes and statistics of what was listed; a listing that showed an id twice
 * is not complete ("repeat"). Gives every one that is not complete to fn. */
int store_run_listed(struct store_run *run,
                     void (*fn)(void *arg, const struct store_listing *listing), void *arg,
                     struct err *err) MUST_CHECK;

/* ---- findings ---- */

/* Before the listing: the diff of this class may run while rows are copied, if it needs none of them. It is done
 * then, or goes on, when store_run_find is called for it. */
int store_run_find_ahead(struct store_run *run, const char *class_name, int64_t grace_ms,
                         struct err *err) MUST_CHECK;
/* Runs the diff of one class (sql/queries/reconcile_find_<class>.sql): findings that are not known to an
 * earlier class of this run. *ret_found: how many. */
int store_run_find(struct store_run *run, const char *class_name, int64_t grace_ms,
                   int64_t *ret_found, struct err *err) MUST_CHECK;

/* How a finding must be proved before it may be acted on. */
struct store_finding {
	int64_t id; /* within the run, from 1 */
	const char *class_name, *kind, *resource_id;
	const char *parent_id;                         /* a snapshot's volume; else NULL */
	struct uuid team_id, function_id, revision_id; /* nil where unknown */
	int64_t since_us;                              /* since when it is so, as far as can be told */
	const char *proof;    /* "none" (the database alone proves it), "absent", "present", "owner",
	                         "maker" */
	const char *action;   /* "clear", "doom", "adopt", "note" (for people; no act) */
	const char *verdict;  /* "young", "proved", "disproved", "unproved"; NULL: to be proved yet */
	const char *result;   /* "done", "stale", "skipped", "failed", "dry"; NULL: none yet */
	const char *why;      /* one line for people; may be NULL */
	const char *evidence; /* JSON object */
};
typedef void store_finding_fn(void *arg, const struct store_finding *finding);
/* In the order of id, of those after `after`; `what`: "all", "to_prove", "to_act". Returns how many,
 * at most max. Texts are borrowed during fn, which must not call back into the run. */
int store_run_findings(struct store_run *run, const char *what, int64_t after, int max,
                       store_finding_fn *fn, void *arg, struct err *err) MUST_CHECK;

struct store_proof {
	int64_t finding;
	const char *seen; /* "absent" (twice), "present", "unknown" */
	const char *why;  /* unknown: what went wrong; else NULL */
	const char
	    *details; /* JSON object: status, marker, mounts (array of volume ids), a volume's user and
	                 time of creation, looks with times */
};
/* What the platform said. Ownership is judged here: the marker is that of an open attempt of the same
 * team and template, or a mounted volume is one of that attempt's revision in our ledger; a volume is of
 * our own user and is the one that was listed. */
int store_run_proofs(struct store_run *run, const struct store_proof *proofs, int count,
                     struct err *err) MUST_CHECK;

/* ---- guards and acts ---- */

struct store_blast {
	struct uuid team_id; /* nil: the whole run */
	int64_t acts;        /* that would be done */
	int64_t owned;       /* ledger rows that are not gone */
};
/* The whole run first, then every team that has acts, most acts first, at most `max` teams. */
int store_run_blast(struct store_run *run, int max,
                    void (*fn)(void *arg, const struct store_blast *blast), void *arg,
                    struct err *err) MUST_CHECK;

/* Acts on the findings after `after`, at most max of them, each in a transaction of its own that checks
 * once more what it needs, under the locks that its writers take. Returns how many were tried and
 * *ret_last: the last of them. ERR_REJECT "SW004": the term is over, another run has the lock; "SW006":
 * this run only looks (dry, or observing). An error ends nothing but this call: what was done before it
 * stands, and is written down in the findings. */
int store_run_act(struct store_run *run, int64_t after, int max, int64_t *ret_last,
                  struct err *err) MUST_CHECK;

/* Findings from a sealed plan, in the order of the plan; their proofs are forgotten. ERR_REJECT "23514":
 * an act or a proof that its class does not allow; "23505": a thing twice. */
int store_run_load(struct store_run *run, const struct store_finding *findings, int count,
                   struct err *err) MUST_CHECK;

/* ---- the pipeline ---- */
struct store_pipeline {
	int64_t unpublished, unpublished_since_us; /* outbox rows older than grace; 0: none */
	int64_t undoomed, undoomed_since_us;       /* released for longer than grace */
	int64_t untried, untried_since_us; /* doomed, due for longer than grace, never claimed */
	int64_t dead, dead_since_us;
	int64_t refused;
};
int store_run_pipeline(struct store_run *run, int64_t grace_ms, struct store_pipeline *ret,
                       struct err *err) MUST_CHECK;

/* ---- the end ---- */
struct store_run_summary {
	const char *outcome; /* the verdict's word */
	const char *counts;  /* JSON object: the summary as it is printed */
	int64_t keep_days;   /* history and gone volumes and snapshots older than this go */
};
/* Writes findings into the history, the drift that is known now, and the run's row; closes attempts
 * that led nowhere; retention. */
int store_run_finish(struct store_run *run, const struct store_run_summary *summary,
                     struct err *err) MUST_CHECK;

#endif
