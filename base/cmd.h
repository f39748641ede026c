/* A command of the program and what its main() gives it. */
#ifndef BASE_CMD_H
#define BASE_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config.h"
#include "err.h"

/* Exit codes, in the spirit of sysexits(3). */
enum cmd_exit {
	CMD_OK = 0,
	CMD_FAILED = 1,       /* it ran and something went wrong */
	CMD_USAGE = 64,       /* the command line is wrong */
	CMD_DATA = 65,        /* what it was given to work on is wrong (a schema, an id) */
	CMD_UNAVAILABLE = 69, /* a server that it needs does not answer */
	CMD_CONFIG = 78,      /* the configuration is wrong */
};

struct cmd_ctx {
	const char *name; /* "targets list": the command's words */
	struct config *config;
	const struct config_section *const *sections; /* every section the program knows */
	size_t section_count;
};

struct cmd {
	const char *name;  /* "targets" */
	const char *usage; /* "list [--state STATE] ...", one line per form, '\n' between */
	const char *help;  /* one line */
	int (*run)(const struct cmd_ctx *ctx, int argc, char **argv); /* argv[0] is the name */
};

struct cmd_table {
	const struct cmd *cmds;
	size_t cmd_count;
	const struct config_section *const *sections;
	size_t section_count;
};
/* The whole of main(): options before the command, settings, the command, its exit code. The [log]
 * section (log.h) must be among the table's: it is read here. */
int cmd_main(const struct cmd_table *table, int argc, char **argv);

/* `sandsweep config example|mdoc|show`: the settings table itself. */
int cmd_config(const struct cmd_ctx *ctx, int argc, char **argv);

/* Prints "sandsweep NAME: text" to stderr and returns the exit code of the error's kind:
 * REJECT with code "usage" 64, "config" 78, otherwise 65; RETRY 69; FATAL 1. */
int cmd_fail(const struct cmd_ctx *ctx, const struct err *err);

/* Who runs this command: an account, under sudo that of who called it. Never NULL; valid until the
 * next look into the account database. */
const char *cmd_actor(void);

/* An option table for one command: --name VALUE, --name=VALUE or --flag. */
struct cmd_opt {
	const char *name;   /* without the dashes */
	const char **value; /* for an option with a value, else NULL */
	bool *flag;         /* for a flag, else NULL */
};
/* Reads the options from argv[1..]; what is left (operands) moves to ret_operands (at most
 * operand_max). Returns the number of operands, or -1 with ERR_REJECT "usage". */
int cmd_options(int argc, char **argv, const struct cmd_opt *opts, size_t opt_count,
                const char **ret_operands, int operand_max, struct err *err) MUST_CHECK;

#endif
