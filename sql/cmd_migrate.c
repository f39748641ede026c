#include "cmd_migrate.h"

#include <string.h>

#include "migrate.h"

static void print_applied(void *arg, const struct migration *m)
{
	(void)arg;
	(void)printf("applied %04d %s\n", m->version, m->name);
}

static void print_status(void *arg, int version, const char *name, const char *state)
{
	(void)arg;
	(void)printf("%04d %-24s %s\n", version, name, state);
}

static int run(const char *verb, struct pg_sync *sync, struct err *err)
{
	if (strcmp(verb, "up") == 0)
		return migrate_up(sync, print_applied, NULL, err);
	if (strcmp(verb, "verify") == 0)
		return migrate_verify(sync, err);
	int wrong = migrate_status(sync, print_status, NULL, err);
	return wrong > 0 ? err_set(err, ERR_REJECT, "schema",
	                           "%d migration(s) are not as they should be", wrong)
	                 : wrong;
}

int cmd_migrate(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct err err = {0};
	const char *verb = NULL;
	struct pg_config config;
	int n = cmd_options(argc, argv, NULL, 0, &verb, 1, &err);
	if (n == 0 || (n == 1 && strcmp(verb, "up") != 0 && strcmp(verb, "status") != 0 &&
	               strcmp(verb, "verify") != 0))
		n = err_set(&err, ERR_REJECT, "usage",
		            "say `migrate up`, `migrate status` or `migrate verify`");
	if (n < 0 || pg_config_read(ctx->config, PG_ROLE_LOGIN, &config, &err) < 0)
		return cmd_fail(ctx, &err);
	config.query_timeout_ms =
	    0; /* a large table takes what it takes, and so may the one before us */
	AUTO(pg_sync_close) struct pg_sync *sync = pg_sync_open(&config, &err);
	if (!sync || run(verb, sync, &err) < 0)
		return cmd_fail(ctx, &err);
	if (strcmp(verb, "status") != 0)
		(void)printf("the schema is up to date (version %d)\n", sql_migration_count);
	return CMD_OK;
}
