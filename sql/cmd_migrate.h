/* `sandsweep migrate up|status|verify`. */
#ifndef SQL_CMD_MIGRATE_H
#define SQL_CMD_MIGRATE_H

#include "base/cmd.h"

int cmd_migrate(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
