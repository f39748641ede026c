#include "call.h"

#include <stdlib.h>

struct pending {
	struct call call;
	call_done_fn *done;
};

static void on_done(void *arg, const struct pg_result *res, const struct err *err)
{
	struct pending *pending = arg;
	pending->done(&pending->call, res, err);
	free(pending);
}

int call_send(struct pg_pool *pool, struct pg_conn *conn, enum query_id query, enum pg_mode mode,
              struct pg_params *params, call_done_fn *done, void (*fn)(void), void *arg,
              struct err *err)
{
	struct pending *pending = malloc(sizeof(*pending));
	int rc = -1;
	if (!pending)
		(void)err_oom(err);
	else {
		*pending = (struct pending){{fn, arg}, done};
		rc = pool ? pg_pool_send(pool, query, mode, params, on_done, pending, err)
		          : pg_conn_send(conn, query, mode, params, on_done, pending, err);
	}
	if (rc < 0)
		free(pending);
	pg_params_done(params);
	return rc;
}
