/* One HTTP request from its arrival to its answer: find the route, know who asks, ask the store,
 * answer. Nothing here waits: every step that needs Postgres goes on in a callback. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "auth.h"
#include "base/http.h"
#include "base/metrics.h"
#include "platform/platform.h"
#include "ratelimit.h"
#include "route.h"
#include "sql/store_api.h"

/* What all requests share. Everything is borrowed and must outlive the handlers. */
struct handlers_opts {
	struct loop *loop;
	struct pg_pool *pool;
	struct platform *platform;
	struct auth *auth;
	struct metrics *metrics;
	const char *root_domain, *region;
	size_t body_max_bytes;
	int64_t rate_per_second;       /* of a key without a rate of its own; 0: no limit */
	int64_t rate_burst_ms;         /* how much unused rate a key can save up */
	int64_t idempotency_ms;        /* how long an answer is kept under the client's key */
	int64_t idempotency_expire_ms; /* how often older ones are forgotten */
};

struct handlers;
struct handlers *handlers_new(const struct handlers_opts *opts, struct err *err) MUST_CHECK;
/* After the pool and the server are gone: requests that were still open are forgotten. */
void handlers_free(struct handlers *handlers);
/* From now on /readyz says 503. */
void handlers_drain(struct handlers *handlers);

/* For struct http_opts; `arg` is the struct handlers. */
size_t handlers_body_max(void *arg, const char *method, const char *path);
void handlers_on_request(void *arg, struct http_req *http);
void handlers_on_refused(void *arg, struct http_req *http, int status, const char *why);

/* The rows of the route table. Each answers its exchange exactly once, now or later. */
void handle_function_list(struct exchange *exchange);
void handle_function_get(struct exchange *exchange);
void handle_function_update(struct exchange *exchange);
void handle_function_delete(struct exchange *exchange);
void handle_function_create(struct exchange *exchange);
void handle_function_cleanup(struct exchange *exchange);
void handle_revision_find(struct exchange *exchange); /* all, or one */
void handle_revision_create(struct exchange *exchange);
void handle_alias_find(struct exchange *exchange); /* all, or one */
void handle_alias_set(struct exchange *exchange);
void handle_runtime_get(struct exchange *exchange);
void handle_runtime_restart(struct exchange *exchange);
void handle_runtime_recycle(struct exchange *exchange);
void handle_livez(struct exchange *exchange);
void handle_readyz(struct exchange *exchange);
void handle_version(struct exchange *exchange);
void handle_openapi(struct exchange *exchange);

#endif
