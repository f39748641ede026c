/* What `sandsweep targets` asks of Postgres. Blocking; errors as pg_sync_run. */
#ifndef SQL_STORE_TARGETS_H
#define SQL_STORE_TARGETS_H

#include "pg_sync.h"

/* A ledger row. Texts are borrowed during the callback; NULL and 0 where there is nothing. */
struct store_target {
	int64_t id;
	const char *kind, *resource_id, *state;
	int64_t attempts, last_status;
	const char *error_class, *last_error;
	struct uuid team_id, function_id, revision_id;
	const char *parent_id, *release_reason, *doom_reason, *lease_owner;
	int64_t created_at_us, released_at_us, doomed_at_us, deleting_at_us, ended_at_us, due_at_us;
	const char *evidence; /* JSON */
};
typedef void store_target_fn(void *arg, const struct store_target *target);

/* What to look for; NULL, nil and 0: anything. */
struct store_target_filter {
	const char *state, *kind, *error_class;
	struct uuid team_id, function_id;
	const int64_t *ids;
	int id_count;
	int64_t after; /* only ids above */
	int64_t max;
};

/* Each in the order of id; returns how many. */
int store_target_list(struct pg_sync *sync, const struct store_target_filter *filter,
                      store_target_fn *fn, void *arg, struct err *err) MUST_CHECK;
/* By the platform's id, or by the number in the ledger where the text is one. Returns how many. */
int store_target_show(struct pg_sync *sync, const char *text, store_target_fn *fn, void *arg,
                      struct err *err) MUST_CHECK;

/* The ids (at most filter->max, into ret) of dead or refused rows that a redrive would take:
 * state, error_class, team, ids and after count. Returns how many. */
int store_target_pick(struct pg_sync *sync, const struct store_target_filter *filter, int64_t *ret,
                      struct err *err) MUST_CHECK;
/* Dooms these rows anew, spacing_us after one another. Returns how many were still dead or refused. */
int store_target_redrive(struct pg_sync *sync, const int64_t *ids, int count, int64_t spacing_us,
                         const char *actor, struct err *err) MUST_CHECK;
struct store_target_outcomes {
	int64_t total, gone, failed;
};
int store_target_outcomes(struct pg_sync *sync, const int64_t *ids, int count,
                          struct store_target_outcomes *ret, struct err *err) MUST_CHECK;
/* *ret_done false: the row does not exist, or is in a state in which it cannot be refused. */
int store_target_refuse(struct pg_sync *sync, int64_t id, const char *why, const char *actor,
                        bool *ret_done, struct err *err) MUST_CHECK;

#endif
