#include "store_worker.h"

#include <stdio.h>
#include <stdlib.h>

#include "call.h"

enum { ELECTION_RETRY_US = 1000000 };

struct store_outbox {
	struct loop *loop;
	struct pg_conn *conn;
	struct store_outbox_opts opts;
	struct loop_timer election; /* stand again */
	bool elected;
};

struct election_row {
	bool elected;
};
static const struct row_col election_cols[] = {
    {"elected", ROW_BOOL, offsetof(struct election_row, elected)}};
static const struct row_shape election_shape = {election_cols, N_OF(election_cols),
                                                sizeof(struct election_row)};

static const struct row_col outbox_cols[] = {
    {"id", ROW_I64, offsetof(struct store_outbox_row, id)},
    {"event_id", ROW_UUID, offsetof(struct store_outbox_row, event_id)},
    {"function_id", ROW_UUID, offsetof(struct store_outbox_row, function_id)},
    {"created_at", ROW_TIME, offsetof(struct store_outbox_row, created_at_us)},
    {"channel", ROW_TEXT, offsetof(struct store_outbox_row, channel)},
    {"type", ROW_TEXT, offsetof(struct store_outbox_row, type)},
    {"traceparent", ROW_TEXT, offsetof(struct store_outbox_row, traceparent)},
    {"data", ROW_TEXT, offsetof(struct store_outbox_row, data)},
};
static const struct row_shape outbox_shape = {outbox_cols, N_OF(outbox_cols),
                                              sizeof(struct store_outbox_row)};

static void set_elected(struct store_outbox *outbox, bool elected)
{
	if (outbox->elected == elected)
		return;
	outbox->elected = elected;
	outbox->opts.on_elected(outbox->opts.arg, elected);
}

static void on_election(const struct pg_call *call, const struct pg_result *res,
                        const struct err *failed)
{
	struct store_outbox *outbox = call->arg;
	struct election_row row = {0};
	struct err err = {0};
	if (!failed && row_check(res, &election_shape, &err) == 0)
		row_get(res, &election_shape, 0, &row);
	if (row.elected)
		set_elected(outbox, true);
	else
		loop_timer_set(outbox->loop, &outbox->election, ELECTION_RETRY_US);
}

static void stand(void *arg)
{
	struct store_outbox *outbox = arg;
	struct err err = {0};
	if (pg_conn_ready(outbox->conn) && !outbox->elected &&
	    pg_conn_send(outbox->conn, QUERY_RELAY_ELECT, PG_WRITE, NULL, on_election,
	                 CALL(NULL, outbox), &err) < 0)
		loop_timer_set(outbox->loop, &outbox->election, ELECTION_RETRY_US);
}

static void on_listening(const struct pg_call *call, const struct pg_result *res,
                         const struct err *err)
{
	struct store_outbox *outbox = call->arg;
	(void)res;
	if (!err) /* notices may have been missed while nobody listened */
		outbox->opts.on_wake(outbox->opts.arg);
}

static void on_ready(void *arg)
{
	struct store_outbox *outbox = arg;
	struct err err = {0};
	(void)!pg_conn_send(outbox->conn, QUERY_LISTEN_OUTBOX, PG_WRITE, NULL, on_listening,
	                    CALL(NULL, outbox), &err);
	stand(outbox);
}

static void on_lost(void *arg, const struct err *err)
{
	struct store_outbox *outbox = arg;
	(void)err; /* the pool tells of the outage */
	loop_timer_stop(outbox->loop, &outbox->election);
	set_elected(outbox, false);
}

static void on_notify(void *arg, const char *channel)
{
	struct store_outbox *outbox = arg;
	(void)channel;
	outbox->opts.on_wake(outbox->opts.arg);
}

struct store_outbox *store_outbox_new(struct loop *loop, const struct pg_config *config,
                                      const struct store_outbox_opts *opts, struct err *err)
{
	struct store_outbox *outbox = calloc(1, sizeof(*outbox));
	if (!outbox) {
		(void)err_oom(err);
		return NULL;
	}
	outbox->loop = loop;
	outbox->opts = *opts;
	loop_timer_init(&outbox->election, stand, outbox);
	const struct pg_conn_opts conn_opts = {
	    .on_ready = on_ready, .on_lost = on_lost, .on_notify = on_notify, .arg = outbox};
	outbox->conn = pg_conn_new(loop, config, &conn_opts, err);
	if (outbox->conn)
		return outbox;
	free(outbox);
	return NULL;
}

void store_outbox_free(struct store_outbox *outbox)
{
	if (!outbox)
		return;
	loop_timer_stop(outbox->loop, &outbox->election);
	pg_conn_free(outbox->conn);
	free(outbox);
}

static void on_fetch(const struct pg_call *call, const struct pg_result *res,
                     const struct err *failed)
{
	store_outbox_fn *fn = (store_outbox_fn *)call->fn;
	struct store_outbox_row row;
	struct err err = {0};
	if (failed)
		err = *failed;
	else
		(void)!row_check(res, &outbox_shape, &err);
	for (int i = 0; err.kind == ERR_NONE && i < row_count(res); i++) {
		row_get(res, &outbox_shape, i, &row);
		fn(call->arg, &row, NULL);
	}
	fn(call->arg, NULL, err.kind == ERR_NONE ? NULL : &err);
}

int store_outbox_fetch(struct store_outbox *outbox, int64_t after, int max, store_outbox_fn *fn,
                       void *arg, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_i64(&params, after);
	pg_param_i64(&params, max);
	return call_send(NULL, outbox->conn, QUERY_OUTBOX_FETCH, PG_READ, &params, on_fetch,
	                 CALL(fn, arg), err);
}

static void on_deleted(const struct pg_call *call, const struct pg_result *res,
                       const struct err *err)
{
	(void)res;
	((void (*)(void *, const struct err *))call->fn)(call->arg, err);
}

int store_outbox_delete(struct store_outbox *outbox, const int64_t *ids, int count,
                        void (*fn)(void *arg, const struct err *err), void *arg, struct err *err)
{
	struct pg_params params;
	pg_params_init(&params);
	pg_param_array(&params);
	for (int i = 0; i < count; i++)
		pg_item_i64(&params, ids[i]);
	pg_param_array_end(&params);
	return call_send(NULL, outbox->conn, QUERY_OUTBOX_DELETE, PG_WRITE, &params, on_deleted,
	                 CALL(fn, arg), err);
}

bool store_outbox_healthy(const struct store_outbox *outbox, char why[128])
{
	if (pg_conn_ready(outbox->conn))
		return true;
	(void)snprintf(why, 128, "the outbox connection to PostgreSQL is down");
	return false;
}
