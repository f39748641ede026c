/* The schema's migrations: embedded, numbered from 1 without gaps, applied in order, each in one
 * transaction, all of them under an advisory lock; each is remembered with the SHA-256 of its text. */
#ifndef SQL_MIGRATE_H
#define SQL_MIGRATE_H

#include "pg_sync.h"

struct migration {
	int version;
	const char *name, *sha256, *sql;
};
extern const struct migration sql_migrations[];
extern const int sql_migration_count;

/* Applies what is missing and calls report(arg, migration) for each. -1: ERR_REJECT "schema" when the database
 * is newer or changed; otherwise as pg_sync_run. Blocks while another one migrates. */
int migrate_up(struct pg_sync *sync, void (*report)(void *arg, const struct migration *m),
               void *arg, struct err *err) MUST_CHECK;

/* 0 when the database has exactly our migrations; -1 ERR_REJECT "schema" with one sentence that says older,
 * newer or changed, and what to do. Every service calls it before it starts. */
int migrate_verify(struct pg_sync *sync, struct err *err) MUST_CHECK;

/* Connects, verifies and closes again. */
int migrate_verify_config(const struct pg_config *config, struct err *err) MUST_CHECK;

/* Calls report for every migration that we or the database have; `state` is "applied", "missing",
 * "changed" or "unknown" (newer than this program). Returns how many are not "applied", -1 on errors. */
int migrate_status(struct pg_sync *sync,
                   void (*report)(void *arg, int version, const char *name, const char *state),
                   void *arg, struct err *err) MUST_CHECK;

#endif
