#include "call.h"

int call_send(struct pg_pool *pool, struct pg_conn *conn, enum query_id query, enum pg_mode mode,
              struct pg_params *params, pg_done_fn *done, struct pg_call call, struct err *err)
{
	int rc = pool ? pg_pool_send(pool, query, mode, params, done, call, err)
	              : pg_conn_send(conn, query, mode, params, done, call, err);
	pg_params_done(params);
	return rc;
}
