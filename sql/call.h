/* How the store files of this folder wait for an answer: the caller's callback and argument travel
 * with the statement. */
#ifndef SQL_CALL_H
#define SQL_CALL_H

#include "pg.h"
#include "row.h"

/* Sends `query` and hands its outcome to `done` together with the two pointers. `fn` is the caller's
 * callback under a common type: cast it back before calling it. */
struct call {
	void (*fn)(void);
	void *arg;
};
typedef void call_done_fn(const struct call *call, const struct pg_result *res, const struct err *err);

/* One of pool and conn is NULL. The parameters are done with when it returns. */
int call_send(struct pg_pool *pool, struct pg_conn *conn, enum query_id query, enum pg_mode mode,
              struct pg_params *params, call_done_fn *done, void (*fn)(void), void *arg,
              struct err *err) MUST_CHECK;

#endif
