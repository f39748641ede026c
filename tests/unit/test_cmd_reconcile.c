/* `sandsweep reconcile`: what it asks of a run, what it prints, how it exits. The run itself is one of ours:
 * it notes what it was asked, and answers what the case says. */
#include "reconcile/cmd_reconcile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture.h"
#include "reconcile/plan.h"
#include "reconcile/watch.h"
#include "sql/migrate.h"

enum { TEXT_MAX = 65536, WORDS_MAX = 16 };

/* ---- the run that the command finds in place of the real one ---- */

static struct {
	enum reconcile_verdict verdict;
	int64_t run_id;
	struct err err;
	int findings;
	bool watched, ran;
	struct reconcile_request request;
	int64_t plan_items;
	char asked_function[64];
	char brokers[64], group[64]; /* what is known of Kafka; "": it is not to be asked */
} fake;

static void note_kafka(const struct kafka_config *kafka)
{
	(void)snprintf(fake.brokers, sizeof(fake.brokers), "%s", kafka ? kafka->bootstrap_servers : "");
	(void)snprintf(fake.group, sizeof(fake.group), "%s", kafka ? kafka->group_id : "");
	if (kafka)
		assert_non_null(kafka->config);
}

struct reconciler *reconciler_new(struct loop *loop, const struct reconciler_opts *opts,
                                  struct err *err)
{
	(void)loop;
	(void)err;
	assert_non_null(opts->config->mode);
	note_kafka(opts->kafka);
	return (struct reconciler *)&fake;
}

void reconciler_free(struct reconciler *reconciler)
{
	(void)reconciler;
}

void reconciler_stop(struct reconciler *reconciler)
{
	(void)reconciler;
}

void reconcile_run(struct reconciler *reconciler, const struct reconcile_request *request,
                   const struct reconcile_watcher *watcher, store_finding_fn *each, void *each_arg,
                   struct reconcile_summary *ret, struct err *err)
{
	struct store_finding finding = {.id = 1,
	                                .class_name = "ghost",
	                                .kind = "volume",
	                                .resource_id = "vol-1",
	                                .since_us = 1,
	                                .proof = "absent",
	                                .action = "doom",
	                                .verdict = "proved",
	                                .evidence = "{}"};
	assert_ptr_equal(reconciler, &fake);
	fake.ran = true;
	fake.request = *request;
	fake.plan_items = request->plan ? request->plan->item_count : -1;
	watcher->progress(watcher->arg, "listing", 1, 2);
	for (int i = 0; i < fake.findings; i++)
		each(each_arg, &finding);
	*ret = (struct reconcile_summary){
	    .verdict = fake.verdict, .run_id = fake.run_id, .t0_us = 1000000, .database = "d"};
	if (fake.err.kind != ERR_NONE)
		(void)err_set(err, fake.err.kind, fake.err.code, "%s", fake.err.text);
}

int store_run_resolve(const struct pg_config *config, const char *text, const struct uuid *team_id,
                      struct uuid *ret_function, struct uuid *ret_team, struct err *err)
{
	(void)config;
	(void)team_id;
	(void)snprintf(fake.asked_function, sizeof(fake.asked_function), "%s", text);
	if (strcmp(text, "none") == 0)
		return err_set(err, ERR_REJECT, "unknown", "there is no function \"none\"");
	memset(ret_function, 2, sizeof(*ret_function));
	memset(ret_team, 1, sizeof(*ret_team));
	return 0;
}

int migrate_verify_config(const struct pg_config *config, struct err *err)
{
	(void)config;
	(void)err;
	return 0;
}

int migrate_verify(struct pg_sync *sync, struct err *err)
{
	(void)sync;
	(void)err;
	return 0;
}

int watch_run(const struct watch_opts *opts, struct err *err)
{
	(void)err;
	fake.watched = true;
	fake.request = *opts->request;
	note_kafka(opts->kafka);
	return 0;
}

/* ---- calling it ---- */

static const struct config_section *const sections[] = {&pg_section, &platform_section,
                                                        &reconcile_section, &kafka_section};
static char directory[64], plan_path[96];

struct said {
	int rc;
	char out[TEXT_MAX], err[TEXT_MAX];
};

/* "PLAN" among the words stands for the file of this test. */
static void call(struct said *said, const char *mode, const char *const *words)
{
	char setting[64];
	const char *overrides[] = {setting,
	                           "postgres.dsn=dbname=x",
	                           "platform.url=http://127.0.0.1:1",
	                           "platform.token=t",
	                           "reconcile.ghost_enabled=true",
	                           "reconcile.resurrected_enabled=false"};
	char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "reconcile"};
	struct err err = {0};
	int argc = 1;
	(void)snprintf(setting, sizeof(setting), "reconcile.mode=%s", mode);
	for (; words[argc - 1]; argc++)
		argv[argc] =
		    (char *)(uintptr_t)(strcmp(words[argc - 1], "PLAN") == 0 ? plan_path : words[argc - 1]);
	struct config *config =
	    config_load(NULL, sections, N_OF(sections), overrides, N_OF(overrides), &err);
	if (!config)
		fail_msg("%s", err.text);
	const struct cmd_ctx ctx = {"reconcile", config, sections, N_OF(sections)};
	struct capture out = capture(stdout), errors = capture(stderr);
	said->rc = cmd_reconcile(&ctx, argc, argv);
	release(&errors, said->err, sizeof(said->err));
	release(&out, said->out, sizeof(said->out));
	config_free(config);
}

static int reset(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.run_id = 1;
	return 0;
}

/* ---- the command line ---- */

#define TEAM "01010101-0101-0101-0101-010101010101"
#define OTHER_TEAM "03030303-0303-0303-0303-030303030303"

static const struct refused_case {
	const char *words[WORDS_MAX];
	int rc;
	const char *want, *mode;
} refused_cases[] = {
    {{"now"}, 64, "say `reconcile`", NULL},
    {{"apply"}, 64, "say `reconcile`", NULL},
    {{"apply", "a", "b"}, 64, "say `reconcile`", NULL},
    {{"history", "1"}, 64, "say `reconcile`", NULL},
    {{"show"}, 64, "say `reconcile`", NULL},
    {{"show", "x"}, 64, "the number that `reconcile history` shows", NULL},
    {{"show", "0"}, 64, "the number that `reconcile history` shows", NULL},
    {{"--frist"}, 64, "unknown option", NULL},
    {{"--output", "xml"}, 64, "--output takes table, json or jsonl", NULL},
    {{"history", "--output", "jsonl"}, 64, "takes --output table or json", NULL},
    {{"--limit", "3"}, 64, "`reconcile` takes no --limit", NULL},
    {{"history", "--limit", "0"}, 64, "--limit takes a whole number", NULL},
    {{"history", "--team", TEAM}, 64, "`reconcile history` takes no --team", NULL},
    {{"apply", "x", "--class", "ghost"}, 64, "`reconcile apply FILE` takes no --class", NULL},
    {{"apply", "x", "--dry-run"}, 64, "takes no --dry-run", NULL},
    {{"apply", "x", "--watch"}, 64, "takes no --watch", NULL},
    {{"apply", "x", "--plan-out", "y"}, 64, "takes no --plan-out", NULL},
    {{"show", "1", "--allow", "1"}, 64, "takes no --allow", NULL},
    {{"--watch", "--plan-out", "x"}, 64, "--watch writes no plan", NULL},
    {{"--watch", "--allow", "1"}, 64, "--allow is for one run", NULL},
    {{"--watch", "--output", "json"}, 64, "--watch prints nothing", NULL},
    {{"--dry-run", "--allow", "1"}, 64, "no guard stops a dry run", NULL},
    {{"--plan-out", "x", "--allow", "1"}, 64, "give --allow to `reconcile apply`", NULL},
    {{"--allow", "0"}, 64, "--allow takes a whole number", NULL},
    {{"--allow", "many"}, 64, "--allow takes a whole number", NULL},
    {{"--allow", "5"}, 64, "leave out --allow", "observe"},
    {{"apply", "PLAN"}, 78, "reconcile.mode is observe", "observe"},
    {{"--team", "shop"}, 64, "--team takes a UUID", NULL},
    {{"--class", "gost"}, 64, "--class does not know \"gost\"", NULL},
    {{"--class", ""}, 64, "--class does not know \"\"", NULL},
    {{"--class", "ghost,"}, 64, "--class does not know \"\"", NULL},
    {{"--class", "ghost,resurrected"}, 64, "switched off, by reconcile.resurrected_enabled", NULL},
    {{"--function", "none"}, 65, "there is no function", NULL},
    {{"--function", "f", "--team", OTHER_TEAM}, 65, "is another team's", NULL},
    {{"apply", "/nowhere/plan"}, 65, "cannot read /nowhere/plan", NULL},
    {{"--plan-out", "/nowhere/plan"}, 65, "cannot write /nowhere/plan", NULL},
};

/* One sentence, nothing on stdout, and nothing was run. */
static void test_what_is_refused(void **state)
{
	(void)state;
	static struct said said;
	for (size_t i = 0; i < N_OF(refused_cases); i++) {
		const struct refused_case *c = &refused_cases[i];
		call(&said, c->mode ? c->mode : "repair", c->words);
		if (said.rc != c->rc || !strstr(said.err, c->want) || *said.out || fake.ran || fake.watched)
			fail_msg("row %zu (%s): %d %s%s", i, c->words[0], said.rc, said.err, said.out);
		assert_ptr_equal(strchr(said.err, '\n'), said.err + strlen(said.err) - 1);
	}
}

static const struct asked_case {
	const char *words[WORDS_MAX];
	bool dry, team, function, watched;
	int64_t allow;
	int only; /* a class; -1: all */
} asked_cases[] = {
    {{NULL}, .only = -1},
    {{"--dry-run"}, .dry = true, .only = -1},
    {{"--plan-out", "PLAN"}, .dry = true, .only = -1},
    {{"--team", TEAM}, .team = true, .only = -1},
    {{"--function", "shop"}, .team = true, .function = true, .only = -1},
    {{"--function", "shop", "--team", TEAM}, .team = true, .function = true, .only = -1},
    {{"--class", "ghost"}, .only = CLASS_GHOST},
    {{"--class=ghost,ghost"}, .only = CLASS_GHOST},
    {{"--allow", "7"}, .allow = 7, .only = -1},
    {{"--watch"}, .watched = true, .only = -1},
    {{"--watch", "--dry-run", "--class", "ghost"},
     .dry = true,
     .watched = true,
     .only = CLASS_GHOST},
};

static void test_what_is_asked(void **state)
{
	static struct said said;
	for (size_t i = 0; i < N_OF(asked_cases); i++) {
		const struct asked_case *c = &asked_cases[i];
		(void)reset(state);
		call(&said, "repair", c->words);
		const struct reconcile_request *r = &fake.request;
		if (said.rc != 0 || fake.watched != c->watched || fake.ran == c->watched)
			fail_msg("row %zu: %d %s", i, said.rc, said.err);
		if (r->dry != c->dry || uuid_is_nil(&r->team_id) == c->team ||
		    uuid_is_nil(&r->function_id) == c->function || r->allow != c->allow ||
		    r->any_only != (c->only >= 0))
			fail_msg("row %zu: asked for something else", i);
		for (int k = 0; k < CLASS_COUNT; k++)
			assert_int_equal(r->only[k], k == c->only);
		assert_true(*r->actor);
	}
}

/* Kafka's settings are optional here, and here alone. */
static void test_kafka_is_optional(void **state)
{
	static struct said said;
	static const struct {
		const char *brokers, *words[2], *want, *group;
	} cases[] = {
	    {NULL, {NULL}, "", ""},
	    {NULL, {"--watch"}, "", ""},
	    {"", {NULL}, "", ""},
	    {"a:1,b:2", {NULL}, "a:1,b:2", "sandsweep-workers"},
	    {"a:1,b:2", {"--watch"}, "a:1,b:2", "sandsweep-workers"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		(void)reset(state);
		(void)unsetenv("SANDSWEEP_KAFKA_BOOTSTRAP_SERVERS");
		if (cases[i].brokers)
			(void)setenv("SANDSWEEP_KAFKA_BOOTSTRAP_SERVERS", cases[i].brokers, 1);
		call(&said, "repair", cases[i].words);
		if (said.rc != 0 || strcmp(fake.brokers, cases[i].want) != 0 ||
		    strcmp(fake.group, cases[i].group) != 0)
			fail_msg("row %zu: %d %s (%s, %s)", i, said.rc, said.err, fake.brokers, fake.group);
	}
	(void)unsetenv("SANDSWEEP_KAFKA_BOOTSTRAP_SERVERS");
}

/* ---- how it ends ---- */

static const struct end_case {
	const char *name;
	enum reconcile_verdict verdict;
	int64_t run_id;
	struct err err;
	int rc;
	bool reported;
	const char *complaint;
} end_cases[] = {
    {"in sync", VERDICT_IN_SYNC, 1, {0}, 0, true, NULL},
    {"drift", VERDICT_DRIFT, 1, {0}, 2, true, NULL},
    {"repaired", VERDICT_REPAIRED, 1, {0}, 3, true, NULL},
    {"in part", VERDICT_PARTLY, 1, {0}, 4, true, NULL},
    {"guarded", VERDICT_GUARDED, 1, {0}, 5, true, NULL},
    {"incomplete", VERDICT_INCOMPLETE, 1, {0}, 6, true, NULL},
    {"locked", VERDICT_LOCKED, 0, {0}, 7, true, NULL},
    {"failed", VERDICT_FAILED, 1, {ERR_RETRY, "57P01", "shutting down"}, 1, true, "shutting down"},
    {"failed for good",
     VERDICT_FAILED,
     1,
     {ERR_REJECT, "SW004", "the term is over"},
     1,
     true,
     "over"},
    {"never began: server away",
     VERDICT_FAILED,
     0,
     {ERR_RETRY, "connect", "away"},
     69,
     false,
     "away"},
    {"never began: refused", VERDICT_FAILED, 0, {ERR_FATAL, "connect", "no"}, 1, false, "no"},
    {"never began: settings", VERDICT_FAILED, 0, {ERR_REJECT, "config", "bad"}, 78, false, "bad"},
    {"a plan that is refused",
     VERDICT_FAILED,
     1,
     {ERR_REJECT, "plan", "too old"},
     65,
     false,
     "too old"},
};

static void test_exit_codes(void **state)
{
	static struct said said;
	for (size_t i = 0; i < N_OF(end_cases); i++) {
		const struct end_case *c = &end_cases[i];
		const char *words[] = {"--output", "json", NULL};
		char want[32];
		(void)reset(state);
		fake.verdict = c->verdict;
		fake.run_id = c->run_id;
		fake.err = c->err;
		call(&said, "repair", words);
		(void)snprintf(want, sizeof(want), "\"exit_code\":%d,", c->rc);
		if (said.rc != c->rc || (strstr(said.out, want) != NULL) != c->reported)
			fail_msg("%s: %d %s%s", c->name, said.rc, said.out, said.err);
		if (!c->reported)
			assert_string_equal(said.out, "");
		if (c->complaint ? !strstr(said.err, c->complaint) : *said.err)
			fail_msg("%s: %s", c->name, said.err);
	}
}

static void test_forms_of_output(void **state)
{
	static const struct {
		const char *words[3], *begin;
		int lines;
	} cases[] = {
	    {{"--dry-run"}, "CLASS ", 6},
	    {{"--output", "table"}, "CLASS ", 6},
	    {{"--output", "json"}, "{\"findings\":[\n{", 4},
	    {{"--output=jsonl"}, "{\"type\":\"finding\",", 3},
	};
	static struct said said;
	for (size_t i = 0; i < N_OF(cases); i++) {
		const char *words[4] = {cases[i].words[0], cases[i].words[1], NULL};
		int lines = 0;
		(void)reset(state);
		fake.findings = 2;
		fake.verdict = VERDICT_DRIFT;
		call(&said, "repair", words);
		assert_int_equal(said.rc, 2);
		assert_string_equal(said.err, "");
		for (const char *at = said.out; (at = strchr(at, '\n')); at++)
			lines++;
		if (strncmp(said.out, cases[i].begin, strlen(cases[i].begin)) != 0 ||
		    lines != cases[i].lines)
			fail_msg("row %zu: %d lines: %s", i, lines, said.out);
	}
}

/* A plan is made by a dry run, then applied; one that was altered is never run. */
static void test_plans(void **state)
{
	static struct said said;
	const char *const make[] = {"--plan-out", "PLAN", "--output", "json", NULL};
	const char *const apply[] = {"apply", "PLAN", "--allow", "3", NULL};
	(void)unlink(plan_path);
	fake.findings = 2;
	fake.verdict = VERDICT_DRIFT;
	call(&said, "repair", make);
	assert_int_equal(said.rc, 2);
	assert_true(fake.request.dry);
	assert_non_null(strstr(said.err, "sandsweep reconcile apply "));

	(void)reset(state);
	fake.verdict = VERDICT_REPAIRED;
	call(&said, "repair", apply);
	assert_int_equal(said.rc, 3);
	assert_int_equal(fake.plan_items, 2);
	assert_int_equal(fake.request.allow, 3);
	assert_false(fake.request.dry);

	FILE *file = fopen(plan_path, "r+");
	assert_non_null(file);
	assert_int_equal(fputc(' ', file), ' ');
	assert_int_equal(fclose(file), 0);
	(void)reset(state);
	call(&said, "repair", apply);
	assert_int_equal(said.rc, 65);
	assert_false(fake.ran);
	assert_string_equal(said.out, "");
	assert_int_equal(unlink(plan_path), 0);
}

/* Half a look is no plan: the name stays as it was. */
static void test_no_plan_of_a_run_that_did_not_end(void **state)
{
	static const enum reconcile_verdict verdicts[] = {VERDICT_FAILED, VERDICT_LOCKED};
	static struct said said;
	const char *const make[] = {"--plan-out", "PLAN", NULL};
	for (size_t i = 0; i < N_OF(verdicts); i++) {
		(void)reset(state);
		fake.findings = 1;
		fake.verdict = verdicts[i];
		fake.err = (struct err){ERR_RETRY, "x", "x"};
		call(&said, "repair", make);
		assert_int_equal(said.rc, verdicts[i]);
		assert_int_equal(access(plan_path, F_OK), -1);
	}
}

/* In observe mode a run is what it is, and a plan may be made. */
static void test_observing(void **state)
{
	(void)state;
	static struct said said;
	const char *const words[] = {"--output", "json", NULL};
	fake.verdict = VERDICT_DRIFT;
	call(&said, "observe", words);
	assert_int_equal(said.rc, 2);
	assert_non_null(strstr(said.out, "\"mode\":\"observe\""));
}

/* ---- who it is ---- */

static void test_actor(void **state)
{
	(void)state;
	char own[24];
	(void)snprintf(own, sizeof(own), "%ld", (long)getpid());
	const struct {
		const char *invocation, *exec_pid, *sudo, *want;
	} cases[] = {
	    {NULL, NULL, "ada", "ada"},  {"i", own, "ada", "timer"},
	    {"i", NULL, "ada", "timer"}, {"i", "1", "ada", "ada"}, /* a shell below a service */
	    {NULL, own, "ada", "ada"},
	};
	const char *const words[] = {NULL};
	static struct said said;
	int kept = dup(STDIN_FILENO), none = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(none >= 0 && dup2(none, STDIN_FILENO) >= 0);
	for (size_t i = 0; i < N_OF(cases); i++) {
		const char *const names[] = {"INVOCATION_ID", "SYSTEMD_EXEC_PID", "SUDO_USER"};
		const char *const values[] = {cases[i].invocation, cases[i].exec_pid, cases[i].sudo};
		for (size_t n = 0; n < N_OF(names); n++)
			(void)(values[n] ? setenv(names[n], values[n], 1) : unsetenv(names[n]));
		call(&said, "repair", words);
		if (strcmp(fake.request.actor, cases[i].want) != 0)
			fail_msg("row %zu: %s", i, fake.request.actor);
	}
	(void)close(none);
	if (kept >= 0) {
		(void)dup2(kept, STDIN_FILENO);
		(void)close(kept);
	}
	(void)unsetenv("INVOCATION_ID");
	(void)unsetenv("SYSTEMD_EXEC_PID");
	(void)unsetenv("SUDO_USER");
}

static int make_directory(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/sandsweep-cmd-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	(void)snprintf(plan_path, sizeof(plan_path), "%s/plan", directory);
	return 0;
}

static int drop_directory(void **state)
{
	(void)state;
	(void)unlink(plan_path);
	return rmdir(directory);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup(fn, reset)
	const struct CMUnitTest tests[] = {
	    TEST(test_what_is_refused),
	    TEST(test_what_is_asked),
	    TEST(test_kafka_is_optional),
	    TEST(test_exit_codes),
	    TEST(test_forms_of_output),
	    TEST(test_plans),
	    TEST(test_no_plan_of_a_run_that_did_not_end),
	    TEST(test_observing),
	    TEST(test_actor),
	};
	return cmocka_run_group_tests(tests, make_directory, drop_directory);
}
