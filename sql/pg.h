/* Postgres on our loop: connections in pipeline mode, prepared statements from sql/queries, binary
 * results. With pg_sync.h, row.h and migrate.h the only code that knows libpq. */
#ifndef SQL_PG_H
#define SQL_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/uuid.h"
#include "sql_queries.h"

/* Under which rights a connection works: those of its login, or only those of one of the roles that
 * the migrations make. Every program takes its own by itself, so one login can serve them all. */
enum pg_role { PG_ROLE_LOGIN, PG_ROLE_API, PG_ROLE_WORKER, PG_ROLE_RECONCILE };
const char *pg_role_name(enum pg_role role); /* as Postgres knows it; NULL for PG_ROLE_LOGIN */

/* The [postgres] section, and the role. */
struct pg_config {
	const char *dsn;   /* a libpq connection string or URI; secret, required */
	int64_t pool_size; /* connections of one process, beside one that listens */
	int64_t connect_timeout_ms;
	int64_t
	    query_timeout_ms; /* server-side statement_timeout; the client gives up a second later */
	int64_t pending_max;  /* queries waiting on one connection; past it ERR_RETRY */
	enum pg_role role;    /* not a setting: see pg_config_read */
};
extern const struct config_section pg_section;

/* As config_read, for a program that works under `role`. */
int pg_config_read(struct config *config, enum pg_role role, struct pg_config *ret,
                   struct err *err) MUST_CHECK;

/* ---- parameters ----
 * Values of one statement, in the order of $1, $2, ...; text format. Copied by whoever sends. */
enum { PG_PARAMS_MAX = 16, PG_PARAMS_BYTES_MAX = 8 << 20 };
struct pg_params {
	struct buf text;           /* the values, each with its NUL */
	int64_t at[PG_PARAMS_MAX]; /* where each begins in text; -1: NULL */
	int count;
	int team; /* which of them is the team that the statement is about, from 1; 0: none */
};
void pg_params_init(struct pg_params *params);
void pg_params_done(struct pg_params *params);  /* safe on {0} */
void pg_params_clear(struct pg_params *params); /* for the next statement; keeps the memory */
/* A value that does not fit makes the statement fail with ERR_REJECT when it is sent. */
void pg_param_null(struct pg_params *params);
void pg_param_text(struct pg_params *params, const char *value); /* NULL: SQL NULL */
void pg_param_i64(struct pg_params *params, int64_t value);
void pg_param_bool(struct pg_params *params, bool value);
void pg_param_uuid(struct pg_params *params, const struct uuid *value); /* nil: SQL NULL */
/* A uuid as well, and more: only what is this team's is seen and written by the statement, whatever it
 * says, where it is sent over a connection that keeps teams apart (pg_conn_opts.teams). */
void pg_param_team(struct pg_params *params, const struct uuid *value);
/* An array: open, any number of items, close. */
void pg_param_array(struct pg_params *params);
void pg_item_text(struct pg_params *params, const char *value); /* NULL: SQL NULL */
void pg_item_i64(struct pg_params *params, int64_t value);
void pg_item_bool(struct pg_params *params, bool value);
void pg_item_uuid(struct pg_params *params, const struct uuid *value); /* nil: SQL NULL */
void pg_param_array_end(struct pg_params *params);

/* ---- answers ---- */
struct pg_result; /* borrowed during the callback; decode it with row.h */

/* Exactly once for every statement that was taken. `res` is NULL when err is not:
 * ERR_RETRY connection lost (a write may or may not have happened), deadline, serialization
 * failure, deadlock, server starting up or shutting down; ERR_REJECT the data was refused
 * (constraint, our triggers); ERR_FATAL the schema is not what this program was built for.
 * err->code is the SQLSTATE where the server gave one. */
struct pg_call {      /* what travels with a statement for whoever sent it */
	void (*fn)(void); /* a callback of another type, cast back before it is called; may be NULL */
	void *arg;
};
typedef void pg_done_fn(const struct pg_call *call, const struct pg_result *res,
                        const struct err *err);

/* SQLSTATE to an error kind: the one place. NULL sqlstate: the connection broke. */
enum err_kind pg_sqlstate_kind(const char *sqlstate);

/* ---- one connection ---- */
struct pg_conn;
struct pg_conn_opts {
	void (*on_ready)(void *arg);                       /* (re)connected */
	void (*on_lost)(void *arg, const struct err *err); /* and when a connection attempt failed */
	void (*on_notify)(void *arg, const char *channel);
	void *arg;
	/* Each statement works under the team of its parameters, one without a team under none. This costs
	 * a statement more, and no round trip, where the team is another than just before in the group. */
	bool teams;
};
/* Starts to connect; reconnects by itself with backoff (100 ms to 5 s, full jitter), for ever. */
struct pg_conn *pg_conn_new(struct loop *loop, const struct pg_config *config,
                            const struct pg_conn_opts *opts, struct err *err) MUST_CHECK;
void pg_conn_free(struct pg_conn *conn); /* calls back nobody */
bool pg_conn_ready(const struct pg_conn *conn);
int pg_conn_pending(const struct pg_conn *conn);
/* Of those, the ones that leave at the end of this round. */
int pg_conn_gathered(const struct pg_conn *conn);
/* Monotonic microseconds of the last thing that the server said. */
int64_t pg_conn_last_heard_us(const struct pg_conn *conn);

/* A read may share an implicit transaction with other reads of the same round (one round trip for
 * all); when one of them fails the others are sent again. A write is always a transaction of its own. */
enum pg_mode { PG_READ, PG_WRITE };
/* Never blocks. -1 (done is not called): ERR_RETRY not connected or pending_max reached;
 * ERR_REJECT parameters too large. */
int pg_conn_send(struct pg_conn *conn, enum query_id query, enum pg_mode mode,
                 const struct pg_params *params, pg_done_fn *done, struct pg_call call,
                 struct err *err) MUST_CHECK;

/* ---- a pool of them ---- */
struct pg_pool;
/* For PG_ROLE_API every connection keeps teams apart. */
struct pg_pool *pg_pool_new(struct loop *loop, const struct pg_config *config,
                            struct err *err) MUST_CHECK;
void pg_pool_free(struct pg_pool *pool); /* calls back nobody */
/* Takes the connection with the least waiting; but reads of one round are gathered on one connection
 * while there are few of them, since a round trip costs more than a statement. As pg_conn_send. */
int pg_pool_send(struct pg_pool *pool, enum query_id query, enum pg_mode mode,
                 const struct pg_params *params, pg_done_fn *done, struct pg_call call,
                 struct err *err) MUST_CHECK;
/* At least one connection is up and has said something within `within_us`, or had nothing to say.
 * For /readyz and the watchdog. */
bool pg_pool_healthy(const struct pg_pool *pool, int64_t within_us, char why[128]);
int pg_pool_pending(const struct pg_pool *pool);

#endif
