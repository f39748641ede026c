#include "pg_sync.h"

#include <stdlib.h>
#include <string.h>

#include "pg_private.h"

struct pg_sync {
	PGconn *conn;
	const char *copying; /* the query whose outcome nobody has asked for yet; NULL: none */
	const char *sent;    /* that pg_sync_receive is to be asked for; NULL: none */
};

/* A server that cannot be reached may come back; one that answers and refuses will not. */
static int connect_err(struct err *err, const PGconn *conn)
{
	const char *text = PQerrorMessage(conn);
	bool refused = strstr(text, "FATAL") && !strstr(text, "starting up") &&
	               !strstr(text, "shutting down") && !strstr(text, "too many") &&
	               !strstr(text, "remaining connection slots") &&
	               !strstr(text, "not yet accepting");
	return err_set(err, refused ? ERR_FATAL : ERR_RETRY, "connect",
	               "cannot connect to PostgreSQL: %s", *text ? text : "no answer");
}

static int check_dsn(const char *dsn, struct err *err)
{
	char *text = NULL;
	PQconninfoOption *options = PQconninfoParse(dsn, &text);
	if (!options)
		(void)err_set(err, ERR_REJECT, "config", "postgres.dsn cannot be read: %s",
		              text ? text : "out of memory");
	PQfreemem(text);
	PQconninfoFree(options);
	return options ? 0 : -1;
}

static struct pg_sync *connect_as(const struct pg_config *config, struct err *err)
{
	const char *keys[PG_CONNINFO_MAX], *values[PG_CONNINFO_MAX];
	char scratch[PG_SCRATCH_SIZE];
	struct pg_sync *sync = calloc(1, sizeof(*sync));
	if (!sync) {
		(void)err_oom(err);
		return NULL;
	}
	pg_conninfo(config, false, scratch, keys, values);
	sync->conn = PQconnectdbParams(keys, values, 1);
	if (PQstatus(sync->conn) == CONNECTION_OK)
		return sync;
	(void)connect_err(err, sync->conn);
	pg_sync_close(&sync);
	return NULL;
}

struct connected_row {
	const char *login;
	bool taken, known, allowed;
};
static const struct row_col connected_cols[] = {
    {"login", ROW_TEXT, offsetof(struct connected_row, login)},
    {"taken", ROW_BOOL, offsetof(struct connected_row, taken)},
    {"known", ROW_BOOL, offsetof(struct connected_row, known)},
    {"allowed", ROW_BOOL, offsetof(struct connected_row, allowed)},
};
static const struct row_shape connected_shape = {connected_cols, N_OF(connected_cols),
                                                 sizeof(struct connected_row)};

/* 0 when the connection has the role, -1 and why it has not. */
static int check_role(struct pg_sync *sync, const char *role, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct connected_row row;
	pg_params_init(&params);
	pg_param_text(&params, role);
	if (pg_sync_run(sync, QUERY_CONNECTED, &params, &res, err) < 0 ||
	    row_check(res, &connected_shape, err) < 0)
		return -1;
	row_get(res, &connected_shape, 0, &row);
	if (row.taken)
		return 0;
	if (!row.known)
		return err_set(err, ERR_REJECT, "schema",
		               "PostgreSQL does not know the role %s yet; run `sandsweep migrate up`",
		               role);
	if (!row.allowed)
		return err_set(err, ERR_REJECT, "config",
		               "the login %s may not become the role %s; let a database administrator run "
		               "GRANT %s TO %s",
		               row.login, role, role, row.login);
	return err_set(err, ERR_REJECT, "config",
	               "the connection did not become the role %s, as if a pooler had dropped its "
	               "options; run ALTER ROLE %s SET role = %s",
	               role, row.login, role);
}

/* A server that refuses a connection for its role lets us in without one, to ask why. */
static int refused_role(const struct pg_config *config, const char *role, struct err *err)
{
	struct pg_config plain = *config;
	plain.role = PG_ROLE_LOGIN;
	AUTO(pg_sync_close) struct pg_sync *sync = connect_as(&plain, NULL);
	return sync ? check_role(sync, role, err) : 0;
}

struct pg_sync *pg_sync_open(const struct pg_config *config, struct err *err)
{
	const char *role = pg_role_name(config->role);
	struct err failed = {0};
	if (check_dsn(config->dsn, err) < 0)
		return NULL;
	AUTO(pg_sync_close) struct pg_sync *sync = connect_as(config, &failed);
	if (sync && (!role || check_role(sync, role, err) == 0))
		return TAKE(sync);
	if (!sync && (!role || failed.kind != ERR_FATAL || refused_role(config, role, err) == 0))
		(void)err_set(err, failed.kind, failed.code, "%s", failed.text);
	return NULL;
}

void pg_sync_close(struct pg_sync **sync)
{
	if (!*sync)
		return;
	PQfinish((*sync)->conn);
	free(*sync);
	*sync = NULL;
}

int pg_sync_copied(struct pg_sync *sync, struct err *err)
{
	const char *name = sync->copying;
	int rc = 0;
	if (!name)
		return 0;
	sync->copying = NULL;
	for (PGresult *res; (res = PQgetResult(sync->conn)) != NULL; PQclear(res))
		if (PQresultStatus(res) != PGRES_COMMAND_OK)
			rc = pg_result_err(err, res, sync->conn, name);
	if (PQstatus(sync->conn) != CONNECTION_OK)
		rc = pg_result_err(err, NULL, sync->conn, name);
	return rc;
}

int pg_sync_send(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                 struct err *err)
{
	const struct query *q = &sql_queries[query];
	const char *values[PG_PARAMS_MAX];
	if (pg_params_values(params, values, err) < 0 || pg_sync_copied(sync, err) < 0)
		return -1;
	if (!PQsendQueryParams(sync->conn, q->sql, params ? params->count : 0, NULL, values, NULL, NULL,
	                       1))
		return pg_result_err(err, NULL, sync->conn, q->name);
	sync->sent = q->name;
	return 0;
}

bool pg_sync_busy(struct pg_sync *sync)
{
	return PQconsumeInput(sync->conn) && PQisBusy(sync->conn);
}

int pg_sync_receive(struct pg_sync *sync, struct pg_result **ret, struct err *err)
{
	const char *name = sync->sent;
	PGresult *res = NULL;
	sync->sent = NULL;
	for (PGresult *next; (next = PQgetResult(sync->conn)) != NULL; res = next)
		PQclear(res);
	ExecStatusType status = PQresultStatus(res);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
		(void)pg_result_err(err, res, sync->conn, name);
		PQclear(res);
		return -1;
	}
	if (ret)
		*ret = (struct pg_result *)res;
	else
		PQclear(res);
	return 0;
}

void pg_sync_cancel(struct pg_sync *sync)
{
	char ignored[256];
	PGcancel *cancel = PQgetCancel(sync->conn);
	if (cancel)
		(void)PQcancel(cancel, ignored, sizeof(ignored));
	PQfreeCancel(cancel);
	for (PGresult *res; (res = PQgetResult(sync->conn)) != NULL;)
		PQclear(res);
	sync->sent = NULL;
}

int pg_sync_run(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                struct pg_result **ret, struct err *err)
{
	return pg_sync_send(sync, query, params, err) < 0 ? -1 : pg_sync_receive(sync, ret, err);
}

void pg_sync_drop(struct pg_result **res)
{
	PQclear((PGresult *)*res);
	*res = NULL;
}

int pg_sync_copy(struct pg_sync *sync, enum query_id query, const struct buf *rows, struct err *err)
{
	const struct query *q = &sql_queries[query];
	if (rows->failed)
		return err_oom(err);
	if (pg_sync_copied(sync, err) < 0)
		return -1;
	PGresult *res = PQexec(sync->conn, q->sql);
	int rc =
	    PQresultStatus(res) == PGRES_COPY_IN ? 0 : pg_result_err(err, res, sync->conn, q->name);
	PQclear(res);
	if (rc < 0)
		return -1;
	if (PQputCopyData(sync->conn, rows->data, (int)rows->len) != 1 ||
	    PQputCopyEnd(sync->conn, NULL) != 1)
		return pg_result_err(err, NULL, sync->conn, q->name);
	sync->copying = q->name;
	return 0;
}

int pg_sync_script(struct pg_sync *sync, const char *sql, struct err *err)
{
	PGresult *res = PQexec(sync->conn, sql);
	ExecStatusType status = PQresultStatus(res);
	int rc = 0;
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		rc = pg_result_err(err, res, sync->conn, "migration");
	PQclear(res);
	return rc;
}
