#include "gauges.h"

#include <string.h>

/* Texts are borrowed by the registry for its life, and the names are a table: so are the labels. */
#define BY_CLASS(name) "class=\"" name "\""
static const char *const class_labels[CLASS_COUNT] = {
    [CLASS_UNRELEASED] = BY_CLASS("unreleased"),
    [CLASS_MISSED_EVENT] = BY_CLASS("missed_event"),
    [CLASS_STALE_MAPPING] = BY_CLASS("stale_mapping"),
    [CLASS_GHOST] = BY_CLASS("ghost"),
    [CLASS_RESURRECTED] = BY_CLASS("resurrected"),
    [CLASS_STUCK_LEASE] = BY_CLASS("stuck_lease"),
    [CLASS_ORPHAN_SANDBOX] = BY_CLASS("orphan_sandbox"),
    [CLASS_ORPHAN_VOLUME] = BY_CLASS("orphan_volume"),
    [CLASS_ORPHAN_SNAPSHOT] = BY_CLASS("orphan_snapshot"),
};
#define BY_VERDICT(name) "verdict=\"" name "\""
static const char *const verdict_labels[GAUGES_VERDICTS] = {
    [VERDICT_IN_SYNC] = BY_VERDICT("in_sync"),
    [VERDICT_FAILED] = BY_VERDICT("failed"),
    [VERDICT_DRIFT] = BY_VERDICT("drift"),
    [VERDICT_REPAIRED] = BY_VERDICT("repaired"),
    [VERDICT_PARTLY] = BY_VERDICT("repaired_in_part"),
    [VERDICT_GUARDED] = BY_VERDICT("guarded"),
    [VERDICT_INCOMPLETE] = BY_VERDICT("incomplete"),
    [VERDICT_LOCKED] = BY_VERDICT("locked"),
};

static double age_s(void *arg)
{
	const struct gauges_age *age = arg;
	int64_t since_us = age->gauges->oldest_us[age->class_];
	int64_t now_us = loop_wall_us(age->gauges->loop);
	return since_us > 0 && now_us > since_us ? (double)(now_us - since_us) / 1e6 : 0;
}

static void set(struct metric *metric, double value)
{
	if (metric)
		metric_set(metric, value);
}

/* NULL: it was not asked. */
static void set_queue(struct gauges *g, const struct queue_probe *queue)
{
	set(g->topic_lag, queue ? (double)queue->lag : -1);
	set(g->dead_letters, queue ? (double)queue->dead_letters : -1);
}

void gauges_init(struct gauges *g, struct loop *loop, struct metrics *m)
{
	*g = (struct gauges){.loop = loop};
	if (!m)
		return;
	for (int i = 0; i < GAUGES_VERDICTS; i++)
		g->runs[i] = metrics_counter(m, "sandsweep_reconcile_runs_total", verdict_labels[i],
		                             "Runs by how they ended.");
	for (int i = 0; i < CLASS_COUNT; i++)
		g->acts[i] = metrics_counter(m, "sandsweep_reconcile_acts_total", class_labels[i],
		                             "Repairs that were done.");
	for (int i = 0; i < CLASS_COUNT; i++)
		g->findings[i] = metrics_gauge(m, "sandsweep_reconcile_findings", class_labels[i],
		                               "Drift that the last run found, proved or not.");
	for (int i = 0; i < CLASS_COUNT; i++) {
		g->ages[i] = (struct gauges_age){g, i};
		(void)metrics_gauge_fn(m, "sandsweep_drift_age_seconds", class_labels[i],
		                       "Age of the oldest drift that the last run left behind.", age_s,
		                       &g->ages[i]);
	}
	g->incomplete = metrics_gauge(m, "sandsweep_reconcile_incomplete_listings", NULL,
	                              "Listings of the last run that could not be believed.");
	g->pages = metrics_counter(m, "sandsweep_reconcile_pages_total", NULL, "Pages that were read.");
	g->gets = metrics_counter(m, "sandsweep_reconcile_gets_total", NULL,
	                          "Looks at single things, to prove a finding.");
	g->seconds = metrics_histogram(m, "sandsweep_reconcile_duration_seconds", NULL,
	                               "Time of a run that had the lock.");
	g->last_success = metrics_gauge(
	    m, "sandsweep_reconcile_last_success_timestamp_seconds", NULL,
	    "When a run last ended with all its evidence and nothing in its way (wall clock).");
	g->topic_lag = metrics_gauge(
	    m, "sandsweep_reconcile_topic_lag", NULL,
	    "Events on the topic that the workers' group has not read; -1 unknown to the last run.");
	g->dead_letters =
	    metrics_gauge(m, "sandsweep_reconcile_dead_letters", NULL,
	                  "Messages on the dead-letter topic; -1 unknown to the last run.");
	set_queue(g, NULL);
}

static void count(struct metric *metric, int64_t n)
{
	if (metric)
		metric_add(metric, (double)n);
}

/* It looked at everything that it was asked to, and could do what it wanted. */
static bool succeeded(enum reconcile_verdict verdict)
{
	static const bool good[GAUGES_VERDICTS] = {
	    [VERDICT_IN_SYNC] = true,
	    [VERDICT_DRIFT] = true,
	    [VERDICT_REPAIRED] = true,
	    [VERDICT_PARTLY] = true,
	};
	return good[verdict];
}

void gauges_count(struct gauges *g, const struct reconcile_summary *summary,
                  const int64_t oldest_us[CLASS_COUNT])
{
	bool looked = summary->verdict != VERDICT_FAILED && summary->verdict != VERDICT_LOCKED;
	count(g->runs[summary->verdict], 1);
	count(g->pages, summary->pages);
	count(g->gets, summary->gets);
	for (int i = 0; i < CLASS_COUNT; i++)
		count(g->acts[i], summary->classes[i].acted);
	if (g->seconds && summary->verdict != VERDICT_LOCKED)
		metric_observe(g->seconds, (double)summary->duration_us / 1e6);
	if (succeeded(summary->verdict))
		set(g->last_success, (double)loop_wall_us(g->loop) / 1e6);
	if (!looked)
		return;
	for (int i = 0; i < CLASS_COUNT; i++)
		set(g->findings[i], (double)(summary->classes[i].proved + summary->classes[i].unproved));
	set(g->incomplete, (double)summary->incomplete);
	set_queue(g, summary->queue_read ? &summary->queue : NULL);
	memcpy(g->oldest_us, oldest_us, sizeof(g->oldest_us));
}
