/* What the worker asks of Postgres. As store_api.h: one statement a call, never blocks, answers once
 * through its callback; results are borrowed during it. */
#ifndef SQL_STORE_WORKER_H
#define SQL_STORE_WORKER_H

#include "pg.h"

enum { STORE_BATCH_MAX = 5000 };

/* ---- events in: released -> doomed ---- */
enum store_scope {
	STORE_SCOPE_SANDBOX,  /* one sandbox, named */
	STORE_SCOPE_DISABLED, /* every released sandbox of the function */
	STORE_SCOPE_DELETED,  /* everything of the function that is released */
};
struct store_doom {
	enum store_scope scope;
	struct uuid event_id, team_id, function_id, revision_id;
	const char *sandbox_id;  /* STORE_SCOPE_SANDBOX only */
	const char *traceparent; /* "" when none */
};
/* For each item that was not taken (now or before), in order: `refusal` is the stable word for the dead
 * letter: unknown_resource, unknown_function, not_owner, in_use, not_deleted. Then once with at = -1:
 * the end (err NULL: committed; `doomed` rows are new) or the error (nothing happened). */
typedef void store_doom_fn(void *arg, int at, const char *refusal, int64_t doomed,
                           const struct err *err);
int store_doom(struct pg_pool *pool, const struct store_doom *items, int count, store_doom_fn *fn,
               void *arg, struct err *err) MUST_CHECK;

/* ---- claims: doomed -> deleting ---- */
struct store_claim {
	const char *worker;
	int64_t lease_ms;
	int64_t rows_max, teams_max, rows_per_team;
	struct uuid after_team; /* nil: from the first */
	const struct uuid *skip_teams;
	int skip_count;
	int64_t wait_ms; /* until a row that waits for another is looked at again */
	/* First deletions of a team in an hour (0: no budget), also in percent of its live sandboxes, but
	 * never less than budget_min. Kept in Postgres, so that it holds for all workers together. */
	int64_t budget_per_hour, budget_share_percent, budget_min;
};
struct store_claimed {
	int64_t id, lease;
	const char *kind; /* sandbox, volume, snapshot */
	const char *resource_id, *parent_id /* NULL but for a snapshot */;
	struct uuid team_id;
	int64_t attempts;
	int64_t accepted_at_us; /* the platform has taken the DELETE before; 0: not yet */
	const char *traceparent;
	struct uuid last_team; /* the last one looked at, for after_team; nil after the last of all */
	bool more_teams;       /* there may be others behind it */
	int64_t looked_at;
};
/* For each claimed row, then once with row NULL: the end or the error. `end` carries last_team,
 * more_teams and looked_at, NULL on an error. */
typedef void store_claim_fn(void *arg, const struct store_claimed *row,
                            const struct store_claimed *end, const struct err *err);
int store_claim(struct pg_pool *pool, const struct store_claim *claim, store_claim_fn *fn,
                void *arg, struct err *err) MUST_CHECK;

/* ---- results: deleting -> gone, doomed, dead ---- */
enum store_outcome_kind { STORE_GONE, STORE_FAIL, STORE_LATER };
struct store_outcome {
	int64_t id, lease;
	enum store_outcome_kind kind;
	int64_t wait_ms;         /* until the next try */
	int status;              /* HTTP; 0: no answer; <0: nothing was sent, keep what is there */
	const char *error_class; /* NULL: keep */
	const char *error;       /* NULL: keep */
	bool accepted;           /* the platform has taken the DELETE */
};
/* `recorded` rows were ours to report; the others' leases had been taken over. Applying the same
 * outcomes twice changes nothing. */
typedef void store_record_fn(void *arg, int64_t recorded, int64_t dead, const struct err *err);
int store_record(struct pg_pool *pool, const struct store_outcome *outcomes, int count,
                 int64_t max_attempts, store_record_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* ---- the figures ---- */
struct store_health {
	int64_t oldest_released_at_us, oldest_outbox_at_us; /* 0: none */
	int64_t dead, refused;                              /* at most 10000 */
	int64_t paused; /* teams that have due rows and no budget left */
	int64_t oldest_drift_at_us, last_reconciled_at_us; /* 0: none */
	int64_t at_us;                                     /* the database's clock */
};
int store_health(struct pg_pool *pool,
                 void (*fn)(void *arg, const struct store_health *health, const struct err *err),
                 void *arg, struct err *err) MUST_CHECK;

/* ---- the outbox, for the relay: a connection of its own that listens and stands for election ---- */
struct store_outbox_row {
	int64_t id;
	struct uuid event_id, function_id;
	int64_t created_at_us;
	const char *channel, *type, *traceparent, *data;
};
struct store_outbox_opts {
	/* Elected: the only one until told otherwise. Lost with the connection. */
	void (*on_elected)(void *arg, bool elected);
	void (*on_wake)(void *arg);
	void *arg;
};
struct store_outbox;
struct store_outbox *store_outbox_new(struct loop *loop, const struct pg_config *config,
                                      const struct store_outbox_opts *opts,
                                      struct err *err) MUST_CHECK;
void store_outbox_free(struct store_outbox *outbox);
/* For each row in the order of id, then once with row NULL: the end (`count` rows) or the error. */
typedef void store_outbox_fn(void *arg, const struct store_outbox_row *row, const struct err *err);
int store_outbox_fetch(struct store_outbox *outbox, int64_t after, int max, store_outbox_fn *fn,
                       void *arg, struct err *err) MUST_CHECK;
int store_outbox_delete(struct store_outbox *outbox, const int64_t *ids, int count,
                        void (*fn)(void *arg, const struct err *err), void *arg,
                        struct err *err) MUST_CHECK;
bool store_outbox_healthy(const struct store_outbox *outbox, char why[128]);

#endif
