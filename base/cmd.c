#include "cmd.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

int cmd_fail(const struct cmd_ctx *ctx, const struct err *err)
{
	(void)fprintf(stderr, "sandsweep %s: %s\n", ctx->name, err->text);
	if (err->kind == ERR_RETRY)
		return CMD_UNAVAILABLE;
	if (err->kind != ERR_REJECT)
		return CMD_FAILED;
	if (strcmp(err->code, "usage") == 0)
		return CMD_USAGE;
	return strcmp(err->code, "config") == 0 ? CMD_CONFIG : CMD_DATA;
}

const char *cmd_actor(void)
{
	const char *sudo = getenv("SUDO_USER");
	const struct passwd *account = getpwuid(getuid());
	return sudo && *sudo ? sudo : account ? account->pw_name : "unknown";
}

static const struct cmd_opt *find_opt(const char *word, size_t len, const struct cmd_opt *opts,
                                      size_t opt_count)
{
	for (size_t i = 0; i < opt_count; i++)
		if (strlen(opts[i].name) == len && memcmp(opts[i].name, word, len) == 0)
			return &opts[i];
	return NULL;
}

/* Reads the option in argv[*at]; moves *at on when its value is the next word. */
static int read_opt(int argc, char **argv, int *at, const struct cmd_opt *opts, size_t opt_count,
                    struct err *err)
{
	const char *word = argv[*at] + 2, *equals = strchr(word, '=');
	const struct cmd_opt *opt =
	    find_opt(word, equals ? (size_t)(equals - word) : strlen(word), opts, opt_count);
	if (!opt)
		return err_set(err, ERR_REJECT, "usage", "unknown option %s; see `sandsweep help %s`",
		               argv[*at], argv[0]);
	if (opt->flag) {
		if (equals)
			return err_set(err, ERR_REJECT, "usage", "--%s takes no value", opt->name);
		*opt->flag = true;
		return 0;
	}
	if (!equals && *at + 1 >= argc)
		return err_set(err, ERR_REJECT, "usage", "--%s needs a value", opt->name);
	*opt->value = equals ? equals + 1 : argv[++*at];
	return 0;
}

int cmd_options(int argc, char **argv, const struct cmd_opt *opts, size_t opt_count,
                const char **ret_operands, int operand_max, struct err *err)
{
	int operands = 0;
	bool only_operands = false;
	for (int i = 1; i < argc; i++) {
		if (!only_operands && strcmp(argv[i], "--") == 0) {
			only_operands = true;
		} else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
			if (read_opt(argc, argv, &i, opts, opt_count, err) < 0)
				return -1;
		} else if (operands == operand_max) {
			return err_set(err, ERR_REJECT, "usage", "unexpected \"%s\"; see `sandsweep help %s`",
			               argv[i], argv[0]);
		} else {
			ret_operands[operands++] = argv[i];
		}
	}
	return operands;
}

/* ---- the program ---- */

static int set_log_level(struct config *config, struct err *err)
{
	struct log_config log;
	enum log_level level;
	if (config_read(config, &log_section, &log, err) < 0)
		return -1;
	if (log_level_parse(log.level, &level) < 0)
		return err_set(err, ERR_REJECT, "config",
		               "log.level is \"%s\"; it must be error, warn, info or debug", log.level);
	log_set_level(level);
	return 0;
}

int cmd_config(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct err err = {0};
	const char *verb = "";
	if (cmd_options(argc, argv, NULL, 0, &verb, 1, &err) < 0)
		return cmd_fail(ctx, &err);
	if (strcmp(verb, "example") == 0)
		config_write_example(stdout, ctx->sections, ctx->section_count);
	else if (strcmp(verb, "mdoc") == 0)
		config_write_mdoc(stdout, ctx->sections, ctx->section_count);
	else if (strcmp(verb, "show") == 0)
		config_dump(ctx->config, stdout);
	else if (err_set(&err, ERR_REJECT, "usage",
	                 "say `config example`, `config mdoc` or `config show`") < 0)
		return cmd_fail(ctx, &err);
	return CMD_OK;
}

static void print_forms(FILE *out, const struct cmd *cmd)
{
	for (const char *form = cmd->usage; form;) {
		const char *end = strchr(form, '\n');
		(void)fprintf(out, "    sandsweep %s%s%.*s\n", cmd->name, *form ? " " : "",
		              end ? (int)(end - form) : (int)strlen(form), form);
		form = end ? end + 1 : NULL;
	}
}

static const struct cmd *find_cmd(const struct cmd_table *table, const char *name)
{
	for (size_t i = 0; i < table->cmd_count; i++)
		if (strcmp(table->cmds[i].name, name) == 0)
			return &table->cmds[i];
	return NULL;
}

/* All commands, or the forms of one. */
static int help(FILE *out, const struct cmd_table *table, const char *name)
{
	if (name && !find_cmd(table, name)) {
		(void)fprintf(stderr, "sandsweep help: there is no command \"%s\"\n", name);
		name = NULL;
		out = stderr;
	}
	(void)fprintf(out, "usage: sandsweep [-c FILE] [-o section.key=value]... COMMAND ...\n\n");
	for (size_t i = 0; i < table->cmd_count; i++) {
		const struct cmd *cmd = &table->cmds[i];
		if (name && strcmp(name, cmd->name) != 0)
			continue;
		(void)fprintf(out, "  %-9s  %s\n", cmd->name, cmd->help);
		if (name)
			print_forms(out, cmd);
	}
	(void)fprintf(
	    out, "\nSettings come from FILE (or $SANDSWEEP_CONFIG), then from the environment\n"
	         "(SANDSWEEP_SECTION_KEY), then from -o; `sandsweep config example` lists them all.\n");
	return out == stdout ? CMD_OK : CMD_USAGE;
}

static int run_cmd(const struct cmd_table *table, const struct cmd *cmd, const char *path,
                   const char *const *overrides, size_t override_count, int argc, char **argv)
{
	struct err err = {0};
	struct cmd_ctx ctx = {cmd->name, NULL, table->sections, table->section_count};
	ctx.config = config_load(path && *path ? path : NULL, table->sections, table->section_count,
	                         overrides, override_count, &err);
	int rc = ctx.config && set_log_level(ctx.config, &err) == 0 ? cmd->run(&ctx, argc, argv)
	                                                            : cmd_fail(&ctx, &err);
	config_free(ctx.config);
	/* Output that did not arrive is a failure too: a full disk, a closed pipe. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && rc == CMD_OK)
		rc = CMD_FAILED;
	return rc;
}

int cmd_main(const struct cmd_table *table, int argc, char **argv)
{
	enum { OVERRIDES_MAX = 64 };
	const char *path = getenv("SANDSWEEP_CONFIG"), *overrides[OVERRIDES_MAX];
	size_t override_count = 0;
	int at = 1;
	for (; at + 1 < argc && argv[at][0] == '-' && argv[at][1] != '-'; at += 2) {
		if (strcmp(argv[at], "-c") == 0)
			path = argv[at + 1];
		else if (strcmp(argv[at], "-o") == 0 && override_count < OVERRIDES_MAX)
			overrides[override_count++] = argv[at + 1];
		else
			return help(stderr, table, NULL);
	}
	const char *name = at < argc ? argv[at] : "";
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0)
		return help(stdout, table, at + 1 < argc ? argv[at + 1] : NULL);
	if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0)
		return printf("sandsweep %s\n", SANDSWEEP_VERSION) > 0 ? CMD_OK : CMD_FAILED;
	const struct cmd *cmd = find_cmd(table, name);
	if (!cmd)
		return help(stderr, table, NULL);
	return run_cmd(table, cmd, path, overrides, override_count, argc - at, argv + at);
}
