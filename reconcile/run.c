#include "reconcile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asker.h"
#include "base/killpoint.h"
#include "finding.h"
#include "gauges.h"
#include "guard.h"
#include "lister.h"
#include "plan.h"
#include "prover.h"
#include "report.h"

enum {
	BLASTS_MAX = 1024,     /* teams that the guard looks at one by one */
	ACTS_AT_ONCE = 16,     /* between two looks at whether to stop */
	WALK = 500,            /* findings in memory while they are counted */
	LOADS = 256,           /* items of a plan in memory, */
	LOADS_BYTES = 1 << 20, /* and about how many bytes of evidence */
	PROBE_MS = 3000,       /* for a look at the queue */
};

struct reconciler {
	struct loop *loop;
	struct reconcile_config config;
	struct pg_config postgres;
	struct kafka_config kafka;
	bool has_kafka;
	struct platform *platform;
	struct metrics *own_metrics; /* where nobody asked for any: the platform client needs some */
	struct gauges gauges;
	bool stop;
};

/* ---- life ---- */

static int check_config(const struct reconcile_config *config, struct err *err)
{
	if (strcmp(config->mode, "observe") != 0 && strcmp(config->mode, "repair") != 0)
		return err_set(err, ERR_REJECT, "config", "reconcile.mode is observe or repair, not %s",
		               config->mode);
	if (!*config->shard)
		return err_set(err, ERR_REJECT, "config", "reconcile.shard is empty");
	if (config->backoff_cap_ms < config->backoff_base_ms)
		return err_set(err, ERR_REJECT, "config",
		               "reconcile.backoff_cap_ms is less than reconcile.backoff_base_ms");
	return 0;
}

struct reconciler *reconciler_new(struct loop *loop, const struct reconciler_opts *opts,
                                  struct err *err)
{
	if (check_config(opts->config, err) < 0)
		return NULL;
	struct reconciler *rec = calloc(1, sizeof(*rec));
	if (!rec) {
		(void)err_oom(err);
		return NULL;
	}
	rec->loop = loop;
	rec->config = *opts->config;
	rec->postgres = *opts->postgres;
	rec->has_kafka = opts->kafka != NULL;
	if (opts->kafka)
		rec->kafka = *opts->kafka;
	rec->own_metrics = opts->metrics ? NULL : metrics_new(err);
	struct metrics *metrics = opts->metrics ? opts->metrics : rec->own_metrics;
	if (metrics)
		rec->platform = platform_new(loop, opts->platform, metrics, err);
	if (!rec->platform) {
		reconciler_free(rec);
		return NULL;
	}
	gauges_init(&rec->gauges, loop, opts->metrics);
	return rec;
}

void reconciler_free(struct reconciler *rec)
{
	if (!rec)
		return;
	platform_free(rec->platform);
	metrics_free(rec->own_metrics);
	free(rec);
}

void reconciler_stop(struct reconciler *rec)
{
	rec->stop = true;
}

/* ---- one run ---- */

struct run {
	struct reconciler *rec;
	const struct reconcile_config *config;
	const struct reconcile_request *request;
	const struct reconcile_watcher *watcher;
	store_finding_fn *each;
	void *each_arg;
	struct reconcile_summary *summary;
	struct store_run *store;
	struct pacer pacer;
	bool acting; /* this run may act: neither dry nor only observing */
	bool acted;  /* and has begun to */
	int64_t walked;
	int64_t oldest_us[CLASS_COUNT];
};

static void progress(const struct run *run, const char *phase, int64_t done, int64_t total)
{
	if (run->watcher && run->watcher->progress)
		run->watcher->progress(run->watcher->arg, phase, done, total);
}

static int breathe(struct run *run, struct err *err)
{
	return asker_breathe(run->rec->loop, &run->rec->stop, err);
}

static bool asked_for(const struct run *run, int class_)
{
	return run->config->enabled[class_] && (!run->request->any_only || run->request->only[class_]);
}

/* ---- the lock ---- */

static void say_locked(struct reconcile_summary *summary, const struct store_run_begun *begun)
{
	char since[CLOCK_RFC3339_SIZE];
	clock_rfc3339(begun->held_since_us, since);
	summary->verdict = VERDICT_LOCKED;
	(void)snprintf(summary->text, sizeof(summary->text), "another run holds the lock: %s, since %s",
	               begun->holder, since);
}

/* 1: the run has begun; 0: another one is going on. */
static int begin(struct run *run, struct err *err)
{
	struct reconcile_summary *summary = run->summary;
	struct store_run_begun begun = {0};
	const struct store_run_opts opts = {
	    .shard = run->config->shard,
	    .actor = run->request->actor,
	    .holder = run->request->holder,
	    .mode = run->config->mode,
	    .dry = run->request->dry,
	    .query_timeout_ms = run->config->query_timeout_ms,
	    .team_id = run->request->team_id,
	    .function_id = run->request->function_id,
	    .adopt_volumes = run->config->adopt_volumes,
	};
	run->store = store_run_begin(&run->rec->postgres, &opts, &begun, err);
	if (!run->store)
		return -1;
	summary->run_id = begun.run_id;
	summary->term = begun.term;
	summary->t0_us = begun.t0_us;
	summary->system_id = begun.system_id;
	(void)snprintf(summary->database, sizeof(summary->database), "%s", begun.database);
	if (begun.acquired)
		return 1;
	say_locked(summary, &begun);
	return 0;
}

/* ---- findings: by looking ---- */

static void count_incomplete(void *arg, const struct store_listing *listing)
{
	struct reconcile_summary *summary = arg;
	if (!listing->complete)
		summary->incomplete++;
}

static int find_ahead(struct run *run, struct err *err)
{
	for (int i = 0; i < CLASS_COUNT; i++)
		if (asked_for(run, i) && store_run_find_ahead(run->store, reconcile_class_name(i),
		                                              run->config->grace_ms[i], err) < 0)
			return -1;
	return 0;
}

static int list(struct run *run, struct err *err)
{
	struct lister_result listed = {0};
	struct reconcile_summary *summary = run->summary;
	if (find_ahead(run, err) < 0)
		return -1;
	int rc = lister_run(run->rec->loop, run->rec->platform, run->store, run->config, &run->pacer,
	                    &run->rec->stop, run->watcher, &listed, err);
	summary->teams = listed.teams;
	summary->listings = listed.listings;
	summary->rows = listed.rows;
	summary->pages = listed.pages;
	summary->retries += listed.retries;
	return rc < 0 ? -1 : store_run_listed(run->store, count_incomplete, summary, err);
}

static int find(struct run *run, struct err *err)
{
	for (int i = 0; i < CLASS_COUNT; i++) {
		int64_t found = 0;
		progress(run, "find", i, CLASS_COUNT);
		if (!asked_for(run, i))
			continue;
		if (breathe(run, err) < 0 ||
		    store_run_find(run->store, reconcile_class_name((enum reconcile_class)i),
		                   run->config->grace_ms[i], &found, err) < 0)
			return -1;
	}
	progress(run, "find", CLASS_COUNT, CLASS_COUNT);
	return 0;
}

/* Kafka knows of the whole only. When it does not answer, nothing else is less true: the run goes on. */
static void look_at_queue(struct run *run)
{
	const struct reconcile_request *request = run->request;
	bool narrowed = !uuid_is_nil(&request->team_id) || !uuid_is_nil(&request->function_id);
	if (!run->rec->has_kafka || narrowed)
		return;
	queue_probe(&run->rec->kafka, PROBE_MS, &run->summary->queue);
	run->summary->queue_read = true;
}

static int look(struct run *run, struct err *err)
{
	if (list(run, err) < 0)
		return -1;
	killpoint("reconcile.after_list");
	if (find(run, err) < 0)
		return -1;
	killpoint("reconcile.after_find");
	if (store_run_pipeline(run->store, run->config->pipeline_grace_ms, &run->summary->pipeline,
	                       err) < 0)
		return -1;
	run->summary->pipeline_read = true;
	look_at_queue(run);
	return 0;
}

/* ---- findings: from a plan ---- */

struct loading {
	struct run *run;
	struct store_finding *copies[LOADS];
	int count;
	size_t bytes;
};

static int load_batch(struct loading *loading, struct err *err)
{
	struct store_finding batch[LOADS];
	for (int i = 0; i < loading->count; i++)
		batch[i] = *loading->copies[i];
	int rc =
	    loading->count > 0 ? store_run_load(loading->run->store, batch, loading->count, err) : 0;
	while (loading->count > 0)
		free(loading->copies[--loading->count]);
	loading->bytes = 0;
	return rc;
}

static int load_item(void *arg, const struct store_finding *finding, struct err *err)
{
	struct loading *loading = arg;
	struct store_finding *copy = finding_copy(finding, err);
	if (!copy)
		return -1;
	loading->copies[loading->count++] = copy;
	loading->bytes += copy->evidence ? strlen(copy->evidence) : 0;
	if (loading->count < LOADS && loading->bytes < LOADS_BYTES)
		return 0;
	return breathe(loading->run, err) < 0 ? -1 : load_batch(loading, err);
}

static int load(struct run *run, struct err *err)
{
	struct reconcile_plan *plan = run->request->plan;
	struct loading loading = {.run = run};
	if (plan_check(plan, run->summary->t0_us, run->config->plan_max_age_ms, run->summary->system_id,
	               run->summary->database, err) < 0)
		return -1;
	int rc = plan_each(plan, load_item, &loading, err);
	if (rc == 0)
		rc = load_batch(&loading, err);
	while (loading.count > 0)
		free(loading.copies[--loading.count]);
	return rc;
}

/* ---- proof ---- */

static int prove(struct run *run, struct err *err)
{
	struct prover_result proved = {0};
	int rc = prover_run(run->rec->loop, run->rec->platform, run->store, run->config, &run->pacer,
	                    &run->rec->stop, run->watcher, &proved, err);
	run->summary->gets = proved.gets;
	run->summary->retries += proved.retries;
	killpoint("reconcile.after_prove");
	return rc;
}

/* ---- guard and acts ---- */

struct blasts {
	struct store_blast list[BLASTS_MAX + 1];
	int count;
};

static void add_blast(void *arg, const struct store_blast *blast)
{
	struct blasts *blasts = arg;
	blasts->list[blasts->count++] = *blast;
}

/* Teams come with the most acts first. When not all could be looked at, those that were not must be so
 * small that no guard of a team would stop them. */
static bool all_looked_at(const struct reconcile_config *config, const struct blasts *blasts)
{
	if (blasts->count <= BLASTS_MAX)
		return true;
	int64_t most = blasts->list[blasts->count - 1].acts;
	return most <= config->min_acts && most <= config->max_acts_team;
}

/* 1: go on; 0: a guard has stopped the run. */
static int guard(struct run *run, int64_t *ret_acts, struct err *err)
{
	struct reconcile_summary *summary = run->summary;
	int rc = -1;
	struct blasts *blasts = calloc(1, sizeof(*blasts));
	if (!blasts)
		return err_oom(err);
	if (store_run_blast(run->store, BLASTS_MAX, add_blast, blasts, err) >= 0) {
		int64_t acts = *ret_acts = blasts->count > 0 ? blasts->list[0].acts : 0;
		rc = guard_allows(run->config, blasts->list, blasts->count, run->request->allow,
		                  summary->text);
		if (rc == 1 && run->request->allow < acts && !all_looked_at(run->config, blasts)) {
			(void)snprintf(summary->text, sizeof(summary->text),
			               "the run would act on more than %d teams: nothing was done; narrow it "
			               "with --team, or allow it with --allow %lld",
			               BLASTS_MAX, (long long)acts);
			rc = 0;
		}
	}
	free(blasts);
	return rc;
}

static int act(struct run *run, int64_t total, struct err *err)
{
	int64_t last = 0, done = 0;
	int n;
	do {
		if (breathe(run, err) < 0)
			return -1;
		run->acted = true;
		n = store_run_act(run->store, last, ACTS_AT_ONCE, &last, err);
		done += n > 0 ? n : 0;
		progress(run, "act", done, total);
	} while (n > 0);
	killpoint("reconcile.after_act");
	return n;
}

/* ---- what came of it ---- */

static bool is(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

static void count_finding(struct reconcile_class_counts *counts,
                          const struct store_finding *finding)
{
	counts->found++;
	if (is(finding->action, "note"))
		counts->notes++;
	else if (is(finding->verdict, "young"))
		counts->young++;
	else if (is(finding->verdict, "proved"))
		counts->proved++;
	else if (is(finding->verdict, "disproved"))
		counts->disproved++;
	else
		counts->unproved++;
	counts->acted += is(finding->result, "done");
	counts->stale += is(finding->result, "stale");
	counts->skipped += is(finding->result, "skipped");
	counts->failed += is(finding->result, "failed");
}

/* It is drift, and still there. */
static bool is_left(const struct store_finding *finding)
{
	return !is(finding->action, "note") && !is(finding->verdict, "young") &&
	       !is(finding->verdict, "disproved") && !is(finding->result, "done");
}

static const char *result_of(const struct run *run, const struct store_finding *finding)
{
	bool would_act = is(finding->verdict, "proved") && !is(finding->action, "note");
	if (finding->result)
		return finding->result;
	if (would_act)
		return run->acting ? NULL : "dry";
	return run->request->plan ? "skipped" : NULL;
}

static void walk_finding(void *arg, const struct store_finding *finding)
{
	struct run *run = arg;
	enum reconcile_class class_;
	struct store_finding shown = *finding;
	shown.result = result_of(run, finding);
	run->walked = finding->id;
	if (reconcile_class_parse(finding->class_name, &class_) == 0) {
		int64_t *oldest_us = &run->oldest_us[class_];
		count_finding(&run->summary->classes[class_], &shown);
		if (is_left(&shown) && (*oldest_us == 0 || finding->since_us < *oldest_us))
			*oldest_us = finding->since_us;
	}
	if (run->each)
		run->each(run->each_arg, &shown);
}

static int walk(struct run *run, struct err *err)
{
	int n;
	do
		n = store_run_findings(run->store, "all", run->walked, WALK, walk_finding, run, err);
	while (n > 0);
	return n;
}

static struct reconcile_class_counts sum_of(const struct reconcile_summary *summary)
{
	struct reconcile_class_counts sum = {0};
	for (int i = 0; i < CLASS_COUNT; i++) {
		const struct reconcile_class_counts *one = &summary->classes[i];
		sum.found += one->found;
		sum.proved += one->proved;
		sum.unproved += one->unproved;
		sum.acted += one->acted;
	}
	return sum;
}

/* The verdict of a run that nothing stopped. What is found outweighs what may have been missed where
 * nothing was to be done; where all was to be done, it is the other way round. */
static enum reconcile_verdict verdict_of(const struct run *run)
{
	const struct reconcile_class_counts sum = sum_of(run->summary);
	bool open = sum.unproved > 0 || run->summary->incomplete > 0;
	if (!run->acting && sum.proved > 0)
		return VERDICT_DRIFT;
	if (open)
		return VERDICT_INCOMPLETE;
	if (run->request->plan && sum.acted < sum.found)
		return run->acting ? VERDICT_PARTLY : VERDICT_IN_SYNC;
	if (sum.proved == 0)
		return VERDICT_IN_SYNC;
	return sum.acted == sum.proved ? VERDICT_REPAIRED : VERDICT_PARTLY;
}

static void say_verdict(const struct run *run)
{
	struct reconcile_summary *summary = run->summary;
	const struct reconcile_class_counts sum = sum_of(summary);
	summary->verdict = verdict_of(run);
	if (summary->verdict == VERDICT_INCOMPLETE)
		(void)snprintf(summary->text, sizeof(summary->text),
		               "%lld of %lld listings were not complete, %lld findings could not be proved",
		               (long long)summary->incomplete, (long long)summary->listings,
		               (long long)sum.unproved);
	else if (run->request->plan && !run->acting && !run->request->dry)
		(void)snprintf(summary->text, sizeof(summary->text),
		               "reconcile.mode is observe: the plan was proved anew, and nothing was done");
}

static int finish(struct run *run, struct err *err)
{
	struct reconcile_summary *summary = run->summary;
	char *counts = report_summary_json(summary);
	if (!counts)
		return err_oom(err);
	const struct store_run_summary end = {
	    .outcome = reconcile_verdict_name(summary->verdict),
	    .counts = counts,
	    .keep_days = run->config->keep_days,
	};
	int rc = store_run_finish(run->store, &end, err);
	free(counts);
	return rc;
}

static int go(struct run *run, struct err *err)
{
	int64_t acts = 0;
	int allowed = 1;
	if ((run->request->plan ? load(run, err) : look(run, err)) < 0 || prove(run, err) < 0)
		return -1;
	if (run->acting)
		allowed = guard(run, &acts, err);
	if (allowed < 0 || (run->acting && allowed && act(run, acts, err) < 0) || walk(run, err) < 0)
		return -1;
	if (allowed)
		say_verdict(run);
	else
		run->summary->verdict = VERDICT_GUARDED;
	return 0;
}

static int64_t mono_us(void)
{
	const struct clock *clock = clock_system();
	return clock->mono_us(clock->arg);
}

/* The history of a run that fails is that it was interrupted, with the acts that the ledger shows: what
 * it found is not whole, and must not stand as what there is. */
static void say_failed(struct run *run, const struct err *err)
{
	struct err ignored = {0};
	if (run->acted && run->walked == 0)
		(void)walk(run, &ignored);
	run->summary->verdict = VERDICT_FAILED;
	(void)snprintf(run->summary->text, sizeof(run->summary->text), "%s", err->text);
}

void reconcile_run(struct reconciler *rec, const struct reconcile_request *request,
                   const struct reconcile_watcher *watcher, store_finding_fn *each, void *each_arg,
                   struct reconcile_summary *ret, struct err *err)
{
	const struct reconcile_config *config = &rec->config;
	const struct backoff backoff = {config->backoff_base_ms, config->backoff_cap_ms};
	int64_t begun_us = mono_us();
	struct err own = {0};
	*ret = (struct reconcile_summary){.mode = config->mode, .dry = request->dry};
	struct run run = {
	    .rec = rec,
	    .config = config,
	    .request = request,
	    .watcher = watcher,
	    .each = each,
	    .each_arg = each_arg,
	    .summary = ret,
	    .acting = !request->dry && strcmp(config->mode, "repair") == 0,
	};
	pacer_init(&run.pacer, rec->loop, config->pages_in_flight, config->calls_per_second, &backoff,
	           config->call_attempts);
	int rc = begin(&run, &own);
	if (rc > 0)
		rc = go(&run, &own);
	ret->duration_us = mono_us() - begun_us;
	if (rc == 0 && ret->verdict != VERDICT_LOCKED)
		rc = finish(&run, &own);
	if (rc < 0) {
		say_failed(&run, &own);
		if (err)
			*err = own;
	}
	if (run.store)
		store_run_close(&run.store);
	gauges_count(&rec->gauges, ret, run.oldest_us);
}
