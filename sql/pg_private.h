/* What the files of this folder share and nobody else sees: libpq itself. */
#ifndef SQL_PG_PRIVATE_H
#define SQL_PG_PRIVATE_H

#include <libpq-fe.h>

#include "pg.h"

/* struct pg_result is libpq's result under another name, so that no header has to show libpq. */
static inline const PGresult *pg_raw(const struct pg_result *res)
{
	return (const PGresult *)res;
}
static inline const struct pg_result *pg_wrap(const PGresult *res)
{
	return (const struct pg_result *)res;
}

/* The values of params as libpq wants them; the pointers live as long as params does not change.
 * -1: ERR_REJECT "params". */
int pg_params_values(const struct pg_params *params, const char *values[PG_PARAMS_MAX],
                     struct err *err) MUST_CHECK;

/* The error of a failed result, or of the connection when res is NULL. Returns -1. */
int pg_result_err(struct err *err, const PGresult *res, const PGconn *conn, const char *what);

/* The connection parameters: the DSN with our own settings behind it; `prepares`: for a connection
 * that prepares its statements. `ret_*` have `PG_CONNINFO_MAX`
 * places; texts are borrowed from config and from `scratch`. */
enum { PG_CONNINFO_MAX = 8, PG_SCRATCH_SIZE = 512 };
void pg_conninfo(const struct pg_config *config, bool prepares, char scratch[PG_SCRATCH_SIZE],
                 const char *ret_keys[PG_CONNINFO_MAX], const char *ret_values[PG_CONNINFO_MAX]);

#endif
