/* The service itself: alive, ready, which version, what it serves. */
#include "handlers.h"
#include "openapi.h"
#include "step.h"

static void succeed_with(struct exchange *x, const char *members)
{
	struct reply reply;
	(void)buf_str(exchange_data(x, &reply), members);
	exchange_send(x, &reply, 200);
}

/* That it answers is the answer: the loop turns. */
void handle_livez(struct exchange *x)
{
	succeed_with(x, "\"status\":\"alive\"");
}

static void on_ping(void *arg, const struct err *err)
{
	if (err)
		exchange_fail(arg, 503, "PostgreSQL does not answer");
	else
		succeed_with(arg, "\"status\":\"ready\"");
}

void handle_readyz(struct exchange *x)
{
	struct err err = {0};
	char why[128];
	if (!step_ready(x, why))
		exchange_fail(x, 503, why);
	else if (store_ping(step_pool(x), on_ping, x, &err) < 0)
		exchange_fail(x, 503, err.text);
}

void handle_version(struct exchange *x)
{
	succeed_with(x, "\"version\":\"" SANDSWEEP_VERSION "\"");
}

void handle_openapi(struct exchange *x)
{
	exchange_send_text(x, "application/yaml; charset=utf-8", openapi_yaml, openapi_yaml_len);
}
