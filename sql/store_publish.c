#include "store_publish.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "store_api_private.h"

/* ---- shapes ---- */

/* clang-format off */
#define REVISION_COLS(prefix, type, at) \
	{prefix "id", ROW_UUID, offsetof(struct type, at id)}, \
	{prefix "function_id", ROW_UUID, offsetof(struct type, at function_id)}, \
	{prefix "team_id", ROW_UUID, offsetof(struct type, at team_id)}, \
	{prefix "revision_number", ROW_I64, offsetof(struct type, at revision_number)}, \
	{prefix "source_type", ROW_TEXT, offsetof(struct type, at source_type)}, \
	{prefix "source_sandbox_id", ROW_TEXT, offsetof(struct type, at source_sandbox_id)}, \
	{prefix "source_service_id", ROW_TEXT, offsetof(struct type, at source_service_id)}, \
	{prefix "source_template_id", ROW_TEXT, offsetof(struct type, at source_template_id)}, \
	{prefix "restore_mounts", ROW_JSON, offsetof(struct type, at restore_mounts)}, \
	{prefix "service_snapshot", ROW_JSON, offsetof(struct type, at service_snapshot)}, \
	{prefix "revision_spec", ROW_JSON, offsetof(struct type, at revision_spec)}, \
	{prefix "provenance", ROW_JSON, offsetof(struct type, at provenance)}, \
	{prefix "runtime_sandbox_id", ROW_TEXT, offsetof(struct type, at runtime_sandbox_id)}, \
	{prefix "runtime_context_id", ROW_TEXT, offsetof(struct type, at runtime_context_id)}, \
	{prefix "runtime_updated_at", ROW_TIME, offsetof(struct type, at runtime_updated_at_us)}, \
	{prefix "created_by", ROW_UUID, offsetof(struct type, at created_by)}, \
	{prefix "created_at", ROW_TIME, offsetof(struct type, at created_at_us)}
#define ALIAS_COLS(prefix, type, at) \
	{prefix "function_id", ROW_UUID, offsetof(struct type, at function_id)}, \
	{prefix "alias", ROW_TEXT, offsetof(struct type, at alias)}, \
	{prefix "revision_id", ROW_UUID, offsetof(struct type, at revision_id)}, \
	{prefix "revision_number", ROW_I64, offsetof(struct type, at revision_number)}, \
	{prefix "updated_by", ROW_UUID, offsetof(struct type, at updated_by)}, \
	{prefix "updated_at", ROW_TIME, offsetof(struct type, at updated_at_us)}
#define COL_AS(name, type, field, kind) {name, kind, offsetof(struct type, field)}
/* clang-format on */

static const struct row_col revision_cols[] = {REVISION_COLS("", store_revision, )};
static const struct row_shape revision_shape = SHAPE(revision_cols, store_revision);

static const struct row_col alias_cols[] = {ALIAS_COLS("", store_alias, )};
static const struct row_shape alias_shape = SHAPE(alias_cols, store_alias);

struct alias_set {
	const char *outcome;
	struct store_alias alias;
};
static const struct row_col alias_set_cols[] = {COL(alias_set, outcome, ROW_TEXT),
                                                ALIAS_COLS("", alias_set, alias.)};
static const struct row_shape alias_set_shape = SHAPE(alias_set_cols, alias_set);

struct begun {
	struct uuid function_id;
	bool taken;
};
static const struct row_col begun_cols[] = {COL(begun, function_id, ROW_UUID),
                                            COL(begun, taken, ROW_BOOL)};
static const struct row_shape begun_shape = SHAPE(begun_cols, begun);

struct stepped {
	bool open;
};
static const struct row_col stepped_cols[] = {COL(stepped, open, ROW_BOOL)};
static const struct row_shape stepped_shape = SHAPE(stepped_cols, stepped);

static const struct row_col published_cols[] = {
    COL(store_published, outcome, ROW_TEXT),
    STORE_FUNCTION_COLS("f_", store_published, function.),
    REVISION_COLS("r_", store_published, revision.),
    ALIAS_COLS("a_", store_published, alias.),
};
static const struct row_shape published_shape = SHAPE(published_cols, store_published);

static const struct row_col cleanup_cols[] = {
    COL(store_cleanup, function_id, ROW_UUID),
    COL_AS("deleted_at", store_cleanup, deleted_at_us, ROW_TIME),
    COL(store_cleanup, released, ROW_I64),
    COL(store_cleanup, doomed, ROW_I64),
    COL(store_cleanup, deleting, ROW_I64),
    COL(store_cleanup, dead, ROW_I64),
    COL(store_cleanup, refused, ROW_I64),
    COL(store_cleanup, kind, ROW_TEXT),
    COL(store_cleanup, resource_id, ROW_TEXT),
    COL(store_cleanup, revision_id, ROW_UUID),
    COL(store_cleanup, state, ROW_TEXT),
    COL(store_cleanup, release_reason, ROW_TEXT),
    COL(store_cleanup, attempts, ROW_I64),
    COL(store_cleanup, last_status, ROW_I64),
    COL(store_cleanup, error_class, ROW_TEXT),
    COL(store_cleanup, last_error, ROW_TEXT),
    COL_AS("released_at", store_cleanup, released_at_us, ROW_TIME),
    COL_AS("doomed_at", store_cleanup, doomed_at_us, ROW_TIME),
    COL_AS("next_attempt_at", store_cleanup, next_attempt_at_us, ROW_TIME),
};
static const struct row_shape cleanup_shape = SHAPE(cleanup_cols, store_cleanup);

/* ---- revisions ---- */

static void on_revisions(const struct pg_call *call, const struct pg_result *res,
                         const struct err *failed)
{
	store_revision_fn *fn = (store_revision_fn *)call->fn;
	struct store_revision row;
	struct err err = {0};
	int found = front_single(res, &revision_shape, &row, failed, &err);
	for (int i = 0; found > 0 && i < row_count(res); i++) {
		row_get(res, &revision_shape, i, &row);
		if (!uuid_is_nil(&row.id)) /* the empty row of a function without any */
			fn(call->arg, &row, true, NULL);
	}
	fn(call->arg, NULL, found > 0, found < 0 ? &err : NULL);
}

int store_revision_find(struct pg_pool *pool, const struct store_ref *ref, int64_t number,
                        store_revision_fn *fn, void *arg, struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	if (number > 0)
		pg_param_i64(&params, number);
	else
		pg_param_null(&params);
	return call_send(pool, NULL, QUERY_REVISION_FIND, PG_READ, &params, on_revisions, CALL(fn, arg),
	                 err);
}

/* ---- aliases ---- */

static void on_aliases(const struct pg_call *call, const struct pg_result *res,
                       const struct err *failed)
{
	store_alias_fn *fn = (store_alias_fn *)call->fn;
	struct store_alias row;
	struct err err = {0};
	int found = front_single(res, &alias_shape, &row, failed, &err);
	for (int i = 0; found > 0 && i < row_count(res); i++) {
		row_get(res, &alias_shape, i, &row);
		if (row.alias) /* as above */
			fn(call->arg, &row, true, NULL);
	}
	fn(call->arg, NULL, found > 0, found < 0 ? &err : NULL);
}

int store_alias_find(struct pg_pool *pool, const struct store_ref *ref, const char *alias,
                     store_alias_fn *fn, void *arg, struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	pg_param_text(&params, alias);
	return call_send(pool, NULL, QUERY_ALIAS_FIND, PG_READ, &params, on_aliases, CALL(fn, arg),
	                 err);
}

static enum store_alias_outcome outcome_of(const char *word)
{
	static const char *const words[] = {[STORE_ALIAS_SET] = "set",
	                                    [STORE_ALIAS_NO_FUNCTION] = "no_function",
	                                    [STORE_ALIAS_NO_REVISION] = "no_revision",
	                                    [STORE_ALIAS_CHANGED] = "changed"};
	for (size_t i = 0; i < N_OF(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (enum store_alias_outcome)i;
	return STORE_ALIAS_UNUSED;
}

static void on_alias_set(const struct pg_call *call, const struct pg_result *res,
                         const struct err *failed)
{
	store_alias_set_fn *fn = (store_alias_set_fn *)call->fn;
	struct alias_set row;
	struct err err = {0};
	int found = front_single(res, &alias_set_shape, &row, failed, &err);
	enum store_alias_outcome outcome = found > 0 ? outcome_of(row.outcome) : STORE_ALIAS_UNUSED;
	fn(call->arg, outcome, outcome == STORE_ALIAS_SET ? &row.alias : NULL, found < 0 ? &err : NULL);
}

int store_alias_set(struct pg_pool *pool, const struct store_ref *ref,
                    const struct store_actor *actor, const struct store_match *match,
                    const char *alias, int64_t number, store_alias_set_fn *fn, void *arg,
                    struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	pg_param_text(&params, alias);
	pg_param_i64(&params, number);
	front_who(&params, actor);
	front_match(&params, match);
	pg_param_bool(&params, match->exists);
	front_key(&params, actor);
	return call_send(pool, NULL, QUERY_ALIAS_SET, PG_WRITE, &params, on_alias_set, CALL(fn, arg),
	                 err);
}

int store_alias_replay(struct pg_pool *pool, const struct uuid *team_id,
                       const struct store_actor *actor, store_alias_set_fn *fn, void *arg,
                       struct err *err)
{
	struct pg_params params;
	front_replay(&params, team_id, actor);
	return call_send(pool, NULL, QUERY_REPLAY_ALIAS, PG_READ, &params, on_alias_set, CALL(fn, arg),
	                 err);
}

/* ---- publishing ---- */

static void on_begun(const struct pg_call *call, const struct pg_result *res,
                     const struct err *failed)
{
	struct begun row = {0};
	struct err err = {0};
	int found = front_single(res, &begun_shape, &row, failed, &err);
	((store_publish_begun_fn *)call->fn)(call->arg, &row.function_id, row.taken,
	                                     found < 0 ? &err : NULL);
}

int store_publish_begin(struct pg_pool *pool, const struct store_publish *publish,
                        const struct store_ref *ref, store_publish_begun_fn *fn, void *arg,
                        struct err *err)
{
	struct pg_params params;
	if (ref) {
		front_ref(&params, ref);
		pg_param_null(&params);
	} else {
		pg_params_init(&params);
		pg_param_team(&params, &publish->team_id);
		pg_param_null(&params);
		pg_param_null(&params);
		pg_param_uuid(&params, &publish->function_id);
	}
	pg_param_text(&params, publish->slug);
	pg_param_text(&params, publish->domain_label);
	pg_param_uuid(&params, &publish->revision_id);
	pg_param_uuid(&params, &publish->attempt_id);
	return call_send(pool, NULL, QUERY_PUBLISH_BEGIN, PG_WRITE, &params, on_begun, CALL(fn, arg),
	                 err);
}

static void on_stepped(const struct pg_call *call, const struct pg_result *res,
                       const struct err *failed)
{
	struct stepped row = {0};
	struct err err = {0};
	int found = front_single(res, &stepped_shape, &row, failed, &err);
	((store_publish_step_fn *)call->fn)(call->arg, row.open, found < 0 ? &err : NULL);
}

int store_publish_step(struct pg_pool *pool, const struct store_publish *publish,
                       const struct store_publish_step *step, store_publish_step_fn *fn, void *arg,
                       struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_team(&params, &publish->team_id);
	pg_param_uuid(&params, &publish->attempt_id);
	pg_param_i64(&params, step->number);
	pg_param_text(&params, step->made);
	pg_param_text(&params, step->user_id);
	pg_param_text(&params, step->kind);
	pg_param_text(&params, step->parent);
	return call_send(pool, NULL, QUERY_PUBLISH_STEP, PG_WRITE, &params, on_stepped, CALL(fn, arg),
	                 err);
}

static void on_done(const struct pg_call *call, const struct pg_result *res,
                    const struct err *failed)
{
	(void)res;
	if (call->fn)
		((void (*)(void *, const struct err *))call->fn)(call->arg, failed);
}

int store_publish_fail(struct pg_pool *pool, const struct store_publish *publish, bool refused,
                       void (*fn)(void *arg, const struct err *err), void *arg, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_team(&params, &publish->team_id);
	pg_param_uuid(&params, &publish->attempt_id);
	pg_param_bool(&params, refused);
	return call_send(pool, NULL, QUERY_PUBLISH_FAIL, PG_WRITE, &params, on_done, CALL(fn, arg),
	                 err);
}

static void on_published(const struct pg_call *call, const struct pg_result *res,
                         const struct err *failed)
{
	struct store_published row;
	struct err err = {0};
	int found = front_single(res, &published_shape, &row, failed, &err);
	((store_published_fn *)call->fn)(call->arg, found > 0 ? &row : NULL, found < 0 ? &err : NULL);
}

/* The new function as JSON, or NULL. */
static void new_function_param(struct pg_params *params, const struct store_publish *publish)
{
	if (!publish->create) {
		pg_param_null(params);
		return;
	}
	AUTO(json_drop) json_t *json = json_object();
	AUTO(buf_done) struct buf autoscaling;
	buf_init(&autoscaling, FRONT_AUTOSCALING_MAX);
	front_autoscaling(&autoscaling, publish->create);
	json_put_text(json, "name", publish->create->name);
	json_put_text(json, "slug", publish->slug);
	json_put_text(json, "domain_label", publish->domain_label);
	json_put_json(json, "autoscaling", autoscaling.data);
	char *text = json_text(json);
	pg_param_text(params, text);
	params->text.failed |= !text || autoscaling.failed;
	free(text);
}

int store_publish_end(struct pg_pool *pool, const struct store_publish *publish,
                      const struct store_actor *actor, store_published_fn *fn, void *arg,
                      struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_team(&params, &publish->team_id);
	pg_param_uuid(&params, &publish->function_id);
	pg_param_uuid(&params, &publish->revision_id);
	new_function_param(&params, publish);
	pg_param_text(&params, publish->revision);
	pg_param_bool(&params, publish->promote);
	front_who(&params, actor);
	front_key(&params, actor);
	return call_send(pool, NULL, QUERY_PUBLISH, PG_WRITE, &params, on_published, CALL(fn, arg),
	                 err);
}

int store_publish_replay(struct pg_pool *pool, const struct uuid *team_id,
                         const struct store_actor *actor, store_published_fn *fn, void *arg,
                         struct err *err)
{
	struct pg_params params;
	front_replay(&params, team_id, actor);
	return call_send(pool, NULL, QUERY_REPLAY_PUBLISH, PG_READ, &params, on_published,
	                 CALL(fn, arg), err);
}

/* ---- what is being removed ---- */

static void on_cleanup(const struct pg_call *call, const struct pg_result *res,
                       const struct err *failed)
{
	store_cleanup_fn *fn = (store_cleanup_fn *)call->fn;
	struct store_cleanup row;
	struct err err = {0};
	int found = front_single(res, &cleanup_shape, &row, failed, &err);
	for (int i = 0; found > 0 && i < row_count(res); i++) {
		row_get(res, &cleanup_shape, i, &row);
		fn(call->arg, &row, NULL);
	}
	fn(call->arg, NULL, found < 0 ? &err : NULL);
}

int store_cleanup_get(struct pg_pool *pool, const struct store_ref *ref, int64_t max,
                      store_cleanup_fn *fn, void *arg, struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	pg_param_i64(&params, max);
	return call_send(pool, NULL, QUERY_CLEANUP_GET, PG_READ, &params, on_cleanup, CALL(fn, arg),
	                 err);
}

int store_idempotency_expire(struct pg_pool *pool, int64_t age_ms, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_i64(&params, age_ms);
	return call_send(pool, NULL, QUERY_IDEMPOTENCY_EXPIRE, PG_WRITE, &params, on_done,
	                 CALL(NULL, NULL), err);
}
