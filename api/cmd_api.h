/* `sandsweep api`: runs the HTTP front until SIGTERM. */
#ifndef API_CMD_API_H
#define API_CMD_API_H

#include "base/cmd.h"

/* Options: --port-file FILE writes "PORT METRICS_PORT" there once it listens. */
int cmd_api(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
