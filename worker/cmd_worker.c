#include "cmd_worker.h"

#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "sql/migrate.h"
#include "worker.h"

#define ROW(field, type, min, max, def, help)                                           \
	{                                                                                   \
#field, type, offsetof(struct worker_config, field), min, max, def, false, help \
	}

static const struct config_row rows[] = {
    ROW(metrics_listen, CONFIG_STR, 0, 0, "127.0.0.1:9465",
        "Where /metrics, /livez and /readyz are served."),
    ROW(name, CONFIG_STR, 0, 0, "",
        "How this worker signs its leases. Empty: host name and process id."),
    ROW(held_max, CONFIG_I64, 1, 1000000, "16384",
        "Rows in the hands of one worker: waiting for their turn, for an answer, or to look "
        "again."),
    ROW(claim_batch, CONFIG_I64, 1, STORE_BATCH_MAX, "500", "Rows of one claim."),
    ROW(claim_poll_ms, CONFIG_I64, 10, 60000, "500",
        "How often to look for due rows when no event tells of any."),
    ROW(lease_ms, CONFIG_I64, 1000, 3600000, "60000",
        "How long a claimed row is ours. When a worker dies, its rows are due again after this."),
    ROW(in_flight_max, CONFIG_I64, 1, 4096, "256",
        "Calls to the platform that may be out at once; the limit adapts below this."),
    ROW(in_flight_start, CONFIG_I64, 1, 4096, "32", "Where the adaptive limit starts."),
    ROW(team_share_percent, CONFIG_I64, 1, 100, "50",
        "The part of the in-flight limit, and of held_max, that one team may take."),
    ROW(probe_ms, CONFIG_I64, 1, 60000, "250",
        "After an accepted DELETE: when to look first; doubles with every look."),
    ROW(probe_max_ms, CONFIG_I64, 1, 600000, "5000", "The longest time between two looks."),
    ROW(confirm_ms, CONFIG_I64, 0, 600000, "2000",
        "Between the first answer that says absent and the one that proves it."),
    ROW(conflict_ms, CONFIG_I64, 10, 600000, "3000",
        "About when something that cannot be deleted yet is tried again: a mounted volume, or one "
        "whose "
        "sandboxes are not gone. Uses no attempt."),
    ROW(still_there_ms, CONFIG_I64, 1000, 86400000, "600000",
        "Accepted by the platform but there after so long: a failed attempt, and deleted anew."),
    ROW(attempts_max, CONFIG_I64, 1, 1000, "12", "Failed attempts after which a row is dead."),
    ROW(backoff_base_ms, CONFIG_I64, 1, 3600000, "1000",
        "The wait after a failure is random between 0 and this, doubled with every failure."),
    ROW(backoff_cap_ms, CONFIG_I64, 1, 86400000, "900000", "The longest such wait."),
    ROW(budget_per_hour, CONFIG_I64, 0, 1000000000, "10000",
        "Sandboxes, volumes and snapshots of one team that may begin to be deleted in an hour, by "
        "all "
        "workers together. When they are used up, deleting pauses for the team; nothing is "
        "dropped. 0: "
        "no budget at all."),
    ROW(budget_share_percent, CONFIG_I64, 1, 1000000, "200",
        "The same in percent of the team's live sandboxes, as the last reconciliation counted "
        "them."),
    ROW(budget_min, CONFIG_I64, 1, 1000000000, "500",
        "However small that share is, so many may be deleted."),
    ROW(breaker_failures, CONFIG_I64, 1, 20, "10",
        "Of the last 20 calls, how many must fail by the platform's fault to stop calling it."),
    ROW(breaker_open_ms, CONFIG_I64, 10, 600000, "1000",
        "How long not to call it then; doubles while it stays away."),
    ROW(breaker_open_max_ms, CONFIG_I64, 10, 3600000, "30000", "The longest such pause."),
    ROW(flush_ms, CONFIG_I64, 0, 10000, "50",
        "How long a result may wait for others to be written with."),
    ROW(outbox_poll_ms, CONFIG_I64, 10, 60000, "1000",
        "How often to look for events to publish when no notice tells of any."),
    ROW(drain_ms, CONFIG_I64, 0, 60000, "1500",
        "How long a stop may take to give rows back. What is not given back is due again after its "
        "lease."),
};
const struct config_section worker_section = {
    "worker", "The worker: publishes events, consumes them, deletes.", rows, N_OF(rows), false};

static void on_signal(void *arg, int signal)
{
	struct worker **worker = arg;
	if (signal == SIGHUP)
		log_event(LOG_L_INFO, "worker.reload", "note", "settings are read at start only", NULL);
	else
		worker_stop(*worker);
}

static int read_settings(const struct cmd_ctx *ctx, struct worker_settings *s, struct err *err)
{
	if (pg_config_read(ctx->config, PG_ROLE_WORKER, &s->postgres, err) < 0 ||
	    config_read(ctx->config, &kafka_section, &s->kafka, err) < 0 ||
	    config_read(ctx->config, &platform_section, &s->platform, err) < 0 ||
	    config_read(ctx->config, &worker_section, &s->worker, err) < 0)
		return -1;
	s->kafka.config = ctx->config;
	return 0;
}

/* Runs until told to stop. */
static int run(struct loop *loop, const struct worker_settings *settings, struct err *err)
{
	struct worker *worker = NULL;
	/* Signals first: librdkafka's threads must be born with them blocked. None is delivered before
	 * the loop runs. */
	if (loop_signals(loop, on_signal, &worker, err) < 0)
		return -1;
	worker = worker_new(loop, settings, err);
	if (!worker)
		return -1;
	char port[12];
	(void)snprintf(port, sizeof(port), "%d", worker_metrics_port(worker));
	log_event(LOG_L_INFO, "worker.started", "metrics_port", port, NULL);
	int rc = loop_run(loop, err);
	return worker_free(worker, err) < 0 ? -1 : rc;
}

int cmd_worker(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct err err = {0};
	struct worker_settings settings = {0};
	if (cmd_options(argc, argv, NULL, 0, NULL, 0, &err) < 0 ||
	    read_settings(ctx, &settings, &err) < 0 ||
	    migrate_verify_config(&settings.postgres, &err) < 0)
		return cmd_fail(ctx, &err);
	struct loop *loop = loop_new(clock_system(), &err);
	if (!loop)
		return cmd_fail(ctx, &err);
	int rc = run(loop, &settings, &err);
	loop_free(loop);
	return rc < 0 ? cmd_fail(ctx, &err) : CMD_OK;
}
