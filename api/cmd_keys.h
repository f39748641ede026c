/* `sandsweep keys`: create, list and revoke API keys. */
#ifndef API_CMD_KEYS_H
#define API_CMD_KEYS_H

#include "base/cmd.h"

/* create --team UUID | --platform [--name N] [--region R] [--permissions LIST | --role ROLE]
 *        [--user UUID] [--expires 30d] [--rate N] [--output text|json]
 * list [--output table|json]
 * revoke ID
 * A key's text is printed by create, once, and kept nowhere. */
int cmd_keys(const struct cmd_ctx *ctx, int argc, char **argv);

#endif
