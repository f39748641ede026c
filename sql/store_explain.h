/* What `sandsweep explain` asks of Postgres about one thing. Blocking; errors as pg_sync_run. Texts are
 * borrowed during a callback; NULL, nil and 0 where there is nothing. Each returns how many there are. */
#ifndef SQL_STORE_EXPLAIN_H
#define SQL_STORE_EXPLAIN_H

#include "pg_sync.h"

/* A ledger row with its function and revision. */
struct store_owned {
	int64_t id;
	const char *kind, *resource_id, *parent_id, *state;
	struct uuid team_id, function_id, revision_id;
	const char *slug; /* NULL: there is no such function any more */
	int64_t function_deleted_at_us;
	bool enabled, active;    /* its function is; its revision is the one that serves */
	int64_t revision_number; /* 0: there is no such revision */
	int64_t created_at_us, released_at_us, doomed_at_us, deleting_at_us, ended_at_us, due_at_us;
	const char *release_reason, *doom_reason;
	struct uuid event_id;
	int64_t attempts, last_status;
	const char *error_class, *last_error, *lease_owner;
	const char *in_use_because; /* what forbids to delete it now; NULL: nothing */
	const char *evidence;       /* JSON: what the claim saw */
	const char *finding;        /* JSON: what a reconciliation saw */
};
typedef void store_owned_fn(void *arg, const struct store_owned *owned);
/* By the platform's id, or by the number in the ledger where the text is one. */
int store_explain_ledger(struct pg_sync *sync, const char *text, store_owned_fn *fn, void *arg,
                         struct err *err) MUST_CHECK;
/* What a function has that is not gone, at most max. */
int store_explain_things(struct pg_sync *sync, const struct uuid *function_id, int64_t max,
                         store_owned_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* A revision that names the thing. */
struct store_use {
	const char *role; /* mapping, source_sandbox, volume, source_volume, snapshot */
	struct uuid team_id, function_id, revision_id;
	int64_t revision_number;
	const char *slug;
	bool enabled, active;
	int64_t function_deleted_at_us, since_us;
};
int store_explain_uses(struct pg_sync *sync, const char *resource_id,
                       void (*fn)(void *arg, const struct store_use *use), void *arg,
                       struct err *err) MUST_CHECK;

struct store_attempt {
	struct uuid id, team_id, function_id, revision_id;
	const char *template_id, *outcome, *sandbox_id; /* outcome NULL: it is open */
	int64_t started_at_us, closed_at_us;
};
int store_explain_attempts(struct pg_sync *sync, const char *text,
                           void (*fn)(void *arg, const struct store_attempt *attempt), void *arg,
                           struct err *err) MUST_CHECK;

struct store_known_drift {
	const char *class_name, *kind, *action, *outcome; /* outcome NULL: it is adrift still */
	int64_t since_us, first_seen_at_us, last_seen_at_us, run_id, closed_at_us;
	bool observed;
};
int store_explain_drift(struct pg_sync *sync, const char *resource_id,
                        void (*fn)(void *arg, const struct store_known_drift *drift), void *arg,
                        struct err *err) MUST_CHECK;

struct store_function {
	struct uuid id, team_id;
	const char *slug;
	bool enabled;
	int64_t deleted_at_us;
	int64_t active_number;  /* of the revision that serves; 0: none */
	const char *sandbox_id; /* which that revision maps */
	int64_t revisions;
};
/* By id where the text is a UUID, and by slug: of every team that has one. */
int store_explain_functions(struct pg_sync *sync, const char *text,
                            void (*fn)(void *arg, const struct store_function *function), void *arg,
                            struct err *err) MUST_CHECK;

#endif
