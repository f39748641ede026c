/* `sandsweep targets list|show|redrive|refuse`: what a person sees of the ledger, and may do. */
#ifndef WORKER_CMD_TARGETS_H
#define WORKER_CMD_TARGETS_H

#include "base/cmd.h"

int cmd_targets(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
