#include "store_worker.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "call.h"

/* ---- doom ---- */

struct doom_row {
	int64_t at;
	const char *refusal;
	int64_t doomed;
};
static const struct row_col doom_cols[] = {
    {"at", ROW_I64, offsetof(struct doom_row, at)},
    {"refusal", ROW_TEXT, offsetof(struct doom_row, refusal)},
    {"doomed", ROW_I64, offsetof(struct doom_row, doomed)},
};
static const struct row_shape doom_shape = {doom_cols, N_OF(doom_cols), sizeof(struct doom_row)};

static void on_doom(const struct pg_call *call, const struct pg_result *res,
                    const struct err *failed)
{
	store_doom_fn *fn = (store_doom_fn *)call->fn;
	struct doom_row row = {0};
	struct err err = {0};
	if (failed)
		err = *failed;
	else
		(void)!row_check(res, &doom_shape, &err);
	if (err.kind != ERR_NONE) {
		fn(call->arg, -1, "", 0, &err);
		return;
	}
	int64_t doomed = 0;
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &doom_shape, i, &row);
		if (row.at > 0)
			fn(call->arg, (int)row.at - 1, row.refusal, 0, NULL);
		else
			doomed = row.doomed;
	}
	fn(call->arg, -1, "", doomed, NULL);
}

/* One array parameter of uuids, by the offset of the field. */
static void uuid_array(struct pg_params *params, const struct store_doom *items, int count,
                       size_t offset)
{
	pg_param_array(params);
	for (int i = 0; i < count; i++)
		pg_item_uuid(params, (const struct uuid *)(const void *)((const char *)&items[i] + offset));
	pg_param_array_end(params);
}

int store_doom(struct pg_pool *pool, const struct store_doom *items, int count, store_doom_fn *fn,
               void *arg, struct err *err)
{
	static const char *const scopes[] = {[STORE_SCOPE_SANDBOX] = "sandbox",
	                                     [STORE_SCOPE_DISABLED] = "disabled",
	                                     [STORE_SCOPE_DELETED] = "deleted"};
	struct pg_params params;
	pg_params_init(&params);
	uuid_array(&params, items, count, offsetof(struct store_doom, event_id));
	pg_param_array(&params);
	for (int i = 0; i < count; i++)
		pg_item_text(&params, scopes[items[i].scope]);
	pg_param_array_end(&params);
	uuid_array(&params, items, count, offsetof(struct store_doom, team_id));
	uuid_array(&params, items, count, offsetof(struct store_doom, function_id));
	uuid_array(&params, items, count, offsetof(struct store_doom, revision_id));
	pg_param_array(&params);
	for (int i = 0; i < count; i++)
		pg_item_text(&params, items[i].scope == STORE_SCOPE_SANDBOX ? items[i].sandbox_id : NULL);
	pg_param_array_end(&params);
	pg_param_array(&params);
	for (int i = 0; i < count; i++)
		pg_item_text(&params, *items[i].traceparent ? items[i].traceparent : NULL);
	pg_param_array_end(&params);
	return call_send(pool, NULL, QUERY_DOOM, PG_WRITE, &params, on_doom, CALL(fn, arg), err);
}

/* ---- claim ---- */

static const struct row_col claim_cols[] = {
    {"id", ROW_I64, offsetof(struct store_claimed, id)},
    {"lease", ROW_I64, offsetof(struct store_claimed, lease)},
    {"kind", ROW_TEXT, offsetof(struct store_claimed, kind)},
    {"resource_id", ROW_TEXT, offsetof(struct store_claimed, resource_id)},
    {"parent_id", ROW_TEXT, offsetof(struct store_claimed, parent_id)},
    {"team_id", ROW_UUID, offsetof(struct store_claimed, team_id)},
    {"attempts", ROW_I64, offsetof(struct store_claimed, attempts)},
    {"accepted_at", ROW_TIME, offsetof(struct store_claimed, accepted_at_us)},
    {"traceparent", ROW_TEXT, offsetof(struct store_claimed, traceparent)},
    {"last_team", ROW_UUID, offsetof(struct store_claimed, last_team)},
    {"more_teams", ROW_BOOL, offsetof(struct store_claimed, more_teams)},
    {"looked_at", ROW_I64, offsetof(struct store_claimed, looked_at)},
};
static const struct row_shape claim_shape = {claim_cols, N_OF(claim_cols),
                                             sizeof(struct store_claimed)};

static void on_claim(const struct pg_call *call, const struct pg_result *res,
                     const struct err *failed)
{
	store_claim_fn *fn = (store_claim_fn *)call->fn;
	struct store_claimed row = {0};
	struct err err = {0};
	if (failed)
		err = *failed;
	else
		(void)!row_check(res, &claim_shape, &err);
	if (err.kind != ERR_NONE) {
		fn(call->arg, NULL, NULL, &err);
		return;
	}
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &claim_shape, i, &row);
		if (row.id)
			fn(call->arg, &row, NULL, NULL);
	}
	fn(call->arg, NULL, &row, NULL);
}

int store_claim(struct pg_pool *pool, const struct store_claim *claim, store_claim_fn *fn,
                void *arg, struct err *err)
{
	struct pg_params params;
	char after[UUID_TEXT_SIZE];
	pg_params_init(&params);
	pg_param_text(&params, claim->worker);
	pg_param_i64(&params, claim->lease_ms);
	pg_param_i64(&params, claim->rows_max);
	pg_param_i64(&params, claim->teams_max);
	pg_param_i64(&params, claim->rows_per_team);
	uuid_format(&claim->after_team, after); /* the nil UUID is before all teams, not NULL */
	pg_param_text(&params, after);
	pg_param_array(&params);
	for (int i = 0; i < claim->skip_count; i++)
		pg_item_uuid(&params, &claim->skip_teams[i]);
	pg_param_array_end(&params);
	pg_param_i64(&params, claim->wait_ms);
	pg_param_i64(&params, claim->budget_per_hour);
	pg_param_i64(&params, claim->budget_share_percent);
	pg_param_i64(&params, claim->budget_min);
	return call_send(pool, NULL, QUERY_CLAIM, PG_WRITE, &params, on_claim, CALL(fn, arg), err);
}

/* ---- record ---- */

struct record_row {
	int64_t recorded, dead;
};
static const struct row_col record_cols[] = {
    {"recorded", ROW_I64, offsetof(struct record_row, recorded)},
    {"dead", ROW_I64, offsetof(struct record_row, dead)},
};
static const struct row_shape record_shape = {record_cols, N_OF(record_cols),
                                              sizeof(struct record_row)};

static void on_record(const struct pg_call *call, const struct pg_result *res,
                      const struct err *failed)
{
	store_record_fn *fn = (store_record_fn *)call->fn;
	struct record_row row = {0};
	struct err err = {0};
	if (failed)
		err = *failed;
	else if (row_check(res, &record_shape, &err) == 0)
		row_get(res, &record_shape, 0, &row);
	fn(call->arg, row.recorded, row.dead, err.kind == ERR_NONE ? NULL : &err);
}

static void record_item(struct pg_params *params, int column, const struct store_outcome *o)
{
	static const char *const kinds[] = {
	    [STORE_GONE] = "gone", [STORE_FAIL] = "fail", [STORE_LATER] = "later"};
	switch (column) {
	case 0: pg_item_i64(params, o->id); return;
	case 1: pg_item_i64(params, o->lease); return;
	case 2: pg_item_text(params, kinds[o->kind]); return;
	case 3: pg_item_i64(params, o->wait_ms); return;
	case 4:
		if (o->status < 0)
			pg_item_text(params, NULL);
		else
			pg_item_i64(params, o->status);
		return;
	case 5: pg_item_text(params, o->error_class); return;
	case 6: pg_item_text(params, o->error); return;
	default: pg_item_bool(params, o->accepted); return;
	}
}

int store_record(struct pg_pool *pool, const struct store_outcome *outcomes, int count,
                 int64_t max_attempts, store_record_fn *fn, void *arg, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	for (int column = 0; column < 8; column++) {
		pg_param_array(&params);
		for (int i = 0; i < count; i++)
			record_item(&params, column, &outcomes[i]);
		pg_param_array_end(&params);
	}
	pg_param_i64(&params, max_attempts);
	return call_send(pool, NULL, QUERY_RECORD, PG_WRITE, &params, on_record, CALL(fn, arg), err);
}

/* ---- health ---- */

static const struct row_col health_cols[] = {
    {"oldest_released_at", ROW_TIME, offsetof(struct store_health, oldest_released_at_us)},
    {"oldest_outbox_at", ROW_TIME, offsetof(struct store_health, oldest_outbox_at_us)},
    {"dead", ROW_I64, offsetof(struct store_health, dead)},
    {"refused", ROW_I64, offsetof(struct store_health, refused)},
    {"paused", ROW_I64, offsetof(struct store_health, paused)},
    {"oldest_drift_at", ROW_TIME, offsetof(struct store_health, oldest_drift_at_us)},
    {"last_reconciled_at", ROW_TIME, offsetof(struct store_health, last_reconciled_at_us)},
    {"at", ROW_TIME, offsetof(struct store_health, at_us)},
};
static const struct row_shape health_shape = {health_cols, N_OF(health_cols),
                                              sizeof(struct store_health)};

static void on_health(const struct pg_call *call, const struct pg_result *res,
                      const struct err *failed)
{
	void (*fn)(void *, const struct store_health *, const struct err *) =
	    (void (*)(void *, const struct store_health *, const struct err *))call->fn;
	struct store_health row;
	struct err err = {0};
	if (failed)
		err = *failed;
	else if (row_check(res, &health_shape, &err) == 0)
		row_get(res, &health_shape, 0, &row);
	fn(call->arg, err.kind == ERR_NONE ? &row : NULL, err.kind == ERR_NONE ? NULL : &err);
}

int store_health(struct pg_pool *pool,
                 void (*fn)(void *arg, const struct store_health *health, const struct err *err),
                 void *arg, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	return call_send(pool, NULL, QUERY_WORKER_HEALTH, PG_READ, &params, on_health, CALL(fn, arg),
	                 err);
}
