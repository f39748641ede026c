#include "cmd_topics.h"

#include <string.h>

#include "kafka.h"

enum { WAIT_MS = 15000 };

static void print(void *arg, const char *topic, const char *outcome)
{
	(void)arg;
	(void)printf("%-32s %s\n", topic, outcome);
}

int cmd_topics(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct err err = {0};
	const char *verb = NULL;
	struct kafka_config config = {0};
	int n = cmd_options(argc, argv, NULL, 0, &verb, 1, &err);
	if (n >= 0 && (n == 0 || strcmp(verb, "create") != 0))
		n = err_set(&err, ERR_REJECT, "usage", "say `topics create`");
	if (n < 0 || config_read(ctx->config, &kafka_section, &config, &err) < 0)
		return cmd_fail(ctx, &err);
	config.config = ctx->config;
	if (kafka_topics_create(&config, WAIT_MS, print, NULL, &err) < 0)
		return cmd_fail(ctx, &err);
	return CMD_OK;
}
