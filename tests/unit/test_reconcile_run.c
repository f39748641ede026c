#include "reconcile_fixture.h"
#include "series.h"

#include "reconcile/plan.h"
#include "reconcile/report.h"

/* ---- what a run uses of others, in little ---- */

static const char *plan_fails; /* the function of the plan that refuses it */
static int plan_items;

char *report_summary_json(const struct reconcile_summary *summary)
{
	(void)summary;
	return strdup("{}");
}

int plan_check(const struct reconcile_plan *plan, int64_t now_us, int64_t max_age_ms,
               int64_t system_id, const char *database, struct err *err)
{
	(void)plan;
	(void)now_us;
	(void)max_age_ms;
	(void)system_id;
	(void)database;
	return is_word(plan_fails, "check") ? err_set(err, ERR_REJECT, "plan", "too old") : 0;
}

int plan_each(struct reconcile_plan *plan,
              int (*fn)(void *arg, const struct store_finding *finding, struct err *err), void *arg,
              struct err *err)
{
	(void)plan;
	const struct store_finding item = {.class_name = "ghost", .kind = "sandbox"};
	for (int i = 0; i < plan_items; i++)
		if (fn(arg, &item, err) < 0)
			return -1;
	return is_word(plan_fails, "each") ? err_set(err, ERR_REJECT, "plan", "altered") : 0;
}

static int probes;

void queue_probe(const struct kafka_config *config, int64_t timeout_ms, struct queue_probe *ret)
{
	assert_string_equal(config->bootstrap_servers, "here:1");
	assert_int_equal(timeout_ms, 3000);
	probes++;
	*ret = (struct queue_probe){.why = "no answer", .lag = -1, .dead_letters = 3};
}

/* ---- the table ---- */

enum { DRY = 1, OBSERVE = 2, PLAN = 4 };
/* Findings, a letter each: P proved, N to be proved and absent indeed, T to be proved and there,
 * U unproved, D disproved, Y young, n a note (proved). */
#define LOOK "begin ahead teams copy copy_end listings teams listed "
#define FIND                                                                                 \
	"find unreleased find missed_event find stale_mapping find ghost find resurrected find " \
	"stuck_lease find orphan_sandbox find orphan_volume find orphan_snapshot "
#define BEFORE LOOK FIND "pipeline to_prove "

struct run_case {
	const char *name;
	int flags;
	const char *findings;
	const char *results[4]; /* of acts; NULL: done */
	hook_fn *hook;
	int64_t acts_owned[2]; /* the blast; 0: none */
	int64_t allow;
	enum reconcile_verdict want;
	int want_acts;
	const char *trace, *says;
};

static bool lists_break(struct fake *f, const struct platform_request *request, int call,
                        struct reply *reply)
{
	(void)f;
	(void)call;
	bool list = request->op == PLATFORM_SANDBOX_LIST;
	if (list)
		fault(reply, PLATFORM_TIMEOUT, 0);
	return list;
}

static bool gets_break(struct fake *f, const struct platform_request *request, int call,
                       struct reply *reply)
{
	(void)f;
	(void)call;
	bool get_one = request->op == PLATFORM_SANDBOX_GET;
	if (get_one)
		fault(reply, PLATFORM_ANSWERED, 403);
	return get_one;
}

/* clang-format off */
static const struct run_case cases[] = {
    {"nothing", 0, "", {NULL}, NULL, {0}, 0, VERDICT_IN_SYNC, 0,
     BEFORE "blast act all finish ", NULL},
    {"nothing that counts", 0, "DYn", {NULL}, NULL, {0}, 0, VERDICT_IN_SYNC, 0, NULL, NULL},
    {"all repaired", 0, "PP", {NULL}, NULL, {2, 100}, 0, VERDICT_REPAIRED, 2,
     BEFORE "blast act all finish ", NULL},
    {"proved, then repaired", 0, "NN", {NULL}, NULL, {2, 100}, 0, VERDICT_REPAIRED, 2,
     BEFORE "proofs to_prove blast act all finish ", NULL},
    {"disproved", 0, "T", {NULL}, NULL, {0}, 0, VERDICT_IN_SYNC, 0, NULL, NULL},
    {"one came too late", 0, "PP", {"stale"}, NULL, {2, 100}, 0, VERDICT_PARTLY, 2, NULL, NULL},
    {"one failed", 0, "PP", {"done", "failed"}, NULL, {2, 100}, 0, VERDICT_PARTLY, 2, NULL, NULL},
    {"one cannot be proved", 0, "PN", {NULL}, gets_break, {1, 100}, 0, VERDICT_INCOMPLETE, 1, NULL,
     "1 findings could not be proved"},
    {"a listing is missing", 0, "P", {NULL}, lists_break, {1, 100}, 0, VERDICT_INCOMPLETE, 1, NULL,
     "1 of 2 listings"},
    {"a listing is missing, nothing else", 0, "", {NULL}, lists_break, {0}, 0, VERDICT_INCOMPLETE, 0,
     NULL, "1 of 2 listings"},
    {"dry, drift", DRY, "PYn", {NULL}, NULL, {1, 100}, 0, VERDICT_DRIFT, 0, BEFORE "all finish ",
     NULL},
    {"dry, drift and a missing listing", DRY, "P", {NULL}, lists_break, {1, 100}, 0, VERDICT_DRIFT,
     0, NULL, NULL},
    {"dry, a missing listing", DRY, "", {NULL}, lists_break, {0}, 0, VERDICT_INCOMPLETE, 0, NULL,
     "1 of 2 listings"},
    {"dry, nothing", DRY, "nD", {NULL}, NULL, {0}, 0, VERDICT_IN_SYNC, 0, NULL, NULL},
    {"dry: no guard stops it", DRY, "P", {NULL}, NULL, {1000000, 1}, 0, VERDICT_DRIFT, 0,
     BEFORE "all finish ", NULL},
    {"observed only", OBSERVE, "PN", {NULL}, NULL, {1000000, 1}, 0, VERDICT_DRIFT, 0,
     BEFORE "proofs to_prove all finish ", NULL},
    {"observed only: nothing", OBSERVE, "", {NULL}, NULL, {0}, 0, VERDICT_IN_SYNC, 0, NULL, NULL},
    {"as much as is allowed", 0, "P", {NULL}, NULL, {500, 100000}, 0, VERDICT_REPAIRED, 1, NULL,
     NULL},
    {"one more", 0, "P", {NULL}, NULL, {501, 100000}, 0, VERDICT_GUARDED, 0,
     BEFORE "blast all finish ", "--allow 501"},
    {"one more, and a missing listing", 0, "P", {NULL}, lists_break, {501, 100000}, 0,
     VERDICT_GUARDED, 0, NULL, "--allow 501"},
    {"one more, allowed", 0, "P", {NULL}, NULL, {501, 100000}, 501, VERDICT_REPAIRED, 1, NULL, NULL},
    {"too large a share", 0, "P", {NULL}, NULL, {11, 100}, 0, VERDICT_GUARDED, 0, NULL,
     "reconcile.max_share"},
    {"a plan", PLAN, "PN", {NULL}, NULL, {2, 100}, 0, VERDICT_REPAIRED, 2,
     "begin load to_prove proofs to_prove blast act all finish ", NULL},
    {"a plan of too much", PLAN, "P", {NULL}, NULL, {501, 100000}, 0, VERDICT_GUARDED, 0, NULL,
     "--allow 501"},
    {"a plan of too much, allowed", PLAN, "P", {NULL}, NULL, {501, 100000}, 501, VERDICT_REPAIRED, 1,
     NULL, NULL},
    {"a plan, one of it not so any more", PLAN, "PT", {NULL}, NULL, {1, 100}, 0, VERDICT_PARTLY, 1,
     NULL, NULL},
    {"a plan, one of it too late", PLAN, "PP", {"stale"}, NULL, {2, 100}, 0, VERDICT_PARTLY, 2, NULL,
     NULL},
    {"a plan, observed only", PLAN | OBSERVE, "P", {NULL}, NULL, {1, 100}, 0, VERDICT_DRIFT, 0,
     "begin load to_prove all finish ", "observe"},
    {"a plan, dry", PLAN | DRY, "T", {NULL}, NULL, {1, 100}, 0, VERDICT_IN_SYNC, 0, NULL, NULL},
};
/* clang-format on */

static void add_finding(struct fake *f, char letter)
{
	static const struct {
		char letter;
		const char *verdict, *proof, *action, *id;
	} forms[] = {
	    {'P', "proved", "none", "doom", "sb-9"},    {'N', NULL, "absent", "clear", "sb-9"},
	    {'T', NULL, "absent", "clear", "sb-1"},     {'U', "unproved", "absent", "clear", "sb-9"},
	    {'D', "disproved", "none", "doom", "sb-9"}, {'Y', "young", "none", "doom", "sb-9"},
	    {'n', "proved", "none", "note", "sb-9"},
	};
	size_t i = 0;
	while (forms[i].letter != letter)
		assert_true(++i < N_OF(forms));
	f->findings[f->finding_count] = (struct store_finding){
	    .id = f->finding_count + 1,
	    .class_name = "ghost",
	    .kind = "sandbox",
	    .resource_id = forms[i].id,
	    .team_id.bytes = {1},
	    .since_us = 1000000 * (f->finding_count + 1),
	    .proof = forms[i].proof,
	    .action = forms[i].action,
	    .verdict = forms[i].verdict,
	    .evidence = "{}",
	};
	f->finding_count++;
}

struct seen {
	int count;
	char results[FINDINGS_MAX][16];
};

static void on_finding(void *arg, const struct store_finding *finding)
{
	struct seen *seen = arg;
	(void)snprintf(seen->results[seen->count++], 16, "%s", finding->result ? finding->result : "");
}

struct setting {
	struct reconcile_config config;
	const struct kafka_config *kafka; /* NULL: none is configured */
	struct metrics *metrics;
	struct reconciler *rec;
};

static void open_reconciler(struct fake *f, struct setting *s)
{
	static const struct pg_config postgres = {.dsn = ""};
	static const struct platform_config platform = {.url = ""};
	struct err err = {0};
	s->metrics = metrics_new(NULL);
	assert_non_null(s->metrics);
	const struct reconciler_opts opts = {
	    .config = &s->config,
	    .postgres = &postgres,
	    .platform = &platform,
	    .metrics = s->metrics,
	    .kafka = s->kafka,
	};
	s->rec = reconciler_new(f->loop, &opts, &err);
	if (!s->rec)
		fail_msg("%s", err.text);
	f->team_count = 1;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 3);
}

static void close_reconciler(struct setting *s)
{
	reconciler_free(s->rec);
	metrics_free(s->metrics);
}

static void expect_metric(const struct setting *s, const char *line)
{
	expect_lines(s->metrics, &line, 1);
}

static void check_run(struct fake *f, size_t i, const struct reconcile_summary *summary)
{
	const char *name = cases[i].name;
	if (summary->verdict != cases[i].want)
		fail_msg("%s: %s (%s)", name, reconcile_verdict_name(summary->verdict), summary->text);
	assert_string_equal(f->outcome, reconcile_verdict_name(cases[i].want));
	if (f->acts != cases[i].want_acts)
		fail_msg("%s: %d acts", name, f->acts);
	if (cases[i].trace && strcmp(f->trace, cases[i].trace) != 0)
		fail_msg("%s: %s", name, f->trace);
	if (cases[i].says ? !strstr(summary->text, cases[i].says) : summary->text[0] != '\0')
		fail_msg("%s: says '%s'", name, summary->text);
	assert_true(f->finished && f->closed);
	assert_int_equal(summary->run_id, 5);
	assert_int_equal(summary->term, 9);
}

static void comes_to_its_verdict(void **state)
{
	for (size_t i = 0; i < N_OF(cases); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct setting s = {.config = usual_config()};
		struct reconcile_plan plan = {0};
		struct reconcile_summary summary;
		struct seen seen = {0};
		struct err err = {0};
		char line[128];
		s.config.mode = cases[i].flags & OBSERVE ? "observe" : "repair";
		open_reconciler(f, &s);
		f->hook = cases[i].hook;
		plan_fails = NULL;
		plan_items = 3;
		for (const char *c = cases[i].findings; *c; c++)
			add_finding(f, *c);
		memcpy(f->results, cases[i].results, sizeof(cases[i].results));
		f->blasts[0] =
		    (struct store_blast){.acts = cases[i].acts_owned[0], .owned = cases[i].acts_owned[1]};
		f->blast_count = 1;
		const struct reconcile_request request = {
		    .actor = "me",
		    .holder = "here",
		    .dry = cases[i].flags & DRY,
		    .allow = cases[i].allow,
		    .plan = cases[i].flags & PLAN ? &plan : NULL,
		};
		reconcile_run(s.rec, &request, NULL, on_finding, &seen, &summary, &err);
		check_run(f, i, &summary);
		assert_int_equal(err.kind, ERR_NONE);
		assert_int_equal(seen.count, f->finding_count);
		(void)snprintf(line, sizeof(line), "sandsweep_reconcile_runs_total{verdict=\"%s\"} 1\n",
		               reconcile_verdict_name(cases[i].want));
		expect_metric(&s, line);
		close_reconciler(&s);
		assert_int_equal(fake_teardown(state), 0);
	}
}

static struct reconcile_summary run_once(struct setting *s, const struct reconcile_request *request,
                                         struct seen *seen)
{
	struct reconcile_summary summary;
	struct err err = {0};
	reconcile_run(s->rec, request, NULL, on_finding, seen, &summary, &err);
	assert_int_equal(err.kind != ERR_NONE, summary.verdict == VERDICT_FAILED);
	return summary;
}

static const struct reconcile_request plain = {.actor = "me", .holder = "here"};

static void counts_by_class(void **state)
{
	struct fake *f = *state;
	struct setting s = {.config = usual_config()};
	struct seen seen = {0};
	open_reconciler(f, &s);
	for (const char *c = "PPPPNTDYn"; *c; c++)
		add_finding(f, *c);
	f->results[1] = "stale";
	f->results[2] = "failed";
	f->results[3] = "skipped";
	f->findings[0].class_name = "unreleased";
	const struct reconcile_summary got = run_once(&s, &plain, &seen);
	const struct reconcile_class_counts *ghost = &got.classes[CLASS_GHOST];
	assert_int_equal(got.classes[CLASS_UNRELEASED].acted, 1);
	assert_int_equal(ghost->found, 8);
	assert_int_equal(ghost->proved, 4);
	assert_int_equal(ghost->disproved, 2);
	assert_int_equal(ghost->young, 1);
	assert_int_equal(ghost->notes, 1);
	assert_int_equal(ghost->unproved, 0);
	assert_int_equal(ghost->acted, 1);
	assert_int_equal(ghost->stale, 1);
	assert_int_equal(ghost->failed, 1);
	assert_int_equal(ghost->skipped, 1);
	assert_int_equal(got.teams, 1);
	assert_int_equal(got.listings, 2);
	assert_int_equal(got.rows, 3);
	assert_int_equal(got.pages, 4);
	assert_int_equal(got.gets, 3);
	assert_true(got.pipeline_read);
	assert_int_equal(got.pipeline.dead, 7);
	expect_metric(&s, "sandsweep_reconcile_acts_total{class=\"ghost\"} 1\n");
	expect_metric(&s, "sandsweep_reconcile_findings{class=\"ghost\"} 4\n");
	expect_metric(&s, "sandsweep_reconcile_incomplete_listings 0\n");
	expect_metric(&s, "sandsweep_reconcile_duration_seconds_count 1\n");
	expect_metric(&s, "sandsweep_drift_age_seconds{class=\"unreleased\"} 0\n");
	close_reconciler(&s);
}

/* What is shown of findings that nothing was done about. */
static void shows_results(void **state)
{
	struct fake *f = *state;
	struct setting s = {.config = usual_config()};
	struct seen seen = {0}, again = {0};
	struct reconcile_plan plan = {0};
	struct reconcile_request request = plain;
	open_reconciler(f, &s);
	add_finding(f, 'P');
	add_finding(f, 'Y');
	request.dry = true;
	(void)run_once(&s, &request, &seen);
	assert_string_equal(seen.results[0], "dry");
	assert_string_equal(seen.results[1], "");
	request.dry = false;
	request.plan = &plan;
	(void)run_once(&s, &request, &again);
	assert_string_equal(again.results[0], "done");
	assert_string_equal(again.results[1], "skipped");
	close_reconciler(&s);
}

static void another_run_has_the_lock(void **state)
{
	struct fake *f = *state;
	struct setting s = {.config = usual_config()};
	struct seen seen = {0};
	open_reconciler(f, &s);
	f->begun = (struct store_run_begun){.holder = "there 17", .held_since_us = 86400000000};
	const struct reconcile_summary got = run_once(&s, &plain, &seen);
	assert_int_equal(got.verdict, VERDICT_LOCKED);
	assert_string_equal(got.text,
	                    "another run holds the lock: there 17, since 1970-01-02T00:00:00.000000Z");
	assert_string_equal(f->trace, "begin ");
	assert_true(f->closed && !f->finished);
	expect_metric(&s, "sandsweep_reconcile_runs_total{verdict=\"locked\"} 1\n");
	expect_metric(&s, "sandsweep_reconcile_duration_seconds_count 0\n");
	close_reconciler(&s);
}

/* Wherever the session breaks: the run failed, nothing is acted on after, and its row is not written. */
static void fails_with_the_session(void **state)
{
	static const struct {
		const char *at;
		int acts;
	} places[] = {
	    {"begin", 0},    {"teams", 0},    {"copy", 0},     {"copy_row", 0},
	    {"copy_end", 0}, {"listings", 0}, {"listed", 0},   {"find", 0},
	    {"ghost", 0},    {"pipeline", 0}, {"to_prove", 0}, {"proofs", 0},
	    {"blast", 0},    {"act", 2},      {"all", 2},      {"finish", 2},
	};
	for (size_t i = 0; i < N_OF(places); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct setting s = {.config = usual_config()};
		struct seen seen = {0};
		open_reconciler(f, &s);
		add_finding(f, 'P');
		add_finding(f, 'N');
		f->fails = places[i].at;
		const struct reconcile_summary got = run_once(&s, &plain, &seen);
		if (got.verdict != VERDICT_FAILED || f->acts != places[i].acts)
			fail_msg("%s: %s, %d acts", places[i].at, reconcile_verdict_name(got.verdict), f->acts);
		assert_non_null(strstr(got.text, "the connection broke in"));
		assert_int_equal(f->closed, strcmp(places[i].at, "begin") != 0);
		assert_int_equal(f->finished, strcmp(places[i].at, "finish") == 0);
		f->copying = false;
		close_reconciler(&s);
		assert_int_equal(fake_teardown(state), 0);
	}
}

static void refuses_plans(void **state)
{
	static const char *const places[] = {"check", "each"};
	for (size_t i = 0; i < N_OF(places); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct setting s = {.config = usual_config()};
		struct reconcile_plan plan = {0};
		struct reconcile_request request = plain;
		struct seen seen = {0};
		open_reconciler(f, &s);
		add_finding(f, 'P');
		plan_fails = places[i];
		plan_items = 600; /* some batches */
		request.plan = &plan;
		assert_int_equal(run_once(&s, &request, &seen).verdict, VERDICT_FAILED);
		assert_int_equal(f->acts, 0);
		assert_int_equal(f->calls, 0);
		plan_fails = NULL;
		close_reconciler(&s);
		assert_int_equal(fake_teardown(state), 0);
	}
}

/* Switches of the configuration and the request's choice: both must agree. */
static void looks_for_what_it_is_asked(void **state)
{
	struct fake *f = *state;
	struct setting s = {.config = usual_config()};
	struct reconcile_request request = plain;
	struct seen seen = {0};
	s.config.enabled[CLASS_RESURRECTED] = false;
	open_reconciler(f, &s);
	request.any_only = true;
	request.only[CLASS_GHOST] = request.only[CLASS_RESURRECTED] = true;
	assert_int_equal(run_once(&s, &request, &seen).verdict, VERDICT_IN_SYNC);
	assert_string_equal(f->trace, LOOK "find ghost pipeline to_prove blast act all finish ");
	close_reconciler(&s);
}

/* The queue is looked at by a run over everything, where Kafka is configured; what it says decides nothing. */
static void looks_at_the_queue(void **state)
{
	static const struct kafka_config kafka = {.bootstrap_servers = "here:1"};
	static const struct {
		bool kafka, team, function, plan;
		int probes;
	} asked[] = {
	    {true, false, false, false, 1}, {false, false, false, false, 0},
	    {true, true, false, false, 0},  {true, true, true, false, 0},
	    {true, false, false, true, 0},
	};
	for (size_t i = 0; i < N_OF(asked); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct setting s = {.config = usual_config(), .kafka = asked[i].kafka ? &kafka : NULL};
		struct reconcile_plan plan = {0};
		struct reconcile_request request = plain;
		struct seen seen = {0};
		probes = 0;
		plan_fails = NULL;
		plan_items = 0;
		memset(&request.team_id, asked[i].team, sizeof(request.team_id));
		memset(&request.function_id, asked[i].function, sizeof(request.function_id));
		request.plan = asked[i].plan ? &plan : NULL;
		open_reconciler(f, &s);
		expect_metric(&s, "sandsweep_reconcile_dead_letters -1\n");
		const struct reconcile_summary got = run_once(&s, &request, &seen);
		assert_int_equal(got.verdict, VERDICT_IN_SYNC);
		assert_int_equal(probes, asked[i].probes);
		assert_int_equal(got.queue_read, asked[i].probes);
		assert_int_equal(got.queue.dead_letters, asked[i].probes ? 3 : 0);
		expect_metric(&s, "sandsweep_reconcile_topic_lag -1\n");
		expect_metric(&s, asked[i].probes ? "sandsweep_reconcile_dead_letters 3\n"
		                                  : "sandsweep_reconcile_dead_letters -1\n");
		close_reconciler(&s);
		assert_int_equal(fake_teardown(state), 0);
	}
}

static struct reconciler *to_stop;
static int stop_after; /* so many acts of this phase */

static void stop_on_progress(void *arg, const char *phase, int64_t done, int64_t total)
{
	(void)total;
	if (strcmp(phase, arg) == 0 && done >= stop_after)
		reconciler_stop(to_stop);
}

/* It ends after the acts that it is in, and says what it has done. */
static void stops_when_told(void **state)
{
	static const struct {
		const char *phase;
		int after, most, least; /* acts */
	} stops[] = {{"list", 0, 0, 0}, {"find", 3, 0, 0}, {"prove", 1, 0, 0}, {"act", 1, 16, 1}};
	for (size_t i = 0; i < N_OF(stops); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct setting s = {.config = usual_config()};
		struct reconcile_summary summary;
		struct seen seen = {0};
		struct err err = {0};
		char phase[8];
		(void)snprintf(phase, sizeof(phase), "%s", stops[i].phase);
		const struct reconcile_watcher watcher = {.progress = stop_on_progress, .arg = phase};
		open_reconciler(f, &s);
		to_stop = s.rec;
		stop_after = stops[i].after;
		for (int k = 0; k < 40; k++)
			add_finding(f, k % 2 ? 'P' : 'N');
		reconcile_run(s.rec, &plain, &watcher, on_finding, &seen, &summary, &err);
		assert_int_equal(summary.verdict, VERDICT_FAILED);
		assert_string_equal(err.code, "stopped");
		assert_in_range(f->acts, stops[i].least, stops[i].most);
		assert_int_equal(summary.classes[CLASS_GHOST].acted, f->acts);
		assert_true(f->closed && !f->finished);
		close_reconciler(&s);
		assert_int_equal(fake_teardown(state), 0);
	}
}

/* The guard looks at so many teams one by one; beyond, only those may be left that no guard of a team would
 * stop. */
static void does_not_act_on_teams_unseen(void **state)
{
	static const struct {
		int teams;
		int64_t acts_each, allow;
		enum reconcile_verdict want;
	} worlds[] = {
	    {1023, 11, 0, VERDICT_REPAIRED},
	    {1024, 11, 0, VERDICT_GUARDED},
	    {1024, 10, 0, VERDICT_REPAIRED},
	    {1024, 11, 1024 * 11, VERDICT_REPAIRED},
	};
	for (size_t i = 0; i < N_OF(worlds); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct setting s = {.config = usual_config()};
		struct reconcile_request request = plain;
		struct seen seen = {0};
		s.config.max_acts = 1000000;
		s.config.max_share_team = 100;
		open_reconciler(f, &s);
		add_finding(f, 'P');
		f->blast_count = 1 + worlds[i].teams;
		f->blasts[0] =
		    (struct store_blast){.acts = worlds[i].teams * worlds[i].acts_each, .owned = 1000000};
		for (int k = 1; k <= worlds[i].teams; k++)
			f->blasts[k] = (struct store_blast){
			    .team_id.bytes = {1}, .acts = worlds[i].acts_each, .owned = 1000};
		request.allow = worlds[i].allow;
		assert_int_equal(run_once(&s, &request, &seen).verdict, worlds[i].want);
		assert_int_equal(f->acts, worlds[i].want == VERDICT_REPAIRED);
		close_reconciler(&s);
		assert_int_equal(fake_teardown(state), 0);
	}
}

static void hands_down_what_it_is_asked(void **state)
{
	struct fake *f = *state;
	struct setting s = {.config = usual_config()};
	struct reconcile_request request = plain;
	struct seen seen = {0};
	s.config.shard = "north";
	s.config.query_timeout_ms = 1234;
	s.config.adopt_volumes = true;
	open_reconciler(f, &s);
	request.dry = true;
	request.team_id.bytes[3] = 4;
	request.function_id.bytes[5] = 6;
	const struct reconcile_summary got = run_once(&s, &request, &seen);
	assert_string_equal(f->opts.shard, "north");
	assert_string_equal(f->opts.actor, "me");
	assert_string_equal(f->opts.holder, "here");
	assert_string_equal(f->opts.mode, "repair");
	assert_true(f->opts.dry && got.dry);
	assert_string_equal(got.mode, "repair");
	assert_int_equal(f->opts.query_timeout_ms, 1234);
	assert_true(f->opts.adopt_volumes);
	assert_memory_equal(&f->opts.team_id, &request.team_id, 16);
	assert_memory_equal(&f->opts.function_id, &request.function_id, 16);
	close_reconciler(&s);
}

static void bad_settings_are_refused(void **state)
{
	struct fake *f = *state;
	static const struct {
		const char *mode, *shard;
		int64_t base_ms, cap_ms;
	} bad[] = {{"maybe", "a", 1, 1}, {"", "a", 1, 1}, {"repair", "", 1, 1}, {"repair", "a", 2, 1}};
	for (size_t i = 0; i < N_OF(bad); i++) {
		struct reconcile_config config = usual_config();
		const struct reconciler_opts opts = {.config = &config};
		struct err err = {0};
		config.mode = bad[i].mode;
		config.shard = bad[i].shard;
		config.backoff_base_ms = bad[i].base_ms;
		config.backoff_cap_ms = bad[i].cap_ms;
		assert_null(reconciler_new(f->loop, &opts, &err));
		assert_int_equal(err.kind, ERR_REJECT);
		assert_string_equal(err.code, "config");
	}
}

int main(void)
{
#define IN_FAKE(test) cmocka_unit_test_setup_teardown(test, fake_setup, fake_teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_to_its_verdict),
	    IN_FAKE(counts_by_class),
	    IN_FAKE(shows_results),
	    IN_FAKE(another_run_has_the_lock),
	    cmocka_unit_test(fails_with_the_session),
	    cmocka_unit_test(refuses_plans),
	    IN_FAKE(looks_for_what_it_is_asked),
	    cmocka_unit_test(looks_at_the_queue),
	    cmocka_unit_test(stops_when_told),
	    cmocka_unit_test(does_not_act_on_teams_unseen),
	    IN_FAKE(hands_down_what_it_is_asked),
	    IN_FAKE(bad_settings_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
