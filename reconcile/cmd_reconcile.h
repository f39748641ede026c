/* `sandsweep reconcile [apply|history|show]`: drift, found and repaired by hand, by a timer, or for ever. */
#ifndef RECONCILE_CMD_RECONCILE_H
#define RECONCILE_CMD_RECONCILE_H

#include "base/cmd.h"

/* A run that began ends with its verdict (enum reconcile_verdict) as exit code; what goes wrong before one
 * begins, a refused plan included, has the codes of enum cmd_exit. */
int cmd_reconcile(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
