#include "cmd_reconcile.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "history.h"
#include "plan.h"
#include "progress.h"
#include "report.h"
#include "sql/migrate.h"
#include "watch.h"

enum { HISTORY_DEFAULT = 20 };

/* ---- the command line ---- */

enum verb { VERB_RUN, VERB_APPLY, VERB_HISTORY, VERB_SHOW };
static const struct {
	const char *word, *name;
	int operands; /* behind the verb */
} verbs[] = {
    [VERB_RUN] = {"", "reconcile", 0},
    [VERB_APPLY] = {"apply", "reconcile apply FILE", 1},
    [VERB_HISTORY] = {"history", "reconcile history", 0},
    [VERB_SHOW] = {"show", "reconcile show RUN", 1},
};

struct args {
	enum verb verb;
	const char *operand;
	bool dry, watch;
	const char *function, *team, *classes, *allow, *plan_out, *limit, *output;
};

/* What the command line and the settings say, checked. */
struct job {
	struct reconcile_config config;
	struct pg_config postgres;
	struct platform_config platform;
	struct kafka_config kafka;
	bool has_kafka;
	struct reconcile_request request;
	enum report_format format;
	char holder[96];
};

static int usage(struct err *err, const char *text)
{
	return err_set(err, ERR_REJECT, "usage", "%s", text);
}

static int find_verb(const char *const *operands, int count, struct args *a, struct err *err)
{
	if (count == 0)
		return 0;
	for (size_t i = VERB_APPLY; i < N_OF(verbs); i++)
		if (strcmp(operands[0], verbs[i].word) == 0 && count == 1 + verbs[i].operands) {
			a->verb = (enum verb)i;
			a->operand = verbs[i].operands ? operands[1] : NULL;
			return 0;
		}
	return usage(err, "say `reconcile`, `reconcile apply FILE`, `reconcile history` or "
	                  "`reconcile show RUN`");
}

/* Which options go with which verb. */
static int check_verb(const struct args *a, struct err *err)
{
	const struct {
		const char *name;
		bool given;
		unsigned verbs; /* bits */
	} options[] = {
	    {"dry-run", a->dry, 1U << VERB_RUN},
	    {"watch", a->watch, 1U << VERB_RUN},
	    {"function", a->function != NULL, 1U << VERB_RUN},
	    {"team", a->team != NULL, 1U << VERB_RUN},
	    {"class", a->classes != NULL, 1U << VERB_RUN},
	    {"plan-out", a->plan_out != NULL, 1U << VERB_RUN},
	    {"allow", a->allow != NULL, 1U << VERB_RUN | 1U << VERB_APPLY},
	    {"limit", a->limit != NULL, 1U << VERB_HISTORY},
	};
	for (size_t i = 0; i < N_OF(options); i++)
		if (options[i].given && !(options[i].verbs & 1U << a->verb))
			return err_set(err, ERR_REJECT, "usage", "`%s` takes no --%s", verbs[a->verb].name,
			               options[i].name);
	return 0;
}

/* What cannot be meant together. */
static int check_together(const struct args *a, struct err *err)
{
	const struct {
		bool both;
		const char *text;
	} contradictions[] = {
	    {a->watch && a->plan_out, "--watch writes no plan: leave out --plan-out"},
	    {a->watch && a->allow,
	     "--allow is for one run that a person looks at: it cannot go with --watch"},
	    {a->watch && a->output, "--watch prints nothing: leave out --output; see `sandsweep "
	                            "reconcile history`"},
	    {a->dry && a->allow, "no guard stops a dry run: leave out --allow or --dry-run"},
	    {a->plan_out && a->allow,
	     "no guard stops the making of a plan: give --allow to `reconcile apply`"},
	};
	for (size_t i = 0; i < N_OF(contradictions); i++)
		if (contradictions[i].both)
			return usage(err, contradictions[i].text);
	return 0;
}

static int number(const char *name, const char *text, int64_t def, int64_t *ret, struct err *err)
{
	*ret = def;
	if (text && num_i64(text, strlen(text), 1, INT64_MAX, ret) < 0)
		return err_set(err, ERR_REJECT, "usage", "--%s takes a whole number from 1 on, not \"%s\"",
		               name, text);
	return 0;
}

static int read_format(const struct args *a, enum report_format *ret, struct err *err)
{
	*ret = REPORT_TABLE;
	if (a->output && report_format_parse(a->output, ret) < 0)
		return usage(err, "--output takes table, json or jsonl");
	if (a->verb == VERB_HISTORY && *ret == REPORT_JSONL)
		return usage(err, "`reconcile history` takes --output table or json");
	return 0;
}

static int add_class(struct job *job, const char *name, struct err *err)
{
	enum reconcile_class class_;
	if (reconcile_class_parse(name, &class_) < 0)
		return err_set(err, ERR_REJECT, "usage",
		               "--class does not know \"%s\"; see the classes in sandsweep(1)", name);
	/* In silence it would read as: there is no drift. */
	if (!job->config.enabled[class_])
		return err_set(err, ERR_REJECT, "usage",
		               "--class %s: that class is switched off, by reconcile.%s_enabled", name,
		               name);
	job->request.only[class_] = true;
	job->request.any_only = true;
	return 0;
}

static int read_classes(struct job *job, const char *list, struct err *err)
{
	enum { NAME_MAX_BYTES = 63 };
	for (const char *at = list; at;) {
		char name[NAME_MAX_BYTES + 1];
		size_t len = strcspn(at, ",");
		(void)snprintf(name, sizeof(name), "%.*s",
		               (int)(len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES), at);
		if (add_class(job, name, err) < 0)
			return -1;
		at = at[len] ? at + len + 1 : NULL;
	}
	return 0;
}

static int read_request(const struct args *a, struct job *job, struct err *err)
{
	struct reconcile_request *request = &job->request;
	request->dry = a->dry || a->plan_out;
	if (number("allow", a->allow, 0, &request->allow, err) < 0 ||
	    read_format(a, &job->format, err) < 0 || read_classes(job, a->classes, err) < 0)
		return -1;
	if (a->team && uuid_parse(a->team, strlen(a->team), &request->team_id) < 0)
		return err_set(err, ERR_REJECT, "usage", "--team takes a UUID, not \"%s\"", a->team);
	bool observes = strcmp(job->config.mode, "observe") == 0;
	if (a->verb == VERB_APPLY && observes)
		return err_set(err, ERR_REJECT, "config",
		               "reconcile.mode is observe: nothing is applied; say "
		               "`-o reconcile.mode=repair` if this once it shall be");
	if (a->allow && observes)
		return usage(err, "reconcile.mode is observe, which acts on nothing: leave out --allow");
	return 0;
}

/* systemd says whom it started. A shell below one of its services inherits that, but not the process id. */
static const char *run_actor(void)
{
	const char *text = getenv("SYSTEMD_EXEC_PID");
	int64_t pid = getpid();
	if (text && num_i64(text, strlen(text), 1, INT64_MAX, &pid) < 0)
		pid = 0;
	bool started = getenv("INVOCATION_ID") && pid == getpid();
	bool watched = isatty(STDIN_FILENO) || isatty(STDOUT_FILENO) || isatty(STDERR_FILENO);
	return started && !watched ? "timer" : cmd_actor();
}

static void set_names(struct job *job)
{
	char host[64] = "";
	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(job->holder, sizeof(job->holder), "%s/%ld", host, (long)getpid());
	job->request.holder = job->holder;
	job->request.actor = run_actor();
}

/* The queue is only looked at: without a broker to ask the reconciler does all else. */
static void read_kafka(const struct cmd_ctx *ctx, struct job *job)
{
	struct err ignored = {0};
	job->has_kafka = config_read(ctx->config, &kafka_section, &job->kafka, &ignored) == 0 &&
	                 *job->kafka.bootstrap_servers;
	job->kafka.config = ctx->config;
}

static const struct kafka_config *kafka_of(const struct job *job)
{
	return job->has_kafka ? &job->kafka : NULL;
}

/* ---- one run ---- */

struct run {
	struct report report;
	struct progress progress;
	struct plan_writer *plan; /* NULL: none is wanted */
	struct reconciler *reconciler;
};

static void on_signal(void *arg, int signal)
{
	struct run *run = arg;
	if (signal != SIGHUP && run->reconciler)
		reconciler_stop(run->reconciler);
}

static void on_finding(void *arg, const struct store_finding *finding)
{
	struct run *run = arg;
	progress_clear(&run->progress);
	report_finding(&run->report, finding);
	if (run->plan)
		plan_writer_item(run->plan, finding);
}

/* It never began: nothing was found, so there is nothing to report. */
static bool before_it_began(const struct reconcile_summary *summary, const struct err *err)
{
	return summary->verdict == VERDICT_FAILED &&
	       (summary->run_id == 0 || strcmp(err->code, "plan") == 0);
}

static int end_plan(struct run *run, const struct args *a, const struct reconcile_summary *summary,
                    struct err *err)
{
	bool whole = summary->verdict != VERDICT_FAILED && summary->verdict != VERDICT_LOCKED;
	if (!run->plan)
		return 0;
	if (!whole) {
		plan_writer_drop(&run->plan);
		return 0;
	}
	if (plan_writer_end(TAKE(run->plan), summary, err) < 0)
		return -1;
	(void)fprintf(stderr, "the plan is in %s; `sandsweep reconcile apply %s` does it\n",
	              a->plan_out, a->plan_out);
	return 0;
}

static int run_and_report(const struct cmd_ctx *ctx, const struct args *a, const struct job *job,
                          struct run *run)
{
	const struct reconcile_watcher watcher = {progress_watch, &run->progress};
	struct reconcile_summary summary = {0};
	struct err err = {0}, plan_err = {0};
	reconcile_run(run->reconciler, &job->request, &watcher, on_finding, run, &summary, &err);
	progress_clear(&run->progress);
	if (before_it_began(&summary, &err))
		return cmd_fail(ctx, &err);
	summary.mode = summary.mode ? summary.mode : job->config.mode;
	report_summary(&run->report, &summary);
	/* The result comes before what is said of it. */
	(void)fflush(stdout);
	if (end_plan(run, a, &summary, &plan_err) < 0)
		return cmd_fail(ctx, &plan_err);
	if (summary.verdict == VERDICT_FAILED)
		(void)cmd_fail(ctx, &err);
	return (int)summary.verdict;
}

static int run_on_loop(const struct cmd_ctx *ctx, const struct args *a, const struct job *job,
                       struct loop *loop)
{
	AUTO(plan_close) struct reconcile_plan plan = {0};
	const struct reconciler_opts opts = {&job->config, &job->postgres, &job->platform, NULL,
	                                     kafka_of(job)};
	struct job planned = *job;
	struct run run = {0};
	struct err err = {0};
	report_init(&run.report, stdout, job->format, progress_colored(stdout));
	progress_init(&run.progress, stderr, clock_system());
	bool ready = true;
	if (a->verb == VERB_APPLY) {
		ready = plan_open(a->operand, &plan, &err) == 0;
		planned.request.plan = &plan;
	}
	if (ready && a->plan_out)
		ready = (run.plan = plan_writer_new(a->plan_out, &err)) != NULL;
	ready = ready && loop_signals(loop, on_signal, &run, &err) == 0;
	run.reconciler = ready ? reconciler_new(loop, &opts, &err) : NULL;
	int rc = run.reconciler ? run_and_report(ctx, a, &planned, &run) : cmd_fail(ctx, &err);
	reconciler_free(run.reconciler);
	plan_writer_drop(&run.plan);
	return rc;
}

static int run_once(const struct cmd_ctx *ctx, const struct args *a, const struct job *job)
{
	struct err err = {0};
	struct loop *loop = loop_new(clock_system(), &err);
	int rc = loop ? run_on_loop(ctx, a, job, loop) : cmd_fail(ctx, &err);
	loop_free(loop);
	return rc;
}

static int run_for_ever(const struct cmd_ctx *ctx, const struct job *job)
{
	const struct watch_opts opts = {&job->config, &job->postgres, &job->platform, &job->request,
	                                kafka_of(job)};
	struct err err = {0};
	return watch_run(&opts, &err) < 0 ? cmd_fail(ctx, &err) : CMD_OK;
}

/* --function names its team too: only that one is listed. */
static int resolve_function(const struct args *a, struct job *job, struct err *err)
{
	struct uuid team = job->request.team_id;
	if (!a->function)
		return 0;
	if (store_run_resolve(&job->postgres, a->function, &team, &job->request.function_id,
	                      &job->request.team_id, err) < 0)
		return -1;
	if (!uuid_is_nil(&team) && !uuid_equal(&team, &job->request.team_id))
		return err_set(err, ERR_REJECT, "unknown", "function \"%s\" is another team's",
		               a->function);
	return 0;
}

static int run_verb(const struct cmd_ctx *ctx, const struct args *a, struct job *job)
{
	struct err err = {0};
	if (pg_config_read(ctx->config, PG_ROLE_RECONCILE, &job->postgres, &err) < 0 ||
	    config_read(ctx->config, &platform_section, &job->platform, &err) < 0 ||
	    config_read(ctx->config, &reconcile_section, &job->config, &err) < 0 ||
	    read_request(a, job, &err) < 0 || migrate_verify_config(&job->postgres, &err) < 0 ||
	    resolve_function(a, job, &err) < 0)
		return cmd_fail(ctx, &err);
	read_kafka(ctx, job);
	set_names(job);
	return a->watch ? run_for_ever(ctx, job) : run_once(ctx, a, job);
}

/* ---- the past ---- */

static int look_back(const struct cmd_ctx *ctx, const struct args *a)
{
	struct err err = {0};
	struct pg_config config;
	enum report_format format;
	int64_t limit, run = 0;
	if (number("limit", a->limit, HISTORY_DEFAULT, &limit, &err) < 0 ||
	    read_format(a, &format, &err) < 0 ||
	    pg_config_read(ctx->config, PG_ROLE_RECONCILE, &config, &err) < 0)
		return cmd_fail(ctx, &err);
	if (a->operand && num_i64(a->operand, strlen(a->operand), 1, INT64_MAX, &run) < 0) {
		(void)usage(&err, "show takes the number that `reconcile history` shows");
		return cmd_fail(ctx, &err);
	}
	AUTO(pg_sync_close) struct pg_sync *sync = pg_sync_open(&config, &err);
	if (!sync || migrate_verify(sync, &err) < 0)
		return cmd_fail(ctx, &err);
	struct report report;
	report_init(&report, stdout, format, progress_colored(stdout));
	int rc = a->verb == VERB_HISTORY
	             ? history_list(sync, limit, format == REPORT_JSON, stdout, &err)
	             : history_show(sync, run, &report, &err);
	return rc < 0 ? cmd_fail(ctx, &err) : CMD_OK;
}

int cmd_reconcile(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct args a = {0};
	const struct cmd_opt opts[] = {
	    {"dry-run", NULL, &a.dry},       {"watch", NULL, &a.watch},
	    {"function", &a.function, NULL}, {"team", &a.team, NULL},
	    {"class", &a.classes, NULL},     {"allow", &a.allow, NULL},
	    {"plan-out", &a.plan_out, NULL}, {"limit", &a.limit, NULL},
	    {"output", &a.output, NULL},
	};
	const char *operands[3] = {0};
	struct job job = {0};
	struct err err = {0};
	int n = cmd_options(argc, argv, opts, N_OF(opts), operands, (int)N_OF(operands), &err);
	if (n < 0 || find_verb(operands, n, &a, &err) < 0 || check_verb(&a, &err) < 0 ||
	    check_together(&a, &err) < 0)
		return cmd_fail(ctx, &err);
	return a.verb == VERB_RUN || a.verb == VERB_APPLY ? run_verb(ctx, &a, &job)
	                                                  : look_back(ctx, &a);
}
