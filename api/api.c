#include "api.h"

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "base/http.h"
#include "base/metrics.h"
#include "handlers.h"
#include "sql/store_api.h"

/* clang-format off */
#define ROW(key, type, min, max, def, help) \
	{#key, type, offsetof(struct api_config, key), min, max, def, false, help}
/* clang-format on */

static const struct config_row rows[] = {
    ROW(listen, CONFIG_STR, 0, 0, "127.0.0.1:8080",
        "Where the HTTP API listens: ADDRESS:PORT, [ADDRESS]:PORT or :PORT. Port 0 lets the kernel "
        "choose one."),
    ROW(metrics_listen, CONFIG_STR, 0, 0, "127.0.0.1:9464",
        "Where /metrics is served, for Prometheus. Empty: nowhere."),
    ROW(reuse_port, CONFIG_BOOL, 0, 0, "false",
        "Share the API's port with other processes (SO_REUSEPORT), to run several on one host. "
        "Give each its own metrics_listen."),
    ROW(root_domain, CONFIG_STR, 0, 0, "sandbox0.site",
        "The domain that function hosts are under."),
    ROW(region, CONFIG_STR, 0, 0, "",
        "The region's name: between label and domain in function hosts, and in new API keys. "
        "Empty: left out of hosts."),
    ROW(header_max_bytes, CONFIG_I64, 1024, 1 << 20, "16384",
        "The longest request line and headers together; more is answered with 431."),
    ROW(body_max_bytes, CONFIG_I64, 1024, 64 << 20, "1048576",
        "The longest request body; more is answered with 413 and not read."),
    ROW(connections_max, CONFIG_I64, 1, 100000, "4096",
        "Open connections in all; more are closed at once. The limit on open files must allow it."),
    ROW(connections_per_address_max, CONFIG_I64, 0, 100000, "1024",
        "Open connections of one client address. 0: no limit of its own, as behind a proxy."),
    ROW(idle_ms, CONFIG_I64, 100, 3600000, "75000",
        "A connection on which nothing moves for so long is closed."),
    ROW(request_ms, CONFIG_I64, 100, 3600000, "10000",
        "How long a request may take from its first byte to its last; then it is closed."),
    ROW(answer_ms, CONFIG_I64, 100, 3600000, "20000",
        "How long an answer may take; then 503. Longer than postgres.query_timeout_ms, so that a "
        "slow database is reported as what it is."),
    ROW(drain_ms, CONFIG_I64, 0, 600000, "10000",
        "After SIGTERM: how long to wait for requests under way."),
    ROW(rate_per_second, CONFIG_I64, 0, RATELIMIT_PER_SECOND_MAX, "100",
        "Requests per second of one API key that has no rate of its own, in each process. 0: no "
        "limit."),
    ROW(rate_burst_ms, CONFIG_I64, 0, 60000, "2000",
        "How much of its rate a key can save up while it is silent, and then use at once."),
    ROW(key_cache_ms, CONFIG_I64, 0, 3600000, "5000",
        "How long an API key is remembered. A revoked key stops at once where the notice of it "
        "arrives, and after this time at the latest. 0: every request asks the database."),
    ROW(idempotency_ms, CONFIG_I64, 1000, 604800000, "86400000",
        "How long the answer to a write is kept under the Idempotency-Key that came with it, at "
        "least."),
    ROW(idempotency_expire_ms, CONFIG_I64, 10, 86400000, "60000",
        "How often a portion of the answers that are kept for longer is forgotten."),
};
const struct config_section api_section = {
    "api", "The HTTP front (`sandsweep api`): listeners and limits.", rows, N_OF(rows), false};

enum {
	HEALTHY_WITHIN_US = 10000000, /* of the watchdog: Postgres may be silent for so long */
	METRICS_BODY_MAX = 4 << 20,
};

struct api {
	struct pg_pool *pool;
	struct platform *platform;
	struct store_key_watch *watch;
	struct metrics *metrics;
	struct auth *auth;
	struct handlers *handlers;
	struct http_server *server, *metrics_server;
};

/* ---- the listener for metrics ---- */

static size_t metrics_body_max(void *arg, const char *method, const char *path)
{
	(void)arg, (void)method, (void)path;
	return 0;
}

static void metrics_request(void *arg, struct http_req *http)
{
	static const char type[] = "text/plain; version=0.0.4; charset=utf-8";
	const struct api *api = arg;
	const char *method = http_req_method(http);
	bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	if (!reads || strcmp(http_req_path(http), "/metrics") != 0) {
		http_reply(http, 404, type, "only GET /metrics\n", strlen("only GET /metrics\n"), NULL, 0);
		return;
	}
	AUTO(buf_done) struct buf text;
	buf_init(&text, METRICS_BODY_MAX);
	metrics_write(api->metrics, &text);
	if (text.failed)
		http_reply(http, 500, NULL, NULL, 0, NULL, 0);
	else
		http_reply(http, 200, type, text.data, text.len, NULL, 0);
}

static void metrics_refused(void *arg, struct http_req *http, int status, const char *why)
{
	(void)arg, (void)why;
	http_reply(http, status, NULL, NULL, 0, NULL, 0);
}

static double open_requests(void *arg)
{
	return api_open_requests(arg);
}

static double open_connections(void *arg)
{
	const struct api *api = arg;
	return api->server ? http_server_connections(api->server) : 0;
}

static double store_pending(void *arg)
{
	const struct api *api = arg;
	return pg_pool_pending(api->pool);
}

static void register_gauges(struct api *api)
{
	(void)metrics_gauge_fn(api->metrics, "sandsweep_http_open_requests", NULL,
	                       "Requests that are not answered yet.", open_requests, api);
	(void)metrics_gauge_fn(api->metrics, "sandsweep_http_connections", NULL, "Open connections.",
	                       open_connections, api);
	(void)metrics_gauge_fn(api->metrics, "sandsweep_store_pending", NULL,
	                       "Statements that wait for PostgreSQL.", store_pending, api);
}

/* ---- putting it together ---- */

static void on_keys_changed(void *arg)
{
	struct api *api = arg;
	auth_flush(api->auth);
}

static struct handlers *make_handlers(struct api *api, struct loop *loop,
                                      const struct api_config *config, struct err *err)
{
	const struct handlers_opts opts = {
	    .loop = loop,
	    .pool = api->pool,
	    .platform = api->platform,
	    .auth = api->auth,
	    .metrics = api->metrics,
	    .root_domain = config->root_domain,
	    .region = config->region,
	    .body_max_bytes = (size_t)config->body_max_bytes,
	    .rate_per_second = config->rate_per_second,
	    .rate_burst_ms = config->rate_burst_ms,
	    .idempotency_ms = config->idempotency_ms,
	    .idempotency_expire_ms = config->idempotency_expire_ms,
	};
	return handlers_new(&opts, err);
}

static struct http_server *listen_api(struct api *api, struct loop *loop,
                                      const struct api_config *config, struct err *err)
{
	const struct http_opts opts = {
	    .listen = config->listen,
	    .reuse_port = config->reuse_port,
	    .limits = {.header_max_bytes = (size_t)config->header_max_bytes,
	               .conns_max = (unsigned)config->connections_max,
	               .conns_per_ip_max = (unsigned)config->connections_per_address_max,
	               .idle_ms = config->idle_ms,
	               .request_ms = config->request_ms,
	               .answer_ms = config->answer_ms},
	    .body_max = handlers_body_max,
	    .on_request = handlers_on_request,
	    .on_refused = handlers_on_refused,
	    .arg = api->handlers,
	};
	return http_server_new(loop, &opts, err);
}

static struct http_server *listen_metrics(struct api *api, struct loop *loop,
                                          const struct api_config *config, struct err *err)
{
	const struct http_opts opts = {
	    .listen = config->metrics_listen,
	    .limits = {.header_max_bytes = 8192,
	               .conns_max = 64,
	               .idle_ms = 75000,
	               .request_ms = 10000,
	               .answer_ms = 10000},
	    .body_max = metrics_body_max,
	    .on_request = metrics_request,
	    .on_refused = metrics_refused,
	    .arg = api,
	};
	return http_server_new(loop, &opts, err);
}

/* The parts in the order in which they need each other. */
static int build(struct api *api, struct loop *loop, const struct api_config *config,
                 const struct pg_config *postgres, const struct platform_config *platform,
                 struct err *err)
{
	if (!(api->metrics = metrics_new(err)) || !(api->pool = pg_pool_new(loop, postgres, err)) ||
	    !(api->platform = platform_new(loop, platform, api->metrics, err)))
		return -1;
	api->auth = auth_new(loop, api->pool, config->key_cache_ms, api->metrics, err);
	if (!api->auth || !(api->handlers = make_handlers(api, loop, config, err)))
		return -1;
	register_gauges(api);
	api->watch = store_key_watch_new(loop, postgres, on_keys_changed, api, err);
	if (!api->watch || !(api->server = listen_api(api, loop, config, err)))
		return -1;
	if (*config->metrics_listen && !(api->metrics_server = listen_metrics(api, loop, config, err)))
		return -1;
	return 0;
}

struct api *api_new(struct loop *loop, const struct api_config *config,
                    const struct pg_config *postgres, const struct platform_config *platform,
                    struct err *err)
{
	struct api *api = calloc(1, sizeof(*api));
	if (!api)
		(void)err_oom(err);
	else if (build(api, loop, config, postgres, platform, err) < 0) {
		api_free(api);
		api = NULL;
	}
	return api;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	/* Whoever calls back goes before what is called. */
	store_key_watch_free(api->watch);
	pg_pool_free(api->pool);
	platform_free(api->platform);
	http_server_free(api->server);
	http_server_free(api->metrics_server);
	handlers_free(api->handlers);
	auth_free(api->auth);
	metrics_free(api->metrics);
	free(api);
}

bool api_healthy(const struct api *api, char why[128])
{
	return pg_pool_healthy(api->pool, HEALTHY_WITHIN_US, why);
}

void api_drain(struct api *api)
{
	handlers_drain(api->handlers);
	http_server_drain(api->server);
}

unsigned api_open_requests(const struct api *api)
{
	return api->server ? http_server_open_requests(api->server) : 0;
}

int api_port(const struct api *api)
{
	return http_server_port(api->server);
}

int api_metrics_port(const struct api *api)
{
	return api->metrics_server ? http_server_port(api->metrics_server) : 0;
}
