/* How the store files of this folder send a statement. */
#ifndef SQL_CALL_H
#define SQL_CALL_H

#include "pg.h"
#include "row.h"

/* Sends `query` over the pool, or over the connection where pool is NULL, and is done with the
 * parameters in any case. As pg_conn_send. */
int call_send(struct pg_pool *pool, struct pg_conn *conn, enum query_id query, enum pg_mode mode,
              struct pg_params *params, pg_done_fn *done, struct pg_call call,
              struct err *err) MUST_CHECK;

/* The caller's callback, whatever its type, and its argument. */
#define CALL(callback, argument) ((struct pg_call){(void (*)(void))(callback), (argument)})

#endif
