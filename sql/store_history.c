#include "store_history.h"

#define RUN(name, type, field)                             \
	{                                                      \
		name, type, offsetof(struct store_past_run, field) \
	}
static const struct row_col run_cols[] = {
    RUN("id", ROW_I64, id),
    RUN("started_at", ROW_TIME, started_at_us),
    RUN("finished_at", ROW_TIME, finished_at_us),
    RUN("actor", ROW_TEXT, actor),
    RUN("holder", ROW_TEXT, holder),
    RUN("shard", ROW_TEXT, shard),
    RUN("term", ROW_I64, term),
    RUN("mode", ROW_TEXT, mode),
    RUN("dry", ROW_BOOL, dry),
    RUN("team_id", ROW_UUID, team_id),
    RUN("function_id", ROW_UUID, function_id),
    RUN("outcome", ROW_TEXT, outcome),
    RUN("found", ROW_I64, found),
    RUN("acted", ROW_I64, acted),
    RUN("reused", ROW_I64, reused),
    RUN("counts", ROW_JSON, counts),
};
static const struct row_shape run_shape = {run_cols, N_OF(run_cols), sizeof(struct store_past_run)};

#define FOUND(name, type, field)                                       \
	{                                                                  \
		name, type, offsetof(struct store_past_finding, finding.field) \
	}
static const struct row_col finding_cols[] = {
    FOUND("number", ROW_I64, id),
    FOUND("class", ROW_TEXT, class_name),
    FOUND("kind", ROW_TEXT, kind),
    FOUND("resource_id", ROW_TEXT, resource_id),
    FOUND("parent_id", ROW_TEXT, parent_id),
    FOUND("team_id", ROW_UUID, team_id),
    FOUND("function_id", ROW_UUID, function_id),
    FOUND("revision_id", ROW_UUID, revision_id),
    FOUND("since", ROW_TIME, since_us),
    FOUND("proof", ROW_TEXT, proof),
    FOUND("action", ROW_TEXT, action),
    FOUND("verdict", ROW_TEXT, verdict),
    FOUND("result", ROW_TEXT, result),
    FOUND("why", ROW_TEXT, why),
    FOUND("evidence", ROW_JSON, evidence),
    {"run_id", ROW_I64, offsetof(struct store_past_finding, run_id)},
    {"at", ROW_TIME, offsetof(struct store_past_finding, at_us)},
};
static const struct row_shape finding_shape = {finding_cols, N_OF(finding_cols),
                                               sizeof(struct store_past_finding)};

static const struct row_col observed_cols[] = {
    {"observed", ROW_I64, offsetof(struct store_observed, observed)},
    {"reused", ROW_I64, offsetof(struct store_observed, reused)},
    {"open", ROW_I64, offsetof(struct store_observed, open)},
};
static const struct row_shape observed_shape = {observed_cols, N_OF(observed_cols),
                                                sizeof(struct store_observed)};

static void id_param(struct pg_params *params, int64_t id)
{
	if (id > 0)
		pg_param_i64(params, id);
	else
		pg_param_null(params);
}

static int run_runs(struct pg_sync *sync, int64_t id, int64_t before, int64_t max,
                    store_past_run_fn *fn, void *arg, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct store_past_run row;
	pg_params_init(&params);
	id_param(&params, id);
	id_param(&params, before);
	pg_param_i64(&params, max);
	if (pg_sync_run(sync, QUERY_HISTORY_RUNS, &params, &res, err) < 0 ||
	    row_check(res, &run_shape, err) < 0)
		return -1;
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &run_shape, i, &row);
		fn(arg, &row);
	}
	return row_count(res);
}

int store_history_runs(struct pg_sync *sync, int64_t before, int64_t max, store_past_run_fn *fn,
                       void *arg, struct err *err)
{
	return run_runs(sync, 0, before, max, fn, arg, err);
}

int store_history_run(struct pg_sync *sync, int64_t id, store_past_run_fn *fn, void *arg,
                      struct err *err)
{
	return run_runs(sync, id, 0, 1, fn, arg, err);
}

static int run_findings(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                        store_past_finding_fn *fn, void *arg, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct store_past_finding row;
	if (pg_sync_run(sync, query, params, &res, err) < 0 || row_check(res, &finding_shape, err) < 0)
		return -1;
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &finding_shape, i, &row);
		fn(arg, &row);
	}
	return row_count(res);
}

int store_history_findings(struct pg_sync *sync, int64_t run, int64_t after, int64_t max,
                           store_past_finding_fn *fn, void *arg, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_i64(&params, run);
	pg_param_i64(&params, after);
	pg_param_i64(&params, max);
	return run_findings(sync, QUERY_HISTORY_FINDINGS, &params, fn, arg, err);
}

int store_history_about(struct pg_sync *sync, const char *resource_id, int64_t max,
                        store_past_finding_fn *fn, void *arg, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_text(&params, resource_id);
	pg_param_i64(&params, max);
	return run_findings(sync, QUERY_EXPLAIN_FINDINGS, &params, fn, arg, err);
}

int store_history_observed(struct pg_sync *sync, struct store_observed *ret, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	if (pg_sync_run(sync, QUERY_HISTORY_OBSERVED, NULL, &res, err) < 0 ||
	    row_check(res, &observed_shape, err) < 0)
		return -1;
	row_get(res, &observed_shape, 0, ret);
	return 0;
}
