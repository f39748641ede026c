#include "store_reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "store_run_private.h"

enum { ACT_TRIES = 5 }; /* of one act, when it met another transaction in a deadlock */

/* ---- statements and their shapes ---- */

struct begun_row {
	bool acquired;
	int64_t run_id, term, t0_us, system_id;
	const char *database, *holder;
	int64_t held_since_us;
};
static const struct row_col begun_cols[] = {
    COL(begun_row, acquired, ROW_BOOL), COL(begun_row, run_id, ROW_I64),
    COL(begun_row, term, ROW_I64),      COL_TIME(begun_row, t0),
    COL(begun_row, system_id, ROW_I64), COL(begun_row, database, ROW_TEXT),
    COL(begun_row, holder, ROW_TEXT),   COL_TIME(begun_row, held_since),
};
static const struct row_shape begun_shape = SHAPE(begun_cols, begun_row);

struct resolved_row {
	struct uuid function_id, team_id;
};
static const struct row_col resolved_cols[] = {
    COL(resolved_row, function_id, ROW_UUID),
    COL(resolved_row, team_id, ROW_UUID),
};
static const struct row_shape resolved_shape = SHAPE(resolved_cols, resolved_row);

static const struct row_col finding_cols[] = {
    COL(store_finding, id, ROW_I64),
    {"class", ROW_TEXT, offsetof(struct store_finding, class_name)},
    COL(store_finding, kind, ROW_TEXT),
    COL(store_finding, resource_id, ROW_TEXT),
    COL(store_finding, parent_id, ROW_TEXT),
    COL(store_finding, team_id, ROW_UUID),
    COL(store_finding, function_id, ROW_UUID),
    COL(store_finding, revision_id, ROW_UUID),
    COL_TIME(store_finding, since),
    COL(store_finding, proof, ROW_TEXT),
    COL(store_finding, action, ROW_TEXT),
    COL(store_finding, verdict, ROW_TEXT),
    COL(store_finding, result, ROW_TEXT),
    COL(store_finding, why, ROW_TEXT),
    COL(store_finding, evidence, ROW_JSON),
};
static const struct row_shape finding_shape = SHAPE(finding_cols, store_finding);

static const struct row_col blast_cols[] = {
    COL(store_blast, team_id, ROW_UUID),
    COL(store_blast, acts, ROW_I64),
    COL(store_blast, owned, ROW_I64),
};
static const struct row_shape blast_shape = SHAPE(blast_cols, store_blast);

static const struct row_col pipeline_cols[] = {
    COL(store_pipeline, unpublished, ROW_I64), COL_TIME(store_pipeline, unpublished_since),
    COL(store_pipeline, undoomed, ROW_I64),    COL_TIME(store_pipeline, undoomed_since),
    COL(store_pipeline, untried, ROW_I64),     COL_TIME(store_pipeline, untried_since),
    COL(store_pipeline, dead, ROW_I64),        COL_TIME(store_pipeline, dead_since),
    COL(store_pipeline, refused, ROW_I64),
};
static const struct row_shape pipeline_shape = SHAPE(pipeline_cols, store_pipeline);

static const struct row_col id_cols[] = {{"id", ROW_I64, offsetof(struct number_row, number)}};
static const struct row_shape id_shape = SHAPE(id_cols, number_row);

int store_ask(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
              const struct row_shape *shape, struct pg_result **ret, struct err *err)
{
	if (pg_sync_run(sync, query, params, ret, err) < 0 || row_check(*ret, shape, err) < 0)
		return -1;
	return row_count(*ret);
}

int store_one_row(const struct pg_result *res, enum query_id query, const struct row_shape *shape,
                  void *ret, struct err *err)
{
	if (row_check(res, shape, err) < 0)
		return -1;
	if (row_count(res) != 1)
		return err_set(err, ERR_FATAL, "row_shape", "%s answered %d rows", sql_queries[query].name,
		               row_count(res));
	row_get(res, shape, 0, ret);
	return 0;
}

/* The row of a query that is run now, and has always one. */
static int ask_one(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                   const struct row_shape *shape, void *ret, struct pg_result **res,
                   struct err *err)
{
	return pg_sync_run(sync, query, params, res, err) < 0
	           ? -1
	           : store_one_row(*res, query, shape, ret, err);
}

void store_item_uuid(struct pg_params *params, struct uuid value)
{
	pg_item_uuid(params, &value);
}

static void item_time(struct pg_params *params, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	pg_item_text(params, text);
}

/* ---- begin and end ---- */

static int set_up(struct pg_sync *sync, int64_t timeout_ms, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_i64(&params, timeout_ms);
	return pg_sync_run(sync, QUERY_RECONCILE_SESSION, &params, NULL, err);
}

static int begin(struct pg_sync *sync, const struct store_run_opts *opts,
                 struct store_run_begun *ret, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct begun_row row;
	pg_params_init(&params);
	pg_param_text(&params, opts->shard);
	pg_param_text(&params, opts->actor);
	pg_param_text(&params, opts->holder);
	pg_param_text(&params, opts->mode);
	pg_param_bool(&params, opts->dry);
	pg_param_uuid(&params, &opts->team_id);
	pg_param_uuid(&params, &opts->function_id);
	pg_param_bool(&params, opts->adopt_volumes);
	if (ask_one(sync, QUERY_RECONCILE_BEGIN, &params, &begun_shape, &row, &res, err) < 0)
		return -1;
	*ret = (struct store_run_begun){
	    .acquired = row.acquired,
	    .run_id = row.run_id,
	    .term = row.term,
	    .t0_us = row.t0_us,
	    .system_id = row.system_id,
	    .held_since_us = row.held_since_us,
	};
	(void)snprintf(ret->database, sizeof(ret->database), "%s", row.database);
	(void)snprintf(ret->holder, sizeof(ret->holder), "%s", row.holder ? row.holder : "");
	return 0;
}

struct store_run *store_run_begin(const struct pg_config *config, const struct store_run_opts *opts,
                                  struct store_run_begun *ret, struct err *err)
{
	AUTO(store_run_close) struct store_run *run = calloc(1, sizeof(*run));
	struct store_run_begun begun;
	if (!run) {
		(void)err_oom(err);
		return NULL;
	}
	buf_init(&run->rows, STORE_ROWS_BYTES_MAX);
	run->sync = pg_sync_open(config, err);
	if (!run->sync || set_up(run->sync, opts->query_timeout_ms, err) < 0 ||
	    begin(run->sync, opts, &begun, err) < 0)
		return NULL;
	run->locked = begun.acquired;
	*ret = begun;
	return TAKE(run);
}

void store_run_close(struct store_run **run)
{
	if (!*run)
		return;
	if ((*run)->diffing)
		pg_sync_cancel((*run)->sync);
	/* The server would give the lock back by itself, but only when it has noticed that we are gone. */
	if ((*run)->locked && pg_sync_run((*run)->sync, QUERY_RECONCILE_END, NULL, NULL, NULL) == 0)
		(*run)->locked = false;
	pg_sync_close(&(*run)->sync);
	buf_done(&(*run)->rows);
	free(*run);
	*run = NULL;
}

int store_run_resolve(const struct pg_config *config, const char *text, const struct uuid *team_id,
                      struct uuid *ret_function, struct uuid *ret_team, struct err *err)
{
	AUTO(pg_sync_close) struct pg_sync *sync = pg_sync_open(config, err);
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct resolved_row row;
	struct uuid id = {0};
	pg_params_init(&params);
	if (!sync)
		return -1;
	if (uuid_parse(text, strlen(text), &id) < 0)
		id = (struct uuid){0};
	pg_param_text(&params, text);
	pg_param_uuid(&params, &id);
	pg_param_uuid(&params, team_id);
	int count = store_ask(sync, QUERY_RECONCILE_RESOLVE, &params, &resolved_shape, &res, err);
	if (count < 0)
		return -1;
	if (count == 0)
		return err_set(err, ERR_REJECT, "unknown", "there is no function %s", text);
	if (count > 1)
		return err_set(err, ERR_REJECT, "ambiguous",
		               "several teams have a function %s: name the team", text);
	row_get(res, &resolved_shape, 0, &row);
	*ret_function = row.function_id;
	*ret_team = row.team_id;
	return 0;
}

/* ---- findings ---- */

int store_run_findings(struct store_run *run, const char *what, int64_t after, int max,
                       store_finding_fn *fn, void *arg, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct store_finding row;
	pg_params_init(&params);
	pg_param_text(&params, what);
	pg_param_i64(&params, after);
	pg_param_i64(&params, max);
	int count = store_ask(run->sync, QUERY_RECONCILE_FINDINGS, &params, &finding_shape, &res, err);
	for (int i = 0; i < count; i++) {
		row_get(res, &finding_shape, i, &row);
		fn(arg, &row);
	}
	return count;
}

int store_run_proofs(struct store_run *run, const struct store_proof *proofs, int count,
                     struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	ARRAY(&params, pg_item_i64, proofs, count, finding);
	ARRAY(&params, pg_item_text, proofs, count, seen);
	ARRAY(&params, pg_item_text, proofs, count, why);
	ARRAY(&params, pg_item_text, proofs, count, details);
	return pg_sync_run(run->sync, QUERY_RECONCILE_PROOFS, &params, NULL, err);
}

int store_run_load(struct store_run *run, const struct store_finding *findings, int count,
                   struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	ARRAY(&params, pg_item_text, findings, count, class_name);
	ARRAY(&params, pg_item_text, findings, count, kind);
	ARRAY(&params, pg_item_text, findings, count, resource_id);
	ARRAY(&params, pg_item_text, findings, count, parent_id);
	ARRAY(&params, store_item_uuid, findings, count, team_id);
	ARRAY(&params, store_item_uuid, findings, count, function_id);
	ARRAY(&params, store_item_uuid, findings, count, revision_id);
	ARRAY(&params, item_time, findings, count, since_us);
	ARRAY(&params, pg_item_text, findings, count, proof);
	ARRAY(&params, pg_item_text, findings, count, action);
	ARRAY(&params, pg_item_text, findings, count, evidence);
	return pg_sync_run(run->sync, QUERY_RECONCILE_LOAD, &params, NULL, err);
}

/* ---- guards and acts ---- */

int store_run_blast(struct store_run *run, int max,
                    void (*fn)(void *arg, const struct store_blast *blast), void *arg,
                    struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct store_blast row;
	pg_params_init(&params);
	pg_param_i64(&params, max);
	int count = store_ask(run->sync, QUERY_RECONCILE_BLAST, &params, &blast_shape, &res, err);
	for (int i = 0; i < count; i++) {
		row_get(res, &blast_shape, i, &row);
		fn(arg, &row);
	}
	return count < 0 ? -1 : 0;
}

/* 40001 serialization failure, 40P01 deadlock: the same again may well succeed. */
static bool worth_another_try(const struct err *err)
{
	return strcmp(err->code, "40001") == 0 || strcmp(err->code, "40P01") == 0;
}

/* The next finding after `after`: 0 when there is none. */
static int act_next(struct store_run *run, int64_t after, int64_t *ret_id, struct err *err)
{
	for (int left = ACT_TRIES;; left--) {
		AUTO(pg_params_done) struct pg_params params;
		AUTO(pg_sync_drop) struct pg_result *res = NULL;
		struct number_row row;
		struct err failed = {0};
		pg_params_init(&params);
		pg_param_i64(&params, after);
		pg_param_bool(&params, left <= 1);
		if (ask_one(run->sync, QUERY_RECONCILE_ACT, &params, &id_shape, &row, &res, &failed) == 0) {
			*ret_id = row.number;
			return 0;
		}
		if (left <= 1 || !worth_another_try(&failed))
			return err_set(err, failed.kind, failed.code, "%s", failed.text);
	}
}

int store_run_act(struct store_run *run, int64_t after, int max, int64_t *ret_last, struct err *err)
{
	int64_t last = after, id = 0;
	int tried = 0;
	while (tried < max) {
		if (act_next(run, last, &id, err) < 0)
			return -1;
		if (id == 0)
			break;
		last = id;
		tried++;
	}
	*ret_last = last;
	return tried;
}

/* ---- the pipeline, the end ---- */

int store_run_pipeline(struct store_run *run, int64_t grace_ms, struct store_pipeline *ret,
                       struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	pg_params_init(&params);
	pg_param_i64(&params, grace_ms);
	return ask_one(run->sync, QUERY_RECONCILE_PIPELINE, &params, &pipeline_shape, ret, &res, err);
}

int store_run_finish(struct store_run *run, const struct store_run_summary *summary,
                     struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_text(&params, summary->outcome);
	pg_param_text(&params, summary->counts);
	pg_param_i64(&params, summary->keep_days);
	return pg_sync_run(run->sync, QUERY_RECONCILE_FINISH, &params, NULL, err);
}
