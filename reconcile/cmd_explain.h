/* `sandsweep explain ID`: what a thing is, whose, and what became or will become of it. */
#ifndef RECONCILE_CMD_EXPLAIN_H
#define RECONCILE_CMD_EXPLAIN_H

#include "base/cmd.h"

int cmd_explain(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
