#include "cmd.h"

#include <string.h>

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
