#include "watch.h"

#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/status.h"
#include "base/supervise.h"

struct watch {
	const struct watch_opts *opts;
	struct loop *loop;
	struct metrics *metrics;
	struct supervise *supervise;
	struct status *status;
	struct reconciler *reconciler;
	struct loop_timer pause;
	bool due, stopping;
	char trouble[96]; /* why the last run failed; "" */
};

int64_t watch_pause_us(int64_t interval_us)
{
	return interval_us - interval_us / 4 + (int64_t)rand_below((uint64_t)interval_us / 2 + 1);
}

static void on_due(void *arg)
{
	struct watch *w = arg;
	w->due = true;
}

static void on_signal(void *arg, int signal)
{
	struct watch *w = arg;
	if (signal == SIGHUP) {
		log_event(LOG_L_INFO, "reconcile.reload", "note", "settings are read at start only", NULL);
		return;
	}
	if (w->stopping)
		return;
	w->stopping = true;
	log_event(LOG_L_INFO, "reconcile.stopping", NULL);
	if (w->supervise)
		supervise_stopping(w->supervise);
	if (w->reconciler)
		reconciler_stop(w->reconciler);
}

static bool last_run_worked(void *arg, char why[128])
{
	struct watch *w = arg;
	if (*w->trouble)
		(void)snprintf(why, 128, "the last run failed: %s", w->trouble);
	return !*w->trouble;
}

/* ---- one run ---- */

static void log_run(const struct reconcile_summary *s)
{
	int64_t found = 0, acted = 0;
	char run[24], found_text[24], acted_text[24], took[24];
	bool alarming = s->verdict == VERDICT_GUARDED || s->verdict == VERDICT_INCOMPLETE ||
	                s->verdict == VERDICT_PARTLY;
	for (int c = 0; c < CLASS_COUNT; c++) {
		found += s->classes[c].found;
		acted += s->classes[c].acted;
	}
	(void)snprintf(run, sizeof(run), "%lld", (long long)s->run_id);
	(void)snprintf(found_text, sizeof(found_text), "%lld", (long long)found);
	(void)snprintf(acted_text, sizeof(acted_text), "%lld", (long long)acted);
	(void)snprintf(took, sizeof(took), "%lld", (long long)(s->duration_us / 1000));
	log_event(alarming ? LOG_L_WARN : LOG_L_INFO, "reconcile.run", "verdict",
	          reconcile_verdict_name(s->verdict), "run", run, "found", found_text, "acted",
	          acted_text, "ms", took, "text", *s->text ? s->text : NULL, NULL);
}

static void run_once(struct watch *w)
{
	struct reconcile_summary summary = {0};
	struct err err = {0};
	reconcile_run(w->reconciler, w->opts->request, NULL, NULL, NULL, &summary, &err);
	bool failed = summary.verdict == VERDICT_FAILED;
	if (failed && w->stopping)
		return; /* as it was told to */
	(void)snprintf(w->trouble, sizeof(w->trouble), "%.95s", failed ? err.text : "");
	if (failed)
		log_err(LOG_L_ERROR, "reconcile.failed", &err, NULL);
	else
		log_run(&summary);
	supervise_status(w->supervise, "last run: %s", reconcile_verdict_name(summary.verdict));
}

static int wait_until_due(struct watch *w, struct err *err)
{
	w->due = false;
	loop_timer_set(w->loop, &w->pause, watch_pause_us(w->opts->config->interval_ms * 1000));
	while (!w->due && !w->stopping)
		if (loop_once(w->loop, -1, err) < 0)
			return -1;
	return 0;
}

/* ---- the service ---- */

static int start(struct watch *w, struct err *err)
{
	/* Signals first: none is delivered before the loop runs. */
	if (loop_signals(w->loop, on_signal, w, err) < 0)
		return -1;
	w->metrics = metrics_new(err);
	const struct reconciler_opts reconciler = {w->opts->config, w->opts->postgres,
	                                           w->opts->platform, w->metrics, w->opts->kafka};
	w->supervise = w->metrics ? supervise_new(w->loop, err) : NULL;
	w->reconciler = w->supervise ? reconciler_new(w->loop, &reconciler, err) : NULL;
	if (!w->reconciler)
		return -1;
	w->status = status_new(w->loop, w->opts->config->metrics_listen, w->metrics, w->supervise, err);
	if (!w->status)
		return -1;
	supervise_probe(w->supervise, "reconcile", last_run_worked, w);
	supervise_ready(w->supervise);
	return 0;
}

static void stop(struct watch *w)
{
	loop_timer_stop(w->loop, &w->pause);
	status_free(w->status);
	reconciler_free(w->reconciler);
	supervise_free(w->supervise);
	metrics_free(w->metrics);
	loop_free(w->loop);
}

static int serve(struct watch *w, struct err *err)
{
	char port[12];
	if (start(w, err) < 0)
		return -1;
	(void)snprintf(port, sizeof(port), "%d", status_port(w->status));
	log_event(LOG_L_INFO, "reconcile.started", "metrics_port", port, NULL);
	while (!w->stopping) {
		run_once(w);
		if (wait_until_due(w, err) < 0)
			return -1;
	}
	return 0;
}

int watch_run(const struct watch_opts *opts, struct err *err)
{
	struct watch w = {.opts = opts, .loop = loop_new(clock_system(), err)};
	if (!w.loop)
		return -1;
	loop_timer_init(&w.pause, on_due, &w);
	int rc = serve(&w, err);
	stop(&w);
	return rc;
}
