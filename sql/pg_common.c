#include "pg_private.h"

#include <stdio.h>
#include <string.h>

static const struct config_row rows[] = {
    {"dsn", CONFIG_STR, offsetof(struct pg_config, dsn), 0, 0, NULL, true,
     "The database, as a libpq connection string or URI. It holds the function tables (schema "
     "shared_gateway) and Sandsweep's own (schema sandsweep)."},
    {"pool_size", CONFIG_I64, offsetof(struct pg_config, pool_size), 1, 64, "4", false,
     "Connections of one process to the database, beside the one that listens for notices."},
    {"connect_timeout_ms", CONFIG_I64, offsetof(struct pg_config, connect_timeout_ms), 100, 60000,
     "5000", false, "How long one attempt to connect may take."},
    {"query_timeout_ms", CONFIG_I64, offsetof(struct pg_config, query_timeout_ms), 100, 600000,
     "15000", false,
     "How long one statement may run on the server. A second later the connection is given up."},
    {"pending_max", CONFIG_I64, offsetof(struct pg_config, pending_max), 1, 65536, "1024", false,
     "Statements that may wait on one connection; more are refused at once."},
};
const struct config_section pg_section = {
    "postgres", "PostgreSQL: what people asked for, what is owned, what is to be deleted.", rows,
    N_OF(rows), false};

const char *pg_role_name(enum pg_role role)
{
	static const char *const names[] = {[PG_ROLE_API] = "sandsweep_api",
	                                    [PG_ROLE_WORKER] = "sandsweep_worker",
	                                    [PG_ROLE_RECONCILE] = "sandsweep_reconcile"};
	return names[role];
}

int pg_config_read(struct config *config, enum pg_role role, struct pg_config *ret, struct err *err)
{
	if (config_read(config, &pg_section, ret, err) < 0)
		return -1;
	ret->role = role;
	return 0;
}

enum err_kind pg_sqlstate_kind(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		enum err_kind kind;
	} kinds[] = {
	    {"08", ERR_RETRY},    /* connection */
	    {"40", ERR_RETRY},    /* serialization failure, deadlock */
	    {"53", ERR_RETRY},    /* out of disk, memory, connections */
	    {"55", ERR_RETRY},    /* object in use, lock not available */
	    {"54", ERR_REJECT},   /* a limit of the server: a value too long for an index */
	    {"57", ERR_RETRY},    /* cancelled, shutting down, starting up */
	    {"58", ERR_RETRY},    /* I/O */
	    {"25006", ERR_RETRY}, /* read only: a standby before its promotion */
	    {"25P03", ERR_RETRY}, /* the server ended a transaction that had idled */
	    {"22", ERR_REJECT},   /* data */
	    {"23", ERR_REJECT},   /* constraint */
	    {"SW", ERR_REJECT},   /* our own triggers */
	};
	if (!sqlstate || !*sqlstate)
		return ERR_RETRY;
	for (size_t i = 0; i < N_OF(kinds); i++)
		if (strncmp(sqlstate, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return kinds[i].kind;
	return ERR_FATAL;
}

int pg_params_values(const struct pg_params *params, const char *values[PG_PARAMS_MAX],
                     struct err *err)
{
	if (!params)
		return 0;
	if (params->text.failed)
		return err_set(err, ERR_REJECT, "params", "the parameters of a statement are too large");
	for (int i = 0; i < params->count; i++)
		values[i] = params->at[i] < 0 ? NULL : params->text.data + params->at[i];
	return 0;
}

int pg_result_err(struct err *err, const PGresult *res, const PGconn *conn, const char *what)
{
	const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	if (!text || !*text)
		text = PQerrorMessage(conn);
	return err_set(err, pg_sqlstate_kind(state), state ? state : "connection", "%s: %s", what,
	               *text ? text : "the connection was lost");
}

void pg_conninfo(const struct pg_config *config, bool prepares, char scratch[PG_SCRATCH_SIZE],
                 const char *ret_keys[PG_CONNINFO_MAX], const char *ret_values[PG_CONNINFO_MAX])
{
	/* connect_timeout is whole seconds and at least 2 for libpq; our loop has its own, finer one.
	 * The server notices within two minutes that our host is gone, and frees what the session held.
	 * A plan must not depend on statistics that a growing queue has outrun: every statement here is
	 * an index look-up, whatever the planner last knew of the size of a table. What is prepared is
	 * planned once; what runs once is planned for its own values. */
	enum { TIMEOUT_SIZE = 32 };
	char *timeout = scratch, *options = scratch + TIMEOUT_SIZE;
	const char *role = pg_role_name(config->role);
	(void)snprintf(options, PG_SCRATCH_SIZE - TIMEOUT_SIZE,
	               "-c statement_timeout=%lld -c lock_timeout=%lld "
	               "-c idle_in_transaction_session_timeout=60000 -c tcp_keepalives_idle=60 "
	               "-c tcp_keepalives_interval=15 -c tcp_keepalives_count=4 "
	               "-c enable_seqscan=off -c random_page_cost=0.01 -c jit=off%s%s%s",
	               (long long)config->query_timeout_ms, (long long)config->query_timeout_ms,
	               prepares ? " -c plan_cache_mode=force_generic_plan" : "",
	               role ? " -c role=" : "", role ? role : "");
	(void)snprintf(timeout, TIMEOUT_SIZE, "%lld",
	               (long long)((config->connect_timeout_ms + 999) / 1000));
	const char *pairs[][2] = {
	    {"dbname", config->dsn},
	    {"application_name", "sandsweep"},
	    {"options", options},
	    {"connect_timeout", timeout},
	    {"client_encoding", "UTF8"},
	    {"tcp_user_timeout", "30000"},
	    {NULL, NULL},
	};
	for (size_t i = 0; i < N_OF(pairs); i++) {
		ret_keys[i] = pairs[i][0];
		ret_values[i] = pairs[i][1];
	}
}
