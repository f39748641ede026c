#include "store_targets.h"

#include <string.h>

#include "base/num.h"

static const struct row_col target_cols[] = {
    COL(store_target, id, ROW_I64),
    COL(store_target, kind, ROW_TEXT),
    COL(store_target, resource_id, ROW_TEXT),
    COL(store_target, state, ROW_TEXT),
    COL(store_target, attempts, ROW_I64),
    COL(store_target, last_status, ROW_I64),
    COL(store_target, error_class, ROW_TEXT),
    COL(store_target, last_error, ROW_TEXT),
    COL(store_target, team_id, ROW_UUID),
    COL(store_target, function_id, ROW_UUID),
    COL(store_target, revision_id, ROW_UUID),
    COL(store_target, parent_id, ROW_TEXT),
    COL(store_target, release_reason, ROW_TEXT),
    COL(store_target, doom_reason, ROW_TEXT),
    COL(store_target, lease_owner, ROW_TEXT),
    COL_TIME(store_target, created_at),
    COL_TIME(store_target, released_at),
    COL_TIME(store_target, doomed_at),
    COL_TIME(store_target, deleting_at),
    COL_TIME(store_target, ended_at),
    COL_TIME(store_target, due_at),
    COL(store_target, evidence, ROW_JSON),
};
static const struct row_shape target_shape = {target_cols, N_OF(target_cols),
                                              sizeof(struct store_target)};

struct id_row {
	int64_t id;
};
static const struct row_col id_cols[] = {{"id", ROW_I64, offsetof(struct id_row, id)}};
static const struct row_shape id_shape = {id_cols, N_OF(id_cols), sizeof(struct id_row)};

static const struct row_col outcome_cols[] = {
    {"total", ROW_I64, offsetof(struct store_target_outcomes, total)},
    {"gone", ROW_I64, offsetof(struct store_target_outcomes, gone)},
    {"failed", ROW_I64, offsetof(struct store_target_outcomes, failed)},
};
static const struct row_shape outcome_shape = {outcome_cols, N_OF(outcome_cols),
                                               sizeof(struct store_target_outcomes)};

static void ids_param(struct pg_params *params, const int64_t *ids, int count)
{
	pg_param_array(params);
	for (int i = 0; i < count; i++)
		pg_item_i64(params, ids[i]);
	pg_param_array_end(params);
}

/* Runs a query whose rows are targets. */
static int run_targets(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                       store_target_fn *fn, void *arg, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct store_target row;
	if (pg_sync_run(sync, query, params, &res, err) < 0 || row_check(res, &target_shape, err) < 0)
		return -1;
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &target_shape, i, &row);
		fn(arg, &row);
	}
	return row_count(res);
}

int store_target_list(struct pg_sync *sync, const struct store_target_filter *filter,
                      store_target_fn *fn, void *arg, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_text(&params, filter->state);
	pg_param_text(&params, filter->kind);
	pg_param_text(&params, filter->error_class);
	pg_param_uuid(&params, &filter->team_id);
	pg_param_uuid(&params, &filter->function_id);
	pg_param_i64(&params, filter->after);
	pg_param_i64(&params, filter->max);
	return run_targets(sync, QUERY_TARGET_LIST, &params, fn, arg, err);
}

int store_target_show(struct pg_sync *sync, const char *text, store_target_fn *fn, void *arg,
                      struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	int64_t number;
	pg_params_init(&params);
	pg_param_text(&params, text);
	if (num_i64(text, strlen(text), 1, INT64_MAX, &number) == 0)
		pg_param_i64(&params, number);
	else
		pg_param_null(&params);
	return run_targets(sync, QUERY_TARGET_SHOW, &params, fn, arg, err);
}

int store_target_pick(struct pg_sync *sync, const struct store_target_filter *filter, int64_t *ret,
                      struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct id_row row;
	pg_params_init(&params);
	pg_param_text(&params, filter->state);
	pg_param_text(&params, filter->error_class);
	pg_param_uuid(&params, &filter->team_id);
	if (filter->ids)
		ids_param(&params, filter->ids, filter->id_count);
	else
		pg_param_null(&params);
	pg_param_i64(&params, filter->after);
	pg_param_i64(&params, filter->max);
	if (pg_sync_run(sync, QUERY_TARGET_PICK, &params, &res, err) < 0 ||
	    row_check(res, &id_shape, err) < 0)
		return -1;
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &id_shape, i, &row);
		ret[i] = row.id;
	}
	return row_count(res);
}

int store_target_redrive(struct pg_sync *sync, const int64_t *ids, int count, int64_t spacing_us,
                         const char *actor, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	pg_params_init(&params);
	ids_param(&params, ids, count);
	pg_param_i64(&params, spacing_us);
	pg_param_text(&params, actor);
	if (pg_sync_run(sync, QUERY_TARGET_REDRIVE, &params, &res, err) < 0)
		return -1;
	return row_count(res);
}

int store_target_outcomes(struct pg_sync *sync, const int64_t *ids, int count,
                          struct store_target_outcomes *ret, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	pg_params_init(&params);
	ids_param(&params, ids, count);
	if (pg_sync_run(sync, QUERY_TARGET_OUTCOMES, &params, &res, err) < 0 ||
	    row_check(res, &outcome_shape, err) < 0)
		return -1;
	row_get(res, &outcome_shape, 0, ret);
	return 0;
}

int store_target_refuse(struct pg_sync *sync, int64_t id, const char *why, const char *actor,
                        bool *ret_done, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	pg_params_init(&params);
	pg_param_i64(&params, id);
	pg_param_text(&params, why);
	pg_param_text(&params, actor);
	if (pg_sync_run(sync, QUERY_TARGET_REFUSE, &params, &res, err) < 0)
		return -1;
	*ret_done = row_count(res) > 0;
	return 0;
}
