#include "base/cmd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "capture.h"

enum { WORDS_MAX = 8 };

/* argv as main() gets it: writable, NULL behind. */
struct words {
	char text[512];
	char *argv[WORDS_MAX + 1];
	int argc;
};

static void split(struct words *w, const char *const *list)
{
	size_t at = 0;
	*w = (struct words){0};
	for (; w->argc < WORDS_MAX && list[w->argc]; w->argc++) {
		size_t size = strlen(list[w->argc]) + 1;
		assert_in_range(at + size, 0, sizeof(w->text));
		w->argv[w->argc] = memcpy(w->text + at, list[w->argc], size);
		at += size;
	}
}

/* ---- the options of a command: --state VALUE, --limit VALUE, --all, and two operands ---- */

static const struct option_case {
	const char *name;
	const char *argv[WORDS_MAX];
	const char *want; /* "state limit all [operands]", or the error */
} option_cases[] = {
    {"nothing", {"list"}, "- - no []"},
    {"value behind", {"list", "--state", "gone"}, "gone - no []"},
    {"value glued on", {"list", "--state=gone"}, "gone - no []"},
    {"empty value behind", {"list", "--state", ""}, " - no []"},
    {"empty value glued on", {"list", "--state="}, " - no []"},
    {"equals in the value", {"list", "--state=a=b"}, "a=b - no []"},
    {"equals in the value behind", {"list", "--state", "a=b"}, "a=b - no []"},
    {"value like an option", {"list", "--state", "--all"}, "--all - no []"},
    {"value is two dashes", {"list", "--state", "--"}, "-- - no []"},
    {"flag", {"list", "--all"}, "- - yes []"},
    {"flag twice", {"list", "--all", "--all"}, "- - yes []"},
    {"the last value wins", {"list", "--state=a", "--state", "b"}, "b - no []"},
    {"everything", {"list", "--all", "x", "--limit=5", "y", "--state", "z"}, "z 5 yes [x y]"},
    {"operand", {"list", "x"}, "- - no [x]"},
    {"operands around an option", {"list", "x", "--all", "y"}, "- - yes [x y]"},
    {"empty operand", {"list", ""}, "- - no []"},
    {"one dash is an operand", {"list", "-"}, "- - no [-]"},
    {"one dash and a letter too", {"list", "-a"}, "- - no [-a]"},
    {"only operands behind two dashes", {"list", "--", "--all", "--x"}, "- - no [--all --x]"},
    {"two dashes twice", {"list", "--", "--"}, "- - no [--]"},
    {"two dashes at the end", {"list", "x", "--"}, "- - no [x]"},
    {"the command's name is none", {"--all"}, "- - no []"},

    {"one operand too many",
     {"list", "x", "y", "z"},
     "unexpected \"z\"; see `sandsweep help list`"},
    {"one too many behind two dashes",
     {"list", "x", "--", "y", "--all"},
     "unexpected \"--all\"; see `sandsweep help list`"},
    {"unknown option", {"list", "--stat", "x"}, "unknown option --stat; see `sandsweep help list`"},
    {"unknown longer option",
     {"list", "--states=x"},
     "unknown option --states=x; see `sandsweep help list`"},
    {"option in capitals", {"list", "--ALL"}, "unknown option --ALL; see `sandsweep help list`"},
    {"no name before equals", {"list", "--=x"}, "unknown option --=x; see `sandsweep help list`"},
    {"three dashes", {"list", "---all"}, "unknown option ---all; see `sandsweep help list`"},
    {"no value", {"list", "--state"}, "--state needs a value"},
    {"no value behind others", {"list", "--state=x", "--limit"}, "--limit needs a value"},
    {"flag with a value", {"list", "--all=yes"}, "--all takes no value"},
    {"flag with an empty value", {"list", "--all="}, "--all takes no value"},
    {"the first of two errors",
     {"list", "--x", "--all=1"},
     "unknown option --x; see `sandsweep help list`"},
};

static void test_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(option_cases); i++) {
		const struct option_case *c = &option_cases[i];
		const char *value = NULL, *limit = NULL, *operands[2] = {"", ""};
		bool all = false;
		const struct cmd_opt opts[] = {
		    {"state", &value, NULL}, {"limit", &limit, NULL}, {"all", NULL, &all}};
		struct words w;
		struct err err = {0};
		char said[256];
		split(&w, c->argv);
		int rc = cmd_options(w.argc, w.argv, opts, N_OF(opts), operands, N_OF(operands), &err);
		(void)snprintf(said, sizeof(said), "%s %s %s [%s%s%s]", value ? value : "-",
		               limit ? limit : "-", all ? "yes" : "no", rc > 0 ? operands[0] : "",
		               rc > 1 ? " " : "", rc > 1 ? operands[1] : "");
		if (rc < 0 && (err.kind != ERR_REJECT || strcmp(err.code, "usage") != 0))
			fail_msg("%s: %s \"%s\"", c->name, err_kind_name(err.kind), err.code);
		if (strcmp(rc < 0 ? err.text : said, c->want) != 0)
			fail_msg("%s: %s", c->name, rc < 0 ? err.text : said);
	}
}

static const struct count_case {
	const char *argv[WORDS_MAX];
	int operand_max, want;
} count_cases[] = {
    {{"x"}, 0, 0},
    {{"x", "a"}, 0, -1},
    {{"x", "a"}, 1, 1},
    {{"x", "a", "b"}, 1, -1},
    {{"x", "a", "b", "c", "d", "e", "f", "g"}, 7, 7},
    {{"x", "--"}, 0, 0},
    {{"x", "--a"}, 7, -1},
};

/* Without any option, at the maximum of operands and one past it. */
static void test_operands_are_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(count_cases); i++) {
		const struct count_case *c = &count_cases[i];
		const char *operands[WORDS_MAX] = {0};
		struct words w;
		struct err err = {0};
		split(&w, c->argv);
		int rc = cmd_options(w.argc, w.argv, NULL, 0, operands, c->operand_max, &err);
		if (rc != c->want)
			fail_msg("row %zu: %d", i, rc);
		for (int n = 0; n < rc; n++)
			assert_ptr_equal(operands[n], w.argv[w.argc - rc + n]);
		for (int n = c->operand_max; n < WORDS_MAX; n++)
			assert_null(operands[n]);
	}
}

/* ---- what is written ---- */

static const struct fail_case {
	const char *name;
	struct err err;
	int want;
} fail_cases[] = {
    {"usage", {ERR_REJECT, "usage", "x"}, 64},
    {"data", {ERR_REJECT, "schema", "x"}, 65},
    {"data without a code", {ERR_REJECT, "", "x"}, 65},
    {"config", {ERR_REJECT, "config", "x"}, 78},
    {"unavailable", {ERR_RETRY, "08006", "x"}, 69},
    {"unavailable, whatever the code", {ERR_RETRY, "usage", "x"}, 69},
    {"fatal", {ERR_FATAL, "42P01", "x"}, 1},
    {"fatal, whatever the code", {ERR_FATAL, "config", "x"}, 1},
    {"no kind at all", {ERR_NONE, "", "x"}, 1},
};

static void test_fail(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(fail_cases); i++) {
		const struct fail_case *c = &fail_cases[i];
		const struct cmd_ctx ctx = {.name = "targets list"};
		char said[64];
		struct capture err = capture(stderr);
		int rc = cmd_fail(&ctx, &c->err);
		release(&err, said, sizeof(said));
		if (rc != c->want || strcmp(said, "sandsweep targets list: x\n") != 0)
			fail_msg("%s: %d, %s", c->name, rc, said);
	}
}

/* ---- a whole program ---- */

struct plain {
	int64_t count;
};
static const struct config_row plain_rows[] = {
    {"count", CONFIG_I64, offsetof(struct plain, count), 1, 100, "7", false, "A number."}};
static const struct config_section plain_section = {"plain", "Values.", plain_rows,
                                                    N_OF(plain_rows), false};
static const struct config_section *const sections[] = {&plain_section, &log_section};

/* Writes what it was given: "count name words...". */
static int run_echo(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct plain plain;
	struct err err = {0};
	if (config_read(ctx->config, &plain_section, &plain, &err) < 0)
		return cmd_fail(ctx, &err);
	assert_ptr_equal(ctx->sections, sections);
	assert_int_equal(ctx->section_count, N_OF(sections));
	(void)printf("%lld %s", (long long)plain.count, ctx->name);
	for (int i = 0; i < argc; i++)
		(void)printf(" %s", argv[i]);
	(void)printf("\n");
	return CMD_OK;
}

static int run_unavailable(const struct cmd_ctx *ctx, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	const struct err err = {ERR_RETRY, "08006", "the server is away"};
	return cmd_fail(ctx, &err);
}

/* Says a lot, not all of it at its end. */
static int run_chat(const struct cmd_ctx *ctx, int argc, char **argv)
{
	int rc = run_echo(ctx, argc, argv);
	(void)fflush(stdout);
	return rc;
}

static int run_log(const struct cmd_ctx *ctx, int argc, char **argv)
{
	(void)ctx;
	(void)argc;
	(void)argv;
	log_event(LOG_L_INFO, "test.event", NULL);
	return CMD_OK;
}

static const struct cmd cmds[] = {
    {"echo", "[WORD]...\n--again", "say what was said", run_echo},
    {"away", "", "fail", run_unavailable},
    {"chat", "", "say it at once", run_chat},
    {"log", "", "log it", run_log},
    {"config", "example|mdoc|show", "the settings", cmd_config},
};
static const struct cmd_table table = {cmds, N_OF(cmds), sections, N_OF(sections)};

/* clang-format off */
static const struct main_case {
	const char *name;
	const char *argv[WORDS_MAX];
	const char *config; /* SANDSWEEP_CONFIG */
	int want;
	const char *out, *err; /* what stands in them; NULL: nothing does */
} main_cases[] = {
	{"a command", {"sandsweep", "echo"}, NULL, 0, "7 echo echo\n", NULL},
	{"its words", {"sandsweep", "echo", "a", "--b", "-c"}, NULL, 0, "7 echo echo a --b -c\n", NULL},
	{"a setting", {"sandsweep", "-o", "plain.count=9", "echo"}, NULL, 0, "9 echo echo\n", NULL},
	{"two settings", {"sandsweep", "-o", "plain.count=9", "-o", "plain.count=8", "echo", "x"}, NULL,
	 0, "8 echo echo x\n", NULL},
	{"a setting behind the command is a word", {"sandsweep", "echo", "-o", "plain.count=9"}, NULL,
	 0, "7 echo echo -o plain.count=9\n", NULL},
	{"another exit code", {"sandsweep", "away"}, NULL, 69, NULL,
	 "sandsweep away: the server is away\n"},
	{"a file", {"sandsweep", "-c", "nowhere.conf", "echo"}, NULL, 78, NULL,
	 "sandsweep echo: cannot read nowhere.conf: "},
	{"a file in the environment", {"sandsweep", "echo"}, "elsewhere.conf", 78, NULL,
	 "sandsweep echo: cannot read elsewhere.conf: "},
	{"-c beats the environment", {"sandsweep", "-c", "nowhere.conf", "echo"}, "elsewhere.conf", 78,
	 NULL, "sandsweep echo: cannot read nowhere.conf: "},
	{"an empty file name is none", {"sandsweep", "-c", "", "echo"}, "elsewhere.conf", 0,
	 "7 echo echo\n", NULL},
	{"a bad setting", {"sandsweep", "-o", "plain.count=0", "echo"}, NULL, 78, NULL,
	 "sandsweep echo: plain.count is \"0\""},
	{"a setting that is none", {"sandsweep", "-o", "count", "echo"}, NULL, 64, NULL,
	 "sandsweep echo: -o takes section.key=value"},
	{"the default log level", {"sandsweep", "log"}, NULL, 0, NULL, "test.event"},
	{"a lower log level", {"sandsweep", "-o", "log.level=debug", "log"}, NULL, 0, NULL,
	 "test.event"},
	{"a higher log level", {"sandsweep", "-o", "log.level=warn", "log"}, NULL, 0, NULL, NULL},
	{"the default again", {"sandsweep", "log"}, NULL, 0, NULL, "test.event"},
	{"a log level that is none", {"sandsweep", "-o", "log.level=loud", "echo"}, NULL, 78, NULL,
	 "sandsweep echo: log.level is \"loud\"; it must be error, warn, info or debug\n"},
	{"no command", {"sandsweep"}, NULL, 64, NULL, "usage: sandsweep "},
	{"unknown command", {"sandsweep", "shout"}, NULL, 64, NULL, "usage: sandsweep "},
	{"beginning of a command", {"sandsweep", "ech"}, NULL, 64, NULL, "usage: sandsweep "},
	{"unknown option", {"sandsweep", "-x", "y", "echo"}, NULL, 64, NULL, "usage: sandsweep "},
	{"option without a value", {"sandsweep", "-c"}, NULL, 64, NULL, "usage: sandsweep "},
	{"option without a command", {"sandsweep", "-o", "plain.count=9"}, NULL, 64, NULL,
	 "usage: sandsweep "},
	{"help", {"sandsweep", "help"}, NULL, 0,
	 "\n  echo       say what was said\n  away       fail\n  chat       say it at once\n"
	 "  log        log it\n", NULL},
	{"help as an option", {"sandsweep", "--help"}, NULL, 0, "usage: sandsweep ", NULL},
	{"help for one", {"sandsweep", "help", "echo"}, NULL, 0,
	 "\n\n  echo       say what was said\n    sandsweep echo [WORD]...\n"
	 "    sandsweep echo --again\n\n", NULL},
	{"help for what is none", {"sandsweep", "help", "shout"}, NULL, 64, NULL,
	 "sandsweep help: there is no command \"shout\"\nusage: sandsweep "},
	{"version", {"sandsweep", "version"}, NULL, 0, "sandsweep " SANDSWEEP_VERSION "\n", NULL},
	{"version as an option", {"sandsweep", "--version"}, NULL, 0,
	 "sandsweep " SANDSWEEP_VERSION "\n", NULL},
	{"example", {"sandsweep", "config", "example"}, NULL, 0, "[plain]\n\n# A number.\n", NULL},
	{"mdoc", {"sandsweep", "config", "mdoc"}, NULL, 0, ".Ss [plain]\n", NULL},
	{"show", {"sandsweep", "-o", "plain.count=9", "config", "show"}, NULL, 0, "plain.count=9\n",
	 NULL},
	{"no verb", {"sandsweep", "config"}, NULL, 64, NULL, "sandsweep config: say `config example`"},
	{"unknown verb", {"sandsweep", "config", "examples"}, NULL, 64, NULL,
	 "sandsweep config: say `config example`"},
	{"two verbs", {"sandsweep", "config", "show", "show"}, NULL, 64, NULL,
	 "sandsweep config: unexpected \"show\""},
};
/* clang-format on */

static bool holds(const char *text, const char *want)
{
	return want ? strstr(text, want) != NULL : *text == '\0';
}

static void test_main(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(main_cases); i++) {
		const struct main_case *c = &main_cases[i];
		struct words w;
		char out_text[4096], err_text[4096];
		split(&w, c->argv);
		if (c->config)
			assert_int_equal(setenv("SANDSWEEP_CONFIG", c->config, 1), 0);
		else
			assert_int_equal(unsetenv("SANDSWEEP_CONFIG"), 0);
		struct capture out = capture(stdout), err = capture(stderr);
		int rc = cmd_main(&table, w.argc, w.argv);
		release(&out, out_text, sizeof(out_text));
		release(&err, err_text, sizeof(err_text));
		if (rc != c->want || !holds(out_text, c->out) || !holds(err_text, c->err))
			fail_msg("%s: %d\n%s\n%s", c->name, rc, out_text, err_text);
	}
	(void)unsetenv("SANDSWEEP_CONFIG");
}

static void test_main_takes_64_settings(void **state)
{
	(void)state;
	enum { SETTINGS = 64 };
	for (int count = SETTINGS; count <= SETTINGS + 1; count++) {
		char name[] = "sandsweep", option[] = "-o", setting[] = "plain.count=9", echo[] = "echo";
		char *argv[2 * (SETTINGS + 1) + 3] = {name}, out_text[4096], err_text[4096];
		int argc = 1;
		for (int i = 0; i < count; i++) {
			argv[argc++] = option;
			argv[argc++] = setting;
		}
		argv[argc++] = echo;
		struct capture out = capture(stdout), err = capture(stderr);
		int rc = cmd_main(&table, argc, argv);
		release(&out, out_text, sizeof(out_text));
		release(&err, err_text, sizeof(err_text));
		assert_int_equal(rc, count == SETTINGS ? CMD_OK : CMD_USAGE);
		assert_string_equal(out_text, count == SETTINGS ? "9 echo echo\n" : "");
	}
}

/* What could not be written was not said: a full disk. At the end, or before. */
static void test_lost_output_is_a_failure(void **state)
{
	(void)state;
	static const char *const lists[][3] = {{"sandsweep", "echo", NULL},
	                                       {"sandsweep", "chat", NULL}};
	for (size_t i = 0; i < N_OF(lists); i++) {
		struct words w;
		char text[64];
		int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
		if (full < 0)
			skip();
		split(&w, lists[i]);
		struct capture out = capture(stdout);
		assert_true(dup2(full, fileno(stdout)) >= 0);
		int rc = cmd_main(&table, w.argc, w.argv);
		__fpurge(stdout);
		clearerr(stdout);
		release(&out, text, sizeof(text));
		(void)close(full);
		if (rc != CMD_FAILED)
			fail_msg("%s: %d", lists[i][1], rc);
	}
}

static void test_actor(void **state)
{
	(void)state;
	assert_int_equal(setenv("SUDO_USER", "ada", 1), 0);
	assert_string_equal(cmd_actor(), "ada");
	assert_int_equal(setenv("SUDO_USER", "", 1), 0);
	assert_string_not_equal(cmd_actor(), "");
	assert_int_equal(unsetenv("SUDO_USER"), 0);
	assert_string_not_equal(cmd_actor(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_operands_are_counted),
	    cmocka_unit_test(test_fail),
	    cmocka_unit_test(test_main),
	    cmocka_unit_test(test_main_takes_64_settings),
	    cmocka_unit_test(test_lost_output_is_a_failure),
	    cmocka_unit_test(test_actor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
