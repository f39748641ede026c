/* `sandsweep topics create`. */
#ifndef QUEUE_CMD_TOPICS_H
#define QUEUE_CMD_TOPICS_H

#include "base/cmd.h"

int cmd_topics(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
