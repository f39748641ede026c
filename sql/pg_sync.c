#include "pg_sync.h"

#include <stdlib.h>
#include <string.h>

#include "pg_private.h"

struct pg_sync {
	PGconn *conn;
	const char *copying; /* the query whose outcome nobody has asked for yet; NULL: none */
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

struct pg_sync *pg_sync_open(const struct pg_config *config, struct err *err)
{
	const char *keys[PG_CONNINFO_MAX], *values[PG_CONNINFO_MAX];
	char scratch[PG_SCRATCH_SIZE];
	if (check_dsn(config->dsn, err) < 0)
		return NULL;
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

int pg_sync_run(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                struct pg_result **ret, struct err *err)
{
	const char *values[PG_PARAMS_MAX];
	if (pg_params_values(params, values, err) < 0 || pg_sync_copied(sync, err) < 0)
		return -1;
	PGresult *res = PQexecParams(sync->conn, sql_queries[query].sql, params ? params->count : 0,
	                             NULL, values, NULL, NULL, 1);
	ExecStatusType status = PQresultStatus(res);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
		(void)pg_result_err(err, res, sync->conn, sql_queries[query].name);
		PQclear(res);
		return -1;
	}
	if (ret)
		*ret = (struct pg_result *)res;
	else
		PQclear(res);
	return 0;
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
