#include "store_explain.h"

#include <string.h>

#include "base/num.h"

static const struct row_col owned_cols[] = {
    {"id", ROW_I64, offsetof(struct store_owned, id)},
    {"kind", ROW_TEXT, offsetof(struct store_owned, kind)},
    {"resource_id", ROW_TEXT, offsetof(struct store_owned, resource_id)},
    {"parent_id", ROW_TEXT, offsetof(struct store_owned, parent_id)},
    {"state", ROW_TEXT, offsetof(struct store_owned, state)},
    {"team_id", ROW_UUID, offsetof(struct store_owned, team_id)},
    {"function_id", ROW_UUID, offsetof(struct store_owned, function_id)},
    {"revision_id", ROW_UUID, offsetof(struct store_owned, revision_id)},
    {"slug", ROW_TEXT, offsetof(struct store_owned, slug)},
    {"function_deleted_at", ROW_TIME, offsetof(struct store_owned, function_deleted_at_us)},
    {"enabled", ROW_BOOL, offsetof(struct store_owned, enabled)},
    {"active", ROW_BOOL, offsetof(struct store_owned, active)},
    {"revision_number", ROW_I64, offsetof(struct store_owned, revision_number)},
    {"created_at", ROW_TIME, offsetof(struct store_owned, created_at_us)},
    {"released_at", ROW_TIME, offsetof(struct store_owned, released_at_us)},
    {"doomed_at", ROW_TIME, offsetof(struct store_owned, doomed_at_us)},
    {"deleting_at", ROW_TIME, offsetof(struct store_owned, deleting_at_us)},
    {"ended_at", ROW_TIME, offsetof(struct store_owned, ended_at_us)},
    {"due_at", ROW_TIME, offsetof(struct store_owned, due_at_us)},
    {"release_reason", ROW_TEXT, offsetof(struct store_owned, release_reason)},
    {"doom_reason", ROW_TEXT, offsetof(struct store_owned, doom_reason)},
    {"event_id", ROW_UUID, offsetof(struct store_owned, event_id)},
    {"attempts", ROW_I64, offsetof(struct store_owned, attempts)},
    {"last_status", ROW_I64, offsetof(struct store_owned, last_status)},
    {"error_class", ROW_TEXT, offsetof(struct store_owned, error_class)},
    {"last_error", ROW_TEXT, offsetof(struct store_owned, last_error)},
    {"lease_owner", ROW_TEXT, offsetof(struct store_owned, lease_owner)},
    {"in_use_because", ROW_TEXT, offsetof(struct store_owned, in_use_because)},
    {"evidence", ROW_JSON, offsetof(struct store_owned, evidence)},
    {"finding", ROW_JSON, offsetof(struct store_owned, finding)},
};
static const struct row_shape owned_shape = {owned_cols, N_OF(owned_cols),
                                             sizeof(struct store_owned)};

static const struct row_col use_cols[] = {
    {"role", ROW_TEXT, offsetof(struct store_use, role)},
    {"team_id", ROW_UUID, offsetof(struct store_use, team_id)},
    {"function_id", ROW_UUID, offsetof(struct store_use, function_id)},
    {"revision_id", ROW_UUID, offsetof(struct store_use, revision_id)},
    {"revision_number", ROW_I64, offsetof(struct store_use, revision_number)},
    {"slug", ROW_TEXT, offsetof(struct store_use, slug)},
    {"enabled", ROW_BOOL, offsetof(struct store_use, enabled)},
    {"function_deleted_at", ROW_TIME, offsetof(struct store_use, function_deleted_at_us)},
    {"active", ROW_BOOL, offsetof(struct store_use, active)},
    {"since", ROW_TIME, offsetof(struct store_use, since_us)},
};
static const struct row_shape use_shape = {use_cols, N_OF(use_cols), sizeof(struct store_use)};

static const struct row_col attempt_cols[] = {
    {"id", ROW_UUID, offsetof(struct store_attempt, id)},
    {"team_id", ROW_UUID, offsetof(struct store_attempt, team_id)},
    {"function_id", ROW_UUID, offsetof(struct store_attempt, function_id)},
    {"revision_id", ROW_UUID, offsetof(struct store_attempt, revision_id)},
    {"template_id", ROW_TEXT, offsetof(struct store_attempt, template_id)},
    {"started_at", ROW_TIME, offsetof(struct store_attempt, started_at_us)},
    {"closed_at", ROW_TIME, offsetof(struct store_attempt, closed_at_us)},
    {"outcome", ROW_TEXT, offsetof(struct store_attempt, outcome)},
    {"sandbox_id", ROW_TEXT, offsetof(struct store_attempt, sandbox_id)},
};
static const struct row_shape attempt_shape = {attempt_cols, N_OF(attempt_cols),
                                               sizeof(struct store_attempt)};

static const struct row_col drift_cols[] = {
    {"class", ROW_TEXT, offsetof(struct store_known_drift, class_name)},
    {"kind", ROW_TEXT, offsetof(struct store_known_drift, kind)},
    {"since", ROW_TIME, offsetof(struct store_known_drift, since_us)},
    {"first_seen_at", ROW_TIME, offsetof(struct store_known_drift, first_seen_at_us)},
    {"last_seen_at", ROW_TIME, offsetof(struct store_known_drift, last_seen_at_us)},
    {"run_id", ROW_I64, offsetof(struct store_known_drift, run_id)},
    {"action", ROW_TEXT, offsetof(struct store_known_drift, action)},
    {"observed", ROW_BOOL, offsetof(struct store_known_drift, observed)},
    {"closed_at", ROW_TIME, offsetof(struct store_known_drift, closed_at_us)},
    {"outcome", ROW_TEXT, offsetof(struct store_known_drift, outcome)},
};
static const struct row_shape drift_shape = {drift_cols, N_OF(drift_cols),
                                             sizeof(struct store_known_drift)};

static const struct row_col function_cols[] = {
    {"id", ROW_UUID, offsetof(struct store_function, id)},
    {"team_id", ROW_UUID, offsetof(struct store_function, team_id)},
    {"slug", ROW_TEXT, offsetof(struct store_function, slug)},
    {"enabled", ROW_BOOL, offsetof(struct store_function, enabled)},
    {"deleted_at", ROW_TIME, offsetof(struct store_function, deleted_at_us)},
    {"active_number", ROW_I64, offsetof(struct store_function, active_number)},
    {"sandbox_id", ROW_TEXT, offsetof(struct store_function, sandbox_id)},
    {"revisions", ROW_I64, offsetof(struct store_function, revisions)},
};
static const struct row_shape function_shape = {function_cols, N_OF(function_cols),
                                                sizeof(struct store_function)};

/* Every result of this module fits. */
union any_row {
	struct store_owned owned;
	struct store_use use;
	struct store_attempt attempt;
	struct store_known_drift drift;
	struct store_function function;
};

/* Which callback the rows go to: one of them. */
struct receiver {
	store_owned_fn *owned;
	void (*use)(void *arg, const struct store_use *use);
	void (*attempt)(void *arg, const struct store_attempt *attempt);
	void (*drift)(void *arg, const struct store_known_drift *drift);
	void (*function)(void *arg, const struct store_function *function);
	void *arg;
};

static void give(const struct receiver *to, const union any_row *row)
{
	if (to->owned)
		to->owned(to->arg, &row->owned);
	else if (to->use)
		to->use(to->arg, &row->use);
	else if (to->attempt)
		to->attempt(to->arg, &row->attempt);
	else if (to->drift)
		to->drift(to->arg, &row->drift);
	else
		to->function(to->arg, &row->function);
}

static int run(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
               const struct row_shape *shape, const struct receiver *to, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	union any_row row;
	if (pg_sync_run(sync, query, params, &res, err) < 0 || row_check(res, shape, err) < 0)
		return -1;
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, shape, i, &row);
		give(to, &row);
	}
	return row_count(res);
}

static void uuid_param(struct pg_params *params, const char *text)
{
	struct uuid uuid = {0};
	if (uuid_parse(text, strlen(text), &uuid) < 0)
		uuid = (struct uuid){0};
	pg_param_uuid(params, &uuid);
}

int store_explain_ledger(struct pg_sync *sync, const char *text, store_owned_fn *fn, void *arg,
                         struct err *err)
{
	const struct receiver to = {.owned = fn, .arg = arg};
	AUTO(pg_params_done) struct pg_params params;
	int64_t number;
	pg_params_init(&params);
	pg_param_text(&params, text);
	if (num_i64(text, strlen(text), 1, INT64_MAX, &number) == 0)
		pg_param_i64(&params, number);
	else
		pg_param_null(&params);
	return run(sync, QUERY_EXPLAIN_LEDGER, &params, &owned_shape, &to, err);
}

int store_explain_things(struct pg_sync *sync, const struct uuid *function_id, int64_t max,
                         store_owned_fn *fn, void *arg, struct err *err)
{
	const struct receiver to = {.owned = fn, .arg = arg};
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_uuid(&params, function_id);
	pg_param_i64(&params, max);
	return run(sync, QUERY_EXPLAIN_THINGS, &params, &owned_shape, &to, err);
}

int store_explain_uses(struct pg_sync *sync, const char *resource_id,
                       void (*fn)(void *arg, const struct store_use *use), void *arg,
                       struct err *err)
{
	const struct receiver to = {.use = fn, .arg = arg};
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_text(&params, resource_id);
	return run(sync, QUERY_EXPLAIN_USES, &params, &use_shape, &to, err);
}

int store_explain_attempts(struct pg_sync *sync, const char *text,
                           void (*fn)(void *arg, const struct store_attempt *attempt), void *arg,
                           struct err *err)
{
	const struct receiver to = {.attempt = fn, .arg = arg};
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_text(&params, text);
	uuid_param(&params, text);
	return run(sync, QUERY_EXPLAIN_ATTEMPTS, &params, &attempt_shape, &to, err);
}

int store_explain_drift(struct pg_sync *sync, const char *resource_id,
                        void (*fn)(void *arg, const struct store_known_drift *drift), void *arg,
                        struct err *err)
{
	const struct receiver to = {.drift = fn, .arg = arg};
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_text(&params, resource_id);
	return run(sync, QUERY_EXPLAIN_DRIFT, &params, &drift_shape, &to, err);
}

int store_explain_functions(struct pg_sync *sync, const char *text,
                            void (*fn)(void *arg, const struct store_function *function), void *arg,
                            struct err *err)
{
	const struct receiver to = {.function = fn, .arg = arg};
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	uuid_param(&params, text);
	pg_param_text(&params, text);
	return run(sync, QUERY_EXPLAIN_FUNCTIONS, &params, &function_shape, &to, err);
}
