/* `sandsweep worker`. */
#ifndef WORKER_CMD_WORKER_H
#define WORKER_CMD_WORKER_H

#include "base/cmd.h"

int cmd_worker(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
