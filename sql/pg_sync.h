/* Postgres for commands that a person waits for: one blocking connection. */
#ifndef SQL_PG_SYNC_H
#define SQL_PG_SYNC_H

#include "base/buf.h"
#include "pg.h"
#include "row.h"

struct pg_sync;

/* Blocks at most connect_timeout_ms, and when refused for its role once more for as long. NULL and *err:
 * ERR_RETRY (server away), ERR_REJECT "config" (a connection string that cannot be read, a login that may
 * not become the role), ERR_REJECT "schema" (no such role yet), ERR_FATAL (refused: password, database). */
struct pg_sync *pg_sync_open(const struct pg_config *config, struct err *err) MUST_CHECK;
void pg_sync_close(struct pg_sync **sync); /* for AUTO */

/* Runs one statement of sql/queries in a transaction of its own, blocking at most query_timeout_ms.
 * The result (may be empty, never NULL on success) is freed with pg_sync_drop; `ret` may be NULL. */
int pg_sync_run(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                struct pg_result **ret, struct err *err) MUST_CHECK;
void pg_sync_drop(struct pg_result **res); /* for AUTO */

/* The same in two steps: the server works while the caller does something else. Nothing else may be asked of
 * the connection in between. */
int pg_sync_send(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                 struct err *err) MUST_CHECK;
bool pg_sync_busy(struct pg_sync *sync); /* pg_sync_receive would have to wait; never blocks */
int pg_sync_receive(struct pg_sync *sync, struct pg_result **ret, struct err *err) MUST_CHECK;
/* Instead of pg_sync_receive: lets the server break off what was sent, and waits until it has. */
void pg_sync_cancel(struct pg_sync *sync);

/* Runs a COPY ... FROM STDIN of sql/queries over whole rows of copy.h. Blocks until the server has taken
 * the bytes, not until it has worked through them: what went wrong there is said by the next call on
 * this connection; pg_sync_copied waits for all of it. (So the server works while the next rows are
 * gathered, and no transaction is open between two of them.) */
int pg_sync_copy(struct pg_sync *sync, enum query_id query, const struct buf *rows,
                 struct err *err) MUST_CHECK;
int pg_sync_copied(struct pg_sync *sync, struct err *err) MUST_CHECK;

/* Runs several statements of SQL text as they are (migrations only). */
int pg_sync_script(struct pg_sync *sync, const char *sql, struct err *err) MUST_CHECK;

#endif
