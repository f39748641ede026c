#include "migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct applied {
	int64_t version;
	const char *name, *sha256;
};
static const struct row_col applied_cols[] = {
    {"version", ROW_I64, offsetof(struct applied, version)},
    {"name", ROW_TEXT, offsetof(struct applied, name)},
    {"sha256", ROW_TEXT, offsetof(struct applied, sha256)},
};
static const struct row_shape applied_shape = {applied_cols, N_OF(applied_cols),
                                               sizeof(struct applied)};

struct there {
	bool there, readable;
};
static const struct row_col there_cols[] = {
    {"there", ROW_BOOL, offsetof(struct there, there)},
    {"readable", ROW_BOOL, offsetof(struct there, readable)},
};
static const struct row_shape there_shape = {there_cols, N_OF(there_cols), sizeof(struct there)};

/* *ret is NULL when the database has never been migrated. */
static int applied_list(struct pg_sync *sync, struct pg_result **ret, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct there row;
	if (pg_sync_run(sync, QUERY_MIGRATE_EXISTS, NULL, &res, err) < 0 ||
	    row_check(res, &there_shape, err) < 0)
		return -1;
	row_get(res, &there_shape, 0, &row);
	*ret = NULL;
	if (!row.there)
		return 0;
	if (!row.readable)
		return err_set(err, ERR_REJECT, "schema",
		               "the database's schema does not let this login or role see its version; run "
		               "`sandsweep migrate up` of this program as the owner of the schema");
	if (pg_sync_run(sync, QUERY_MIGRATE_LIST, NULL, ret, err) < 0)
		return -1;
	return row_check(*ret, &applied_shape, err);
}

int migrate_status(struct pg_sync *sync,
                   void (*report)(void *arg, int version, const char *name, const char *state),
                   void *arg, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	if (applied_list(sync, &res, err) < 0)
		return -1;
	int count = res ? row_count(res) : 0, wrong = 0;
	for (int i = 0; i < count || i < sql_migration_count; i++) {
		struct applied row = {0};
		const struct migration *ours = i < sql_migration_count ? &sql_migrations[i] : NULL;
		if (i < count)
			row_get(res, &applied_shape, i, &row);
		const char *state = i >= count ? "missing"
		                    : !ours    ? "unknown"
		                    : row.version != ours->version || strcmp(row.sha256, ours->sha256) != 0
		                        ? "changed"
		                        : "applied";
		wrong += strcmp(state, "applied") != 0;
		report(arg, ours ? ours->version : (int)row.version, ours ? ours->name : row.name, state);
	}
	return wrong;
}

/* The first migration that is not as it should be. */
struct finding {
	int version;
	char name[64], state[16];
	int applied;
};

static void on_status(void *arg, int version, const char *name, const char *state)
{
	struct finding *finding = arg;
	finding->applied += strcmp(state, "missing") != 0;
	if (strcmp(state, "applied") == 0 || finding->state[0])
		return;
	finding->version = version;
	(void)snprintf(finding->name, sizeof(finding->name), "%s", name);
	(void)snprintf(finding->state, sizeof(finding->state), "%s", state);
}

static int refuse(const struct finding *f, struct err *err)
{
	if (strcmp(f->state, "missing") == 0)
		return err_set(err, ERR_REJECT, "schema",
		               "the database's schema is older than this program (version %d of %d); run "
		               "`sandsweep migrate up`",
		               f->version - 1, sql_migration_count);
	if (strcmp(f->state, "unknown") == 0)
		return err_set(err, ERR_REJECT, "schema",
		               "the database's schema is newer than this program (version %d, this program "
		               "knows %d); install the newer sandsweep",
		               f->version, sql_migration_count);
	return err_set(err, ERR_REJECT, "schema",
	               "migration %d (%s) was applied to the database with another text than this "
	               "program's; see `sandsweep migrate status`",
	               f->version, f->name);
}

int migrate_verify(struct pg_sync *sync, struct err *err)
{
	struct finding finding = {0};
	int wrong = migrate_status(sync, on_status, &finding, err);
	return wrong > 0 ? refuse(&finding, err) : wrong;
}

int migrate_verify_config(const struct pg_config *config, struct err *err)
{
	AUTO(pg_sync_close) struct pg_sync *sync = pg_sync_open(config, err);
	return sync ? migrate_verify(sync, err) : -1;
}

static int record(struct pg_sync *sync, const struct migration *m, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_i64(&params, m->version);
	pg_param_text(&params, m->name);
	pg_param_text(&params, m->sha256);
	return pg_sync_run(sync, QUERY_MIGRATE_RECORD, &params, NULL, err);
}

static int apply(struct pg_sync *sync, const struct migration *m, struct err *err)
{
	struct err inner = {0};
	if (pg_sync_run(sync, QUERY_BEGIN, NULL, NULL, err) < 0)
		return -1;
	if (pg_sync_script(sync, m->sql, &inner) == 0 && record(sync, m, &inner) == 0 &&
	    pg_sync_run(sync, QUERY_COMMIT, NULL, NULL, &inner) == 0)
		return 0;
	struct err ignored = {0};
	(void)!pg_sync_run(sync, QUERY_ROLLBACK, NULL, NULL, &ignored);
	return err_set(err, inner.kind, inner.code, "migration %d (%s) failed and was undone: %s",
	               m->version, m->name, inner.text);
}

int migrate_up(struct pg_sync *sync, void (*report)(void *arg, const struct migration *m),
               void *arg, struct err *err)
{
	struct finding finding = {0};
	if (pg_sync_run(sync, QUERY_MIGRATE_LOCK, NULL, NULL, err) < 0 ||
	    pg_sync_run(sync, QUERY_MIGRATE_SCHEMA, NULL, NULL, err) < 0 ||
	    pg_sync_run(sync, QUERY_MIGRATE_INIT, NULL, NULL, err) < 0)
		return -1;
	int wrong = migrate_status(sync, on_status, &finding, err);
	if (wrong < 0)
		return -1;
	if (wrong > 0 && strcmp(finding.state, "missing") != 0)
		return refuse(&finding, err);
	for (int i = finding.applied; i < sql_migration_count; i++) {
		if (apply(sync, &sql_migrations[i], err) < 0)
			return -1;
		report(arg, &sql_migrations[i]);
	}
	return 0;
}
