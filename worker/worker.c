#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"
#include "base/supervise.h"
#include "intake.h"
#include "outbox.h"
#include "queue/consumer.h"
#include "queue/producer.h"

enum { FIGURES_US = 2000000, TOPIC_CHECK_MS = 5000, ALIVE_US = 30000000, KAFKA_END_MS = 300 };

struct worker {
	struct loop *loop;
	struct worker_settings settings;
	char name[96];
	struct metrics *metrics;
	struct supervise *supervise;
	struct status *status;
	struct pg_pool *pool;
	struct platform *platform;
	struct producer *producer;
	struct outbox *outbox;
	struct intake *intake;
	struct consumer *consumer;
	struct executor *executor;
	struct loop_timer figures, drain;
	struct err end; /* why it ended, when that was an error */
	bool stopping;
	struct metric *oldest_intent, *oldest_outbox, *dead, *refused, *paused, *oldest_drift,
	    *last_reconciled, *lag, *relay_active;
};

/* ---- the end ---- */

static void stop_loop(void *arg)
{
	struct worker *w = arg;
	loop_timer_stop(w->loop, &w->drain);
	loop_stop(w->loop);
}

static void on_fatal(void *arg, const struct err *err)
{
	struct worker *w = arg;
	if (w->end.kind == ERR_NONE)
		w->end = *err;
	worker_stop(w);
}

void worker_stop(struct worker *w)
{
	if (w->stopping)
		return;
	w->stopping = true;
	supervise_stopping(w->supervise);
	log_event(LOG_L_INFO, "worker.stopping", NULL);
	loop_timer_set(w->loop, &w->drain, w->settings.worker.drain_ms * 1000);
	executor_stop(w->executor, stop_loop, w);
}

/* ---- figures ---- */

static double age_s(int64_t now_us, int64_t then_us)
{
	return then_us > 0 && now_us > then_us ? (double)(now_us - then_us) / 1e6 : 0;
}

static void on_health(void *arg, const struct store_health *health, const struct err *err)
{
	struct worker *w = arg;
	if (err)
		return; /* the pool tells of an outage */
	int64_t oldest_us = health->oldest_released_at_us;
	if (health->oldest_outbox_at_us && (!oldest_us || health->oldest_outbox_at_us < oldest_us))
		oldest_us = health->oldest_outbox_at_us;
	metric_set(w->oldest_intent, age_s(health->at_us, oldest_us));
	metric_set(w->oldest_outbox, age_s(health->at_us, health->oldest_outbox_at_us));
	metric_set(w->dead, (double)health->dead);
	metric_set(w->refused, (double)health->refused);
	metric_set(w->paused, (double)health->paused);
	metric_set(w->oldest_drift, age_s(health->at_us, health->oldest_drift_at_us));
	metric_set(w->last_reconciled, (double)health->last_reconciled_at_us / 1e6);
	supervise_status(w->supervise, "%d rows held, %d calls out, breaker %s, oldest intent %.0f s",
	                 executor_held(w->executor), executor_in_flight(w->executor),
	                 executor_breaker(w->executor), age_s(health->at_us, oldest_us));
}

static void on_figures(void *arg)
{
	struct worker *w = arg;
	struct err err = {0};
	(void)!store_health(w->pool, on_health, w, &err);
	metric_set(w->lag, (double)consumer_lag(w->consumer));
	metric_set(w->relay_active, outbox_active(w->outbox));
	loop_timer_set(w->loop, &w->figures, FIGURES_US);
}

static void register_figures(struct worker *w)
{
	struct metrics *m = w->metrics;
	w->oldest_intent = metrics_gauge(
	    m, "sandsweep_oldest_unfinished_intent_age_seconds", NULL,
	    "Age of the oldest thing that must be deleted and is not proved gone. 0: nothing is open.");
	w->oldest_outbox = metrics_gauge(m, "sandsweep_oldest_outbox_age_seconds", NULL,
	                                 "Age of the oldest event that is not published.");
	w->dead = metrics_gauge(m, "sandsweep_dead_rows", NULL,
	                        "Ledger rows that are dead; counted up to 10000.");
	w->refused = metrics_gauge(m, "sandsweep_refused_rows", NULL,
	                           "Ledger rows that are refused; counted up to 10000.");
	w->paused =
	    metrics_gauge(m, "sandsweep_delete_budget_empty_teams", NULL,
	                  "Teams whose deletions wait because their budget of the hour is used up.");
	w->oldest_drift =
	    metrics_gauge(m, "sandsweep_known_drift_age_seconds", NULL,
	                  "Age of the oldest drift that a reconciliation found and left.");
	w->last_reconciled = metrics_gauge(
	    m, "sandsweep_reconcile_last_run_timestamp_seconds", NULL,
	    "When a reconciliation last ended with all its evidence (wall clock); 0: never.");
	w->lag = metrics_gauge(m, "sandsweep_consumer_lag", NULL,
	                       "Events of the owned partitions not read yet; -1 unknown.");
	w->relay_active = metrics_gauge(m, "sandsweep_relay_active", NULL,
	                                "1 while this worker is the one that publishes the outbox.");
}

/* ---- health ---- */

static bool postgres_alive(void *arg, char why[128])
{
	struct worker *w = arg;
	return pg_pool_healthy(w->pool, ALIVE_US, why) && outbox_healthy(w->outbox, why);
}

static bool kafka_alive(void *arg, char why[128])
{
	struct worker *w = arg;
	return consumer_healthy(w->consumer, why);
}

/* ---- the beginning ---- */

static void on_doomed(void *arg)
{
	struct worker *w = arg;
	executor_wake(w->executor);
}

static void on_recorded(void *arg)
{
	struct worker *w = arg;
	outbox_wake(w->outbox);
}

static int check_topics(struct worker *w, struct err *err)
{
	struct err away = {0};
	if (kafka_topics_check(&w->settings.kafka, TOPIC_CHECK_MS, &away) == 0)
		return 0;
	if (away.kind != ERR_RETRY)
		return err_set(err, away.kind, away.code, "%s", away.text);
	/* Deleting what is already doomed needs no broker. */
	log_err(LOG_L_WARN, "kafka.away", &away, NULL);
	return 0;
}

static int start_queue(struct worker *w, struct err *err)
{
	const struct producer_opts producer = {on_fatal, w};
	w->producer = producer_new(w->loop, &w->settings.kafka, &producer, err);
	if (!w->producer)
		return -1;
	const struct outbox_opts outbox = {&w->settings.postgres, &w->settings.kafka, w->producer,
	                                   w->settings.worker.outbox_poll_ms, w->metrics};
	const struct intake_opts intake = {
	    w->pool, w->producer, w->settings.kafka.batch_max, w->metrics, on_doomed, on_fatal, w};
	w->outbox = outbox_new(w->loop, &outbox, err);
	w->intake = w->outbox ? intake_new(w->loop, &intake, err) : NULL;
	if (!w->intake)
		return -1;
	const struct consumer_opts consumer = {intake_on_batch, intake_on_fatal, w->intake};
	w->consumer = consumer_new(w->loop, &w->settings.kafka, &consumer, w->metrics, err);
	if (!w->consumer)
		return -1;
	intake_attach(w->intake, w->consumer);
	return 0;
}

static int start_executor(struct worker *w, struct err *err)
{
	w->platform = platform_new(w->loop, &w->settings.platform, w->metrics, err);
	if (!w->platform)
		return -1;
	const struct executor_opts executor = {
	    .config = &w->settings.worker,
	    .call_timeout_ms = w->settings.platform.timeout_ms,
	    .name = w->name,
	    .pool = w->pool,
	    .platform = w->platform,
	    .metrics = w->metrics,
	    .on_fatal = on_fatal,
	    .on_recorded = on_recorded,
	    .arg = w,
	};
	w->executor = executor_new(w->loop, &executor, err);
	return w->executor ? 0 : -1;
}

static int check_settings(const struct worker_settings *s, struct err *err)
{
	if (s->worker.lease_ms < s->platform.timeout_ms + s->worker.confirm_ms)
		return err_set(err, ERR_REJECT, "config",
		               "worker.lease_ms (%lld) must be at least platform.timeout_ms (%lld) + "
		               "worker.confirm_ms (%lld)",
		               (long long)s->worker.lease_ms, (long long)s->platform.timeout_ms,
		               (long long)s->worker.confirm_ms);
	if (s->worker.held_max < s->worker.claim_batch)
		return err_set(err, ERR_REJECT, "config",
		               "worker.held_max (%lld) must be at least worker.claim_batch (%lld)",
		               (long long)s->worker.held_max, (long long)s->worker.claim_batch);
	if (s->platform.connections_max < s->worker.in_flight_max)
		return err_set(
		    err, ERR_REJECT, "config",
		    "platform.connections_max (%lld) must be at least worker.in_flight_max (%lld)",
		    (long long)s->platform.connections_max, (long long)s->worker.in_flight_max);
	return 0;
}

static int start(struct worker *w, struct err *err)
{
	w->metrics = metrics_new(err);
	if (!w->metrics || check_settings(&w->settings, err) < 0 || check_topics(w, err) < 0)
		return -1;
	register_figures(w);
	w->supervise = supervise_new(w->loop, err);
	w->pool = w->supervise ? pg_pool_new(w->loop, &w->settings.postgres, err) : NULL;
	if (!w->pool || start_queue(w, err) < 0 || start_executor(w, err) < 0)
		return -1;
	w->status =
	    status_new(w->loop, w->settings.worker.metrics_listen, w->metrics, w->supervise, err);
	if (!w->status)
		return -1;
	supervise_probe(w->supervise, "postgres", postgres_alive, w);
	supervise_probe(w->supervise, "kafka", kafka_alive, w);
	loop_timer_set(w->loop, &w->figures, 0);
	supervise_ready(w->supervise);
	return 0;
}

static void set_name(struct worker *w)
{
	char host[64] = "";
	if (*w->settings.worker.name) {
		(void)snprintf(w->name, sizeof(w->name), "%s", w->settings.worker.name);
		return;
	}
	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(w->name, sizeof(w->name), "%s/%ld", host, (long)getpid());
}

struct worker *worker_new(struct loop *loop, const struct worker_settings *settings,
                          struct err *err)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w) {
		(void)err_oom(err);
		return NULL;
	}
	w->loop = loop;
	w->settings = *settings;
	set_name(w);
	loop_timer_init(&w->figures, on_figures, w);
	loop_timer_init(&w->drain, stop_loop, w);
	if (start(w, err) == 0)
		return w;
	struct err ignored = {0};
	(void)worker_free(w, &ignored);
	return NULL;
}

int worker_free(struct worker *w, struct err *err)
{
	loop_timer_stop(w->loop, &w->figures);
	loop_timer_stop(w->loop, &w->drain);
	status_free(w->status);
	executor_free(w->executor);
	platform_free(w->platform);
	if (w->consumer)
		consumer_free(w->consumer, KAFKA_END_MS);
	if (w->producer)
		producer_free(w->producer, KAFKA_END_MS);
	intake_free(w->intake);
	outbox_free(w->outbox);
	pg_pool_free(w->pool);
	supervise_free(w->supervise);
	metrics_free(w->metrics);
	int rc =
	    w->end.kind == ERR_NONE ? 0 : err_set(err, w->end.kind, w->end.code, "%s", w->end.text);
	free(w);
	return rc;
}

int worker_metrics_port(const struct worker *w)
{
	return status_port(w->status);
}
