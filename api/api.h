/* The HTTP front as one object: listener, routes, key cache, connections to Postgres, metrics. */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "base/loop.h"
#include "platform/platform.h"
#include "sql/pg.h"

/* The [api] section. */
struct api_config {
	const char *listen, *metrics_listen; /* metrics_listen "": none */
	const char *root_domain, *region;
	int64_t header_max_bytes, body_max_bytes;
	int64_t connections_max, connections_per_address_max;
	int64_t idle_ms, request_ms, answer_ms, drain_ms;
	int64_t rate_per_second, rate_burst_ms;
	int64_t key_cache_ms;
	int64_t idempotency_ms, idempotency_expire_ms;
	bool reuse_port;
};
extern const struct config_section api_section;

struct api;
/* Listens and starts to connect to Postgres; all configurations and the loop must outlive it. NULL
 * and *err: ERR_REJECT for an address that cannot be read, ERR_FATAL when it cannot be bound. */
struct api *api_new(struct loop *loop, const struct api_config *config,
                    const struct pg_config *postgres, const struct platform_config *platform,
                    struct err *err) MUST_CHECK;
/* Closes everything; what was still unanswered stays so. */
void api_free(struct api *api);

/* True while Postgres answers; otherwise why not, in a few words. */
bool api_healthy(const struct api *api, char why[128]);
/* Accepts no more; requests that are here are still answered. */
void api_drain(struct api *api);
unsigned api_open_requests(const struct api *api);
int api_port(const struct api *api);
int api_metrics_port(const struct api *api); /* 0: none */

#endif
