#include "store_api_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* ---- shapes ---- */

static const struct row_col function_cols[] = {STORE_FUNCTION_COLS("", store_function, )};
static const struct row_shape function_shape = {function_cols, N_OF(function_cols),
                                                sizeof(struct store_function)};

static const struct row_col runtime_cols[] = {
    COL(store_runtime, function_id, ROW_UUID),
    COL(store_runtime, revision_id, ROW_UUID),
    COL(store_runtime, revision_number, ROW_I64),
    COL(store_runtime, enabled, ROW_BOOL),
    COL(store_runtime, sandbox_id, ROW_TEXT),
    COL(store_runtime, context_id, ROW_TEXT),
    {"runtime_updated_at", ROW_TIME, offsetof(struct store_runtime, runtime_updated_at_us)},
    COL(store_runtime, team_id, ROW_UUID),
    {"mapped_at", ROW_TIME, offsetof(struct store_runtime, mapped_at_us)},
    COL(store_runtime, recent_events, ROW_JSON),
    {"min_warm", ROW_TEXT, offsetof(struct store_runtime, autoscaling.min_warm)},
    {"max_active", ROW_TEXT, offsetof(struct store_runtime, autoscaling.max_active)},
    {"target_concurrency", ROW_TEXT,
     offsetof(struct store_runtime, autoscaling.target_concurrency)},
    {"scale_down_after_seconds", ROW_TEXT,
     offsetof(struct store_runtime, autoscaling.scale_down_after_seconds)},
};
static const struct row_shape runtime_shape = {runtime_cols, N_OF(runtime_cols),
                                               sizeof(struct store_runtime)};

/* store_key has its hash in binary, the row in hex. */
struct key_row {
	struct store_key key;
	const char *sha256;
};
static const struct row_col key_cols[] = {
    {"id", ROW_UUID, offsetof(struct key_row, key.id)},
    {"team_id", ROW_UUID, offsetof(struct key_row, key.team_id)},
    {"principal", ROW_UUID, offsetof(struct key_row, key.principal)},
    {"sha256", ROW_TEXT, offsetof(struct key_row, sha256)},
    {"platform_scope", ROW_BOOL, offsetof(struct key_row, key.platform_scope)},
    {"may_read", ROW_BOOL, offsetof(struct key_row, key.may_read)},
    {"may_create", ROW_BOOL, offsetof(struct key_row, key.may_create)},
    {"may_write", ROW_BOOL, offsetof(struct key_row, key.may_write)},
    {"may_delete", ROW_BOOL, offsetof(struct key_row, key.may_delete)},
    {"expires_at", ROW_TIME, offsetof(struct key_row, key.expires_at_us)},
    {"rate_per_second", ROW_I64, offsetof(struct key_row, key.rate_per_second)},
};
static const struct row_shape key_shape = {key_cols, N_OF(key_cols), sizeof(struct key_row)};

/* ---- answers ---- */

int front_single(const struct pg_result *res, const struct row_shape *shape, void *row,
                 const struct err *failed, struct err *err)
{
	if (failed) {
		*err = *failed;
		return -1;
	}
	if (row_check(res, shape, err) < 0)
		return -1;
	if (row_count(res) == 0)
		return 0;
	row_get(res, shape, 0, row);
	return 1;
}

static void on_function(const struct pg_call *call, const struct pg_result *res,
                        const struct err *failed)
{
	struct store_function row;
	struct err err = {0};
	int found = front_single(res, &function_shape, &row, failed, &err);
	((store_function_fn *)call->fn)(call->arg, found > 0 ? &row : NULL, found < 0 ? &err : NULL);
}

static void on_function_list(const struct pg_call *call, const struct pg_result *res,
                             const struct err *failed)
{
	store_function_list_fn *fn = (store_function_list_fn *)call->fn;
	struct store_function row;
	struct err err = {0};
	if (front_single(res, &function_shape, &row, failed, &err) < 0) {
		fn(call->arg, NULL, &err);
		return;
	}
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &function_shape, i, &row);
		fn(call->arg, &row, NULL);
	}
	fn(call->arg, NULL, NULL);
}

static void on_runtime(const struct pg_call *call, const struct pg_result *res,
                       const struct err *failed)
{
	struct store_runtime row;
	struct err err = {0};
	int found = front_single(res, &runtime_shape, &row, failed, &err);
	((store_runtime_fn *)call->fn)(call->arg, found > 0 ? &row : NULL, found < 0 ? &err : NULL);
}

static void on_key(const struct pg_call *call, const struct pg_result *res,
                   const struct err *failed)
{
	struct key_row row;
	struct err err = {0};
	int found = front_single(res, &key_shape, &row, failed, &err);
	if (found > 0 && num_unhex(row.sha256, 2 * (size_t)HASH_SIZE, row.key.sha256) < 0)
		found = err_set(&err, ERR_FATAL, "row_shape", "an API key's hash is not SHA-256 in hex");
	((store_key_fn *)call->fn)(call->arg, found > 0 ? &row.key : NULL, found < 0 ? &err : NULL);
}

static void on_plain(const struct pg_call *call, const struct pg_result *res,
                     const struct err *failed)
{
	(void)res;
	if (call->fn)
		((void (*)(void *, const struct err *))call->fn)(call->arg, failed);
}

/* ---- questions ---- */

void front_ref(struct pg_params *params, const struct store_ref *ref)
{
	struct uuid id = {0};
	pg_params_init(params);
	pg_param_team(params, &ref->team_id);
	pg_param_text(params, ref->text);
	if (uuid_parse(ref->text, strlen(ref->text), &id) < 0)
		id = (struct uuid){0};
	pg_param_uuid(params, &id);
}

void front_who(struct pg_params *params, const struct store_actor *actor)
{
	pg_param_uuid(params, &actor->principal);
	pg_param_text(params, actor->request_id);
}

void front_match(struct pg_params *params, const struct store_match *match)
{
	if (!match->given) {
		pg_param_null(params);
		return;
	}
	pg_param_array(params);
	for (size_t i = 0; i < match->count; i++)
		pg_item_i64(params, match->versions[i]);
	pg_param_array_end(params);
}

void front_key(struct pg_params *params, const struct store_actor *actor)
{
	pg_param_text(params, actor->idempotency_key);
	pg_param_text(params, actor->fingerprint);
}

void front_replay(struct pg_params *params, const struct uuid *team_id,
                  const struct store_actor *actor)
{
	pg_params_init(params);
	pg_param_team(params, team_id);
	front_key(params, actor);
}

int store_function_list(struct pg_pool *pool, const struct uuid *team_id,
                        store_function_list_fn *fn, void *arg, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_team(&params, team_id);
	return call_send(pool, NULL, QUERY_FUNCTION_LIST, PG_READ, &params, on_function_list,
	                 CALL(fn, arg), err);
}

int store_function_page(struct pg_pool *pool, const struct uuid *team_id,
                        const struct store_page *page, store_function_list_fn *fn, void *arg,
                        struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_team(&params, team_id);
	if (page->created_at_us != 0)
		pg_param_i64(&params, page->created_at_us);
	else
		pg_param_null(&params);
	pg_param_uuid(&params, &page->id);
	pg_param_i64(&params, page->limit);
	return call_send(pool, NULL, QUERY_FUNCTION_PAGE, PG_READ, &params, on_function_list,
	                 CALL(fn, arg), err);
}

int store_function_get(struct pg_pool *pool, const struct store_ref *ref, store_function_fn *fn,
                       void *arg, struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	return call_send(pool, NULL, QUERY_FUNCTION_GET, PG_READ, &params, on_function, CALL(fn, arg),
	                 err);
}

void front_autoscaling(struct buf *out, const struct store_function_change *change)
{
	(void)buf_printf(out,
	                 "{\"min_warm\": %lld, \"max_active\": %lld, \"target_concurrency\": %lld, "
	                 "\"scale_down_after_seconds\": %lld}",
	                 (long long)change->min_warm, (long long)change->max_active,
	                 (long long)change->target_concurrency,
	                 (long long)change->scale_down_after_seconds);
}

static void autoscaling_param(struct pg_params *params, const struct store_function_change *change)
{
	AUTO(buf_done) struct buf json;
	buf_init(&json, FRONT_AUTOSCALING_MAX);
	if (change->has_autoscaling)
		front_autoscaling(&json, change);
	pg_param_text(params, json.data);
	params->text.failed |= json.failed;
}

int store_function_update(struct pg_pool *pool, const struct store_ref *ref,
                          const struct store_actor *actor, const struct store_match *match,
                          const struct store_function_change *change, store_function_fn *fn,
                          void *arg, struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	pg_param_text(&params, change->name);
	if (change->has_enabled)
		pg_param_bool(&params, change->enabled);
	else
		pg_param_null(&params);
	autoscaling_param(&params, change);
	front_who(&params, actor);
	pg_param_text(&params, actor->traceparent);
	front_match(&params, match);
	front_key(&params, actor);
	return call_send(pool, NULL, QUERY_FUNCTION_UPDATE, PG_WRITE, &params, on_function,
	                 CALL(fn, arg), err);
}

int store_function_delete(struct pg_pool *pool, const struct store_ref *ref,
                          const struct store_actor *actor, const struct store_match *match,
                          store_function_fn *fn, void *arg, struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	front_who(&params, actor);
	pg_param_text(&params, actor->traceparent);
	front_match(&params, match);
	front_key(&params, actor);
	return call_send(pool, NULL, QUERY_FUNCTION_DELETE, PG_WRITE, &params, on_function,
	                 CALL(fn, arg), err);
}

int store_runtime_get(struct pg_pool *pool, const struct store_ref *ref, store_runtime_fn *fn,
                      void *arg, struct err *err)
{
	struct pg_params params;
	front_ref(&params, ref);
	pg_param_i64(&params, STORE_RUNTIME_EVENTS_MAX);
	return call_send(pool, NULL, QUERY_RUNTIME_GET, PG_READ, &params, on_runtime, CALL(fn, arg),
	                 err);
}

int store_runtime_clear(struct pg_pool *pool, enum store_clear how, const struct store_ref *ref,
                        const struct store_actor *actor, store_runtime_fn *fn, void *arg,
                        struct err *err)
{
	static const char *const types[] = {[STORE_RECYCLE] = "io.sandsweep.runtime.recycled",
	                                    [STORE_RESTART] = "io.sandsweep.runtime.restarted"};
	static const char *const reasons[] = {
	    [STORE_RECYCLE] = "recycled", [STORE_RESTART] = "restarted"};
	struct pg_params params;
	front_ref(&params, ref);
	pg_param_text(&params, types[how]);
	pg_param_text(&params, reasons[how]);
	front_who(&params, actor);
	pg_param_text(&params, actor->traceparent);
	front_key(&params, actor);
	return call_send(pool, NULL, QUERY_RUNTIME_CLEAR, PG_WRITE, &params, on_runtime, CALL(fn, arg),
	                 err);
}

int store_function_replay(struct pg_pool *pool, const struct uuid *team_id,
                          const struct store_actor *actor, store_function_fn *fn, void *arg,
                          struct err *err)
{
	struct pg_params params;
	front_replay(&params, team_id, actor);
	return call_send(pool, NULL, QUERY_REPLAY_FUNCTION, PG_READ, &params, on_function,
	                 CALL(fn, arg), err);
}

int store_runtime_replay(struct pg_pool *pool, const struct uuid *team_id,
                         const struct store_actor *actor, store_runtime_fn *fn, void *arg,
                         struct err *err)
{
	struct pg_params params;
	front_replay(&params, team_id, actor);
	return call_send(pool, NULL, QUERY_REPLAY_RUNTIME, PG_READ, &params, on_runtime, CALL(fn, arg),
	                 err);
}

int store_key_find(struct pg_pool *pool, const uint8_t sha256[HASH_SIZE], store_key_fn *fn,
                   void *arg, struct err *err)
{
	struct pg_params params;
	char hex[HASH_HEX_SIZE];
	num_hex(sha256, HASH_SIZE, hex);
	pg_params_init(&params);
	pg_param_text(&params, hex);
	return call_send(pool, NULL, QUERY_KEY_FIND, PG_READ, &params, on_key, CALL(fn, arg), err);
}

int store_ping(struct pg_pool *pool, void (*fn)(void *arg, const struct err *err), void *arg,
               struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	return call_send(pool, NULL, QUERY_PING, PG_READ, &params, on_plain, CALL(fn, arg), err);
}

int store_wake_relays(struct pg_pool *pool, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	return call_send(pool, NULL, QUERY_WAKE_RELAYS, PG_WRITE, &params, on_plain, CALL(NULL, NULL),
	                 err);
}

/* ---- hearing of changed keys ---- */

struct store_key_watch {
	struct pg_conn *conn;
	void (*on_change)(void *arg);
	void *arg;
};

static void on_listening(const struct pg_call *call, const struct pg_result *res,
                         const struct err *err)
{
	struct store_key_watch *watch = call->arg;
	(void)res;
	if (!err)
		watch->on_change(watch->arg);
}

static void on_watch_ready(void *arg)
{
	struct store_key_watch *watch = arg;
	struct err err = {0};
	/* A failure to send is a connection that was lost again: it comes back here. */
	(void)!pg_conn_send(watch->conn, QUERY_LISTEN_KEYS, PG_WRITE, NULL, on_listening,
	                    CALL(NULL, watch), &err);
}

static void on_key_notice(void *arg, const char *channel)
{
	struct store_key_watch *watch = arg;
	(void)channel;
	watch->on_change(watch->arg);
}

struct store_key_watch *store_key_watch_new(struct loop *loop, const struct pg_config *config,
                                            void (*on_change)(void *arg), void *arg,
                                            struct err *err)
{
	struct store_key_watch *watch = calloc(1, sizeof(*watch));
	if (!watch) {
		(void)err_oom(err);
		return NULL;
	}
	watch->on_change = on_change;
	watch->arg = arg;
	const struct pg_conn_opts opts = {
	    .on_ready = on_watch_ready, .on_notify = on_key_notice, .arg = watch};
	watch->conn = pg_conn_new(loop, config, &opts, err);
	if (watch->conn)
		return watch;
	free(watch);
	return NULL;
}

void store_key_watch_free(struct store_key_watch *watch)
{
	if (!watch)
		return;
	pg_conn_free(watch->conn);
	free(watch);
}
