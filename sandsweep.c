/* The command table: one row per command, nothing else. */
#include "api/api.h"
#include "api/cmd_api.h"
#include "api/cmd_keys.h"
#include "base/cmd.h"
#include "base/log.h"
#include "platform/platform.h"
#include "queue/cmd_topics.h"
#include "queue/kafka.h"
#include "reconcile/cmd_explain.h"
#include "reconcile/cmd_reconcile.h"
#include "reconcile/reconcile.h"
#include "sql/cmd_migrate.h"
#include "sql/pg.h"
#include "worker/cmd_targets.h"
#include "worker/cmd_worker.h"
#include "worker/executor.h"

static const struct cmd commands[] = {
    {"api", "[--port-file FILE]\n--routes", "serve the function HTTP API, or list its routes",
     cmd_api},
    {"worker", "", "publish and consume events, delete what is doomed", cmd_worker},
    {"migrate", "up|status|verify", "bring the database's schema up to date, or look at it",
     cmd_migrate},
    {"topics", "create", "create the Kafka topics that do not exist yet", cmd_topics},
    {"keys",
     "create --team UUID|--platform [--name N] [--role R|--permissions P,...] [--user UUID] "
     "[--region R] [--expires 30d] [--rate N] [--output json]\n"
     "list [--output json]\n"
     "revoke ID",
     "API keys: shown once, kept as hashes", cmd_keys},
    {"targets",
     "list [--state S] [--kind K] [--class C] [--team T] [--function F] [--limit N] [--output "
     "json]\n"
     "show ID [--output json]\n"
     "redrive [ID] [--class C] [--team T] [--state refused] [--rate N] [--canary N] [--wait S]\n"
     "refuse ID --why TEXT",
     "see what is owned and what became of it; act on what is dead", cmd_targets},
    {"reconcile",
     "[--dry-run] [--watch] [--function ID|SLUG] [--team UUID] [--class NAME,...] [--allow N] "
     "[--plan-out FILE] [--output table|json|jsonl]\n"
     "apply FILE [--allow N] [--output table|json|jsonl]\n"
     "history [--limit N] [--output table|json]\n"
     "show RUN [--output table|json|jsonl]",
     "find what is not as Postgres says, prove it, repair it", cmd_reconcile},
    {"explain", "ID [--output text|json]",
     "what a sandbox, volume, snapshot or function is, and what becomes of it", cmd_explain},
    {"config", "example|mdoc|show", "every setting, as a file, for the man page, or as in force",
     cmd_config},
};

static const struct config_section *const sections[] = {
    &pg_section,     &kafka_section,     &platform_section, &api_section,
    &worker_section, &reconcile_section, &log_section};

int main(int argc, char **argv)
{
	const struct cmd_table table = {commands, N_OF(commands), sections, N_OF(sections)};
	return cmd_main(&table, argc, argv);
}
