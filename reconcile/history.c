#include "history.h"

#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

enum { PAGE = 1000 };

/* ---- the list ---- */

struct list {
	FILE *out;
	json_t *runs; /* NULL: a table */
	int64_t count, last_id;
};

static json_t *run_json(const struct store_past_run *r)
{
	json_t *object = json_object();
	json_put_i64(object, "run_id", r->id);
	json_put_time(object, "started_at", r->started_at_us);
	json_put_time(object, "finished_at", r->finished_at_us);
	json_put_text(object, "actor", r->actor);
	json_put_text(object, "holder", r->holder);
	json_put_text(object, "shard", r->shard);
	json_put_i64(object, "term", r->term);
	json_put_text(object, "mode", r->mode);
	json_put_bool(object, "dry", r->dry);
	json_put_uuid(object, "team", &r->team_id);
	json_put_uuid(object, "function", &r->function_id);
	json_put_text(object, "outcome", r->outcome);
	json_put_i64(object, "found", r->found);
	json_put_i64(object, "acted", r->acted);
	json_put_i64(object, "reused", r->reused);
	return object;
}

/* "2026-01-02T03:04:05Z", and how long it took. */
static void format_run_time(const struct store_past_run *r, char start[CLOCK_RFC3339_SIZE],
                            char took[24])
{
	enum { TO_SECONDS = 19 };
	clock_rfc3339(r->started_at_us, start);
	memcpy(start + TO_SECONDS, "Z", 2);
	if (r->finished_at_us > 0)
		(void)snprintf(took, 24, "%.1fs", (double)(r->finished_at_us - r->started_at_us) / 1e6);
	else
		(void)snprintf(took, 24, "-");
}

static void list_run(void *arg, const struct store_past_run *r)
{
	struct list *list = arg;
	char start[CLOCK_RFC3339_SIZE], took[24];
	list->last_id = r->id;
	list->count++;
	if (list->runs) {
		(void)json_array_append_new(list->runs, run_json(r));
		return;
	}
	if (list->count == 1)
		(void)fprintf(list->out, "%-8s %-20s %10s %-12s %-8s %-4s %-16s %8s %8s %8s\n", "RUN",
		              "STARTED", "TOOK", "ACTOR", "MODE", "DRY", "OUTCOME", "FOUND", "ACTED",
		              "REUSED");
	format_run_time(r, start, took);
	(void)fprintf(list->out, "%-8lld %-20s %10s %-12s %-8s %-4s %-16s %8lld %8lld %8lld\n",
	              (long long)r->id, start, took, r->actor, r->mode, r->dry ? "dry" : "-",
	              r->outcome, (long long)r->found, (long long)r->acted, (long long)r->reused);
}

static int list_pages(struct pg_sync *sync, int64_t max, struct list *list, struct err *err)
{
	int64_t got, page;
	do {
		page = max - list->count < PAGE ? max - list->count : PAGE;
		got = store_history_runs(sync, list->last_id, page, list_run, list, err);
	} while (got == page && list->count < max);
	return got < 0 ? -1 : 0;
}

static void print_observed(FILE *out, const struct store_observed *seen)
{
	if (seen->observed == 0)
		return;
	(void)fprintf(out,
	              "\nobserving: %lld things would have been deleted; %lld of them were used again "
	              "later (%.2f %%), %lld are still adrift\n",
	              (long long)seen->observed, (long long)seen->reused,
	              100.0 * (double)seen->reused / (double)seen->observed, (long long)seen->open);
}

static void print_json(FILE *out, json_t *runs, const struct store_observed *seen)
{
	AUTO(json_drop) json_t *object = json_object();
	json_t *observed = json_object();
	json_put_i64(observed, "would_delete", seen->observed);
	json_put_i64(observed, "reused", seen->reused);
	json_put_i64(observed, "open", seen->open);
	(void)json_object_set(object, "runs", runs);
	(void)json_object_set_new(object, "observed", observed);
	(void)json_dumpf(object, out, JSON_INDENT(2));
	(void)fputc('\n', out);
}

int history_list(struct pg_sync *sync, int64_t max, bool json, FILE *out, struct err *err)
{
	AUTO(json_drop) json_t *runs = json ? json_array() : NULL;
	struct list list = {.out = out, .runs = runs};
	struct store_observed seen = {0};
	if (list_pages(sync, max, &list, err) < 0 || store_history_observed(sync, &seen, err) < 0)
		return -1;
	if (json)
		print_json(out, runs, &seen);
	else
		print_observed(out, &seen);
	if (list.count == 0 && !json)
		(void)fprintf(stderr, "no run yet\n");
	return 0;
}

/* ---- one run ---- */

struct shown {
	struct report *report;
	struct reconcile_summary summary;
	bool has_summary;
	char mode[16], outcome[32];
	int64_t last_id;
};

static void show_run(void *arg, const struct store_past_run *r)
{
	struct shown *shown = arg;
	FILE *out = shown->report->out;
	char start[CLOCK_RFC3339_SIZE], took[24];
	shown->has_summary = report_summary_parse(r->counts, &shown->summary);
	(void)snprintf(shown->mode, sizeof(shown->mode), "%s", r->mode);
	(void)snprintf(shown->outcome, sizeof(shown->outcome), "%s", r->outcome);
	shown->summary.mode = shown->mode;
	if (shown->report->format != REPORT_TABLE)
		return;
	format_run_time(r, start, took);
	(void)fprintf(out, "run %lld began at %s and took %s: by %s (%s), shard %s, term %lld\n\n",
	              (long long)r->id, start, took, r->actor, r->holder, r->shard, (long long)r->term);
}

static void show_finding(void *arg, const struct store_past_finding *f)
{
	struct shown *shown = arg;
	shown->last_id = f->finding.id;
	report_finding(shown->report, &f->finding);
}

int history_show(struct pg_sync *sync, int64_t run, struct report *report, struct err *err)
{
	struct shown shown = {.report = report};
	int got = store_history_run(sync, run, show_run, &shown, err);
	if (got == 0)
		return err_set(err, ERR_REJECT, "unknown",
		               "there is no run %lld; see `sandsweep reconcile history`", (long long)run);
	while (got > 0)
		got = store_history_findings(sync, run, shown.last_id, PAGE, show_finding, &shown, err);
	if (got < 0)
		return -1;
	if (shown.has_summary)
		report_summary(report, &shown.summary);
	else
		report_end(report);
	if (!shown.has_summary && report->format == REPORT_TABLE)
		(void)fprintf(report->out, "run %lld: %s\n", (long long)run, shown.outcome);
	return 0;
}
