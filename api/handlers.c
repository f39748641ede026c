#include "handlers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/killpoint.h"
#include "exchange.h"
#include "function_json.h"
#include "function_update.h"

enum {
	WAKE_INTERVAL_US = 5000,     /* relays are woken at most this often */
	HEALTHY_WITHIN_US = 5000000, /* Postgres may be silent for so long while it is asked */
};

struct handlers {
	struct handlers_opts opts;
	struct exchanges *exchanges;
	struct ratelimit *ratelimit;
	char host_suffix[FUNCTION_JSON_SUFFIX_SIZE];
	bool draining;
	struct loop_timer wake_timer;
	int64_t woken_us;
	struct metric *rate_limited;
};

static struct handlers *owner_of(const struct exchange *x)
{
	return x->owner;
}

static struct pg_pool *pool_of(const struct exchange *x)
{
	return owner_of(x)->opts.pool;
}

/* ---- who asks ---- */

static bool permits(const struct store_key *key, enum route_permission permission)
{
	const bool may[] = {[ROUTE_PUBLIC] = true,
	                    [ROUTE_READ] = key->may_read,
	                    [ROUTE_CREATE] = key->may_create,
	                    [ROUTE_WRITE] = key->may_write,
	                    [ROUTE_DELETE] = key->may_delete};
	return key->platform_scope || may[permission];
}

static void fail_unauthorized(struct exchange *x, const char *message)
{
	static const struct http_header challenge = {"WWW-Authenticate", "Bearer"};
	exchange_fail_with(x, 401, message, &challenge, 1);
}

static void fail_quota(struct exchange *x, const struct ratelimit_rate *rate,
                       const struct ratelimit_verdict *verdict)
{
	char limit[24], reset[24], retry[24];
	(void)snprintf(limit, sizeof(limit), "%" PRId64, rate->per_second);
	(void)snprintf(reset, sizeof(reset), "%" PRId64, (verdict->full_after_us + 999999) / 1000000);
	(void)snprintf(retry, sizeof(retry), "%" PRId64, (verdict->retry_after_us + 999999) / 1000000);
	const struct http_header headers[] = {{"Retry-After", retry},
	                                      {"X-RateLimit-Limit", limit},
	                                      {"X-RateLimit-Remaining", "0"},
	                                      {"X-RateLimit-Reset", reset}};
	metric_add(owner_of(x)->rate_limited, 1);
	exchange_fail_with(x, 429, "rate limit exceeded", headers, N_OF(headers));
}

/* False when the key has sent too much; the exchange is answered then. */
static bool take_quota(struct exchange *x, const struct store_key *key)
{
	struct handlers *h = owner_of(x);
	struct ratelimit_rate rate = {.per_second = key->rate_per_second};
	if (rate.per_second <= 0)
		rate.per_second = h->opts.rate_per_second;
	if (rate.per_second <= 0)
		return true;
	if (rate.per_second > RATELIMIT_PER_SECOND_MAX)
		rate.per_second = RATELIMIT_PER_SECOND_MAX;
	rate.burst = rate.per_second * h->opts.rate_burst_ms / 1000;
	if (rate.burst < 1)
		rate.burst = 1;
	struct ratelimit_verdict verdict =
	    ratelimit_key(h->ratelimit, &key->id, &rate, loop_now_us(h->opts.loop));
	if (!verdict.allowed)
		fail_quota(x, &rate, &verdict);
	return verdict.allowed;
}

/* False when the team that was asked for is wrong; the exchange is answered then. */
static bool choose_team(struct exchange *x, const struct store_key *key)
{
	const char *text = http_req_header(x->http, "X-Team-ID");
	struct uuid team = {0};
	bool given = text && *text;
	bool good = given && uuid_parse(text, strlen(text), &team) == 0 && !uuid_is_nil(&team);
	x->team_id = key->platform_scope ? team : key->team_id;
	if (key->platform_scope && !good)
		exchange_fail(x, 400,
		              given ? "X-Team-ID must be a team's UUID"
		                    : "a platform key needs the header X-Team-ID");
	else if (!key->platform_scope && given && !(good && uuid_equal(&team, &key->team_id)))
		fail_unauthorized(x, "not a member of selected team");
	else
		return true;
	return false;
}

static void on_key(void *arg, const struct store_key *key, const struct err *err)
{
	struct exchange *x = arg;
	if (err) {
		exchange_fail_store(x, err, "failed to check the API key");
		return;
	}
	if (!key) {
		fail_unauthorized(x, "a valid API key is required");
		return;
	}
	if (!take_quota(x, key) || !choose_team(x, key))
		return;
	if (!permits(key, x->match.route->permission)) {
		exchange_fail(x, 403, "insufficient permissions");
		return;
	}
	x->principal = key->principal;
	x->match.route->handle(x);
}

static void authenticate(struct exchange *x)
{
	const char *key;
	size_t len;
	if (auth_parse(http_req_header(x->http, "Authorization"), &key, &len) < 0)
		fail_unauthorized(x, "a valid API key is required");
	else
		auth_check(owner_of(x)->opts.auth, &x->check, key, len, on_key, x);
}

/* ---- what the server calls ---- */

size_t handlers_body_max(void *arg, const char *method, const char *path)
{
	const struct handlers *h = arg;
	struct route_match match;
	route_find(method, path, &match);
	size_t max = match.route ? match.route->body_max : ROUTE_BODY_IGNORED;
	return max < h->opts.body_max_bytes ? max : h->opts.body_max_bytes;
}

void handlers_on_request(void *arg, struct http_req *http)
{
	struct handlers *h = arg;
	struct exchange *x = exchange_take(h->exchanges, http, h);
	if (!x)
		return;
	route_find(http_req_method(http), http_req_path(http), &x->match);
	const struct http_header allow = {"Allow", x->match.allow};
	if (x->match.status == 404)
		exchange_fail(x, 404, "no such path");
	else if (x->match.status == 405)
		exchange_fail_with(x, 405, "this path does not take this method", &allow, 1);
	else if (x->match.route->permission == ROUTE_PUBLIC)
		x->match.route->handle(x);
	else
		authenticate(x);
}

void handlers_on_refused(void *arg, struct http_req *http, int status, const char *why)
{
	struct handlers *h = arg;
	struct exchange *x = http_req_state(http);
	char message[256];
	if (x) {
		exchange_fail_late(x, status, "no answer in time");
		return;
	}
	x = exchange_take(h->exchanges, http, h);
	if (!x)
		return;
	if (status == 413)
		(void)snprintf(message, sizeof(message), "the request body is too long");
	else if (status == 431)
		(void)snprintf(message, sizeof(message), "the request's headers are too many or too long");
	else
		(void)snprintf(message, sizeof(message), "%s%s", status == 400 ? "invalid request: " : "",
		               why);
	exchange_fail(x, status, message);
}

/* ---- asking the store ---- */

static struct store_ref ref_of(const struct exchange *x)
{
	return (struct store_ref){.team_id = x->team_id, .text = x->match.id};
}

/* Our own span of the client's trace, or of a new one; it travels on in the event. */
static struct store_actor actor_of(struct exchange *x)
{
	trace_child(http_req_header(x->http, "traceparent"), x->trace);
	return (struct store_actor){
	    .principal = x->principal, .request_id = x->request_id, .traceparent = x->trace};
}

/* After a question to the store: its callback goes on, or there will be none. */
static void asked(struct exchange *x, int taken, const struct err *err, const char *failure)
{
	if (taken < 0)
		exchange_fail_store(x, err, failure);
}

static void wake(void *arg)
{
	struct handlers *h = arg;
	struct err err = {0};
	h->woken_us = loop_now_us(h->opts.loop);
	/* A lost call is made good by the relays' own poll. */
	(void)!store_wake_relays(h->opts.pool, &err);
}

/* A write that may have left something in the outbox is done, or may be although its answer was
 * lost: wakes the relays, at once when the last call is long enough ago. */
static void wrote(struct exchange *x, bool changed, const struct err *err)
{
	struct handlers *h = owner_of(x);
	killpoint("api.committed");
	if (err ? err->kind != ERR_RETRY : !changed)
		return;
	int64_t wait_us = h->woken_us + WAKE_INTERVAL_US - loop_now_us(h->opts.loop);
	if (wait_us <= 0)
		wake(h);
	else if (!h->wake_timer.armed)
		loop_timer_set(h->opts.loop, &h->wake_timer, wait_us);
}

/* ---- functions ---- */

static void on_list_row(void *arg, const struct store_function *function, const struct err *err)
{
	struct exchange *x = arg;
	if (function) {
		if (x->rows.len > 0)
			(void)buf_char(&x->rows, ',');
		function_json(&x->rows, function, owner_of(x)->host_suffix);
		return;
	}
	if (err) {
		exchange_fail_store(x, err, "failed to list functions");
		return;
	}
	struct reply reply;
	struct buf *body = exchange_data(x, &reply);
	(void)buf_str(body, "\"functions\":[");
	(void)buf_add(body, x->rows.data, x->rows.len);
	(void)buf_char(body, ']');
	body->failed |= x->rows.failed;
	exchange_send(x, &reply);
}

void handle_function_list(struct exchange *x)
{
	struct err err = {0};
	int taken = store_function_list(pool_of(x), &x->team_id, on_list_row, x, &err);
	asked(x, taken, &err, "failed to list functions");
}

/* The common end of everything that answers one function; `more` is written after it. */
static void finish_function(struct exchange *x, const struct store_function *function,
                            const struct err *err, const char *failure, const char *more)
{
	if (err) {
		exchange_fail_store(x, err, failure);
		return;
	}
	if (!function) {
		exchange_fail(x, 404, "function not found");
		return;
	}
	struct reply reply;
	struct buf *body = exchange_data(x, &reply);
	(void)buf_str(body, "\"function\":");
	function_json(body, function, owner_of(x)->host_suffix);
	(void)buf_str(body, more);
	exchange_send(x, &reply);
}

static void on_got(void *arg, const struct store_function *function, const struct err *err)
{
	finish_function(arg, function, err, "failed to get function", "");
}

void handle_function_get(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = ref_of(x);
	asked(x, store_function_get(pool_of(x), &ref, on_got, x, &err), &err, "failed to get function");
}

static void on_updated(void *arg, const struct store_function *function, const struct err *err)
{
	wrote(arg, function && !function->enabled, err);
	finish_function(arg, function, err, "failed to update function", "");
}

static void fail_update(struct exchange *x, const struct err *err)
{
	char message[sizeof(err->text) + 32];
	(void)snprintf(message, sizeof(message), "invalid request: %s", err->text);
	if (err->kind == ERR_REJECT)
		exchange_fail(x, 400, message);
	else
		exchange_fail(x, 500, err->text);
}

void handle_function_update(struct exchange *x)
{
	AUTO(json_drop) json_t *json = NULL;
	struct store_function_change change;
	struct err err = {0};
	size_t len;
	const char *text = http_req_body(x->http, &len);
	if (function_update_decode(text, len, &json, &change, &err) < 0) {
		fail_update(x, &err);
		return;
	}
	struct store_ref ref = ref_of(x);
	struct store_actor actor = actor_of(x);
	killpoint("api.received");
	int taken = store_function_update(pool_of(x), &ref, &actor, &change, on_updated, x, &err);
	asked(x, taken, &err, "failed to update function");
}

static void on_deleted(void *arg, const struct store_function *function, const struct err *err)
{
	wrote(arg, function, err);
	finish_function(arg, function, err, "failed to delete function",
	                ",\"message\":\"function deleted\"");
}

void handle_function_delete(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = ref_of(x);
	struct store_actor actor = actor_of(x);
	killpoint("api.received");
	int taken = store_function_delete(pool_of(x), &ref, &actor, on_deleted, x, &err);
	asked(x, taken, &err, "failed to delete function");
}

/* ---- runtimes ---- */

static void finish_runtime(struct exchange *x, const struct store_runtime *runtime,
                           const struct err *err, const char *failure)
{
	if (err) {
		exchange_fail_store(x, err, failure);
		return;
	}
	if (!runtime || uuid_is_nil(&runtime->revision_id)) {
		exchange_fail(x, 404, runtime ? "function revision not found" : "function not found");
		return;
	}
	struct reply reply;
	struct buf *body = exchange_data(x, &reply);
	(void)buf_str(body, "\"runtime\":");
	function_json_runtime(body, runtime);
	exchange_send(x, &reply);
}

static void on_runtime(void *arg, const struct store_runtime *runtime, const struct err *err)
{
	finish_runtime(arg, runtime, err, "failed to get function runtime");
}

void handle_runtime_get(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = ref_of(x);
	int taken = store_runtime_get(pool_of(x), &ref, on_runtime, x, &err);
	asked(x, taken, &err, "failed to get function runtime");
}

static void on_cleared(void *arg, const struct store_runtime *runtime, const struct err *err)
{
	wrote(arg, runtime, err);
	finish_runtime(arg, runtime, err, "failed to clear function runtime");
}

static void clear_runtime(struct exchange *x, enum store_clear how)
{
	struct err err = {0};
	struct store_ref ref = ref_of(x);
	struct store_actor actor = actor_of(x);
	killpoint("api.received");
	int taken = store_runtime_clear(pool_of(x), how, &ref, &actor, on_cleared, x, &err);
	asked(x, taken, &err, "failed to clear function runtime");
}

void handle_runtime_restart(struct exchange *x)
{
	clear_runtime(x, STORE_RESTART);
}

void handle_runtime_recycle(struct exchange *x)
{
	clear_runtime(x, STORE_RECYCLE);
}

/* ---- the service itself ---- */

static void succeed_with(struct exchange *x, const char *members)
{
	struct reply reply;
	(void)buf_str(exchange_data(x, &reply), members);
	exchange_send(x, &reply);
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
	const struct handlers *h = owner_of(x);
	struct err err = {0};
	char why[128] = "";
	if (h->draining)
		exchange_fail(x, 503, "shutting down");
	else if (!pg_pool_healthy(h->opts.pool, HEALTHY_WITHIN_US, why))
		exchange_fail(x, 503, why);
	else if (store_ping(h->opts.pool, on_ping, x, &err) < 0)
		exchange_fail(x, 503, err.text);
}

void handle_version(struct exchange *x)
{
	succeed_with(x, "\"version\":\"" SANDSWEEP_VERSION "\"");
}

/* ---- all of it ---- */

struct handlers *handlers_new(const struct handlers_opts *opts, struct err *err)
{
	struct handlers *h = calloc(1, sizeof(*h));
	if (!h) {
		(void)err_oom(err);
		return NULL;
	}
	h->opts = *opts;
	h->woken_us = -WAKE_INTERVAL_US;
	loop_timer_init(&h->wake_timer, wake, h);
	h->exchanges = exchanges_new(opts->loop, opts->metrics, err);
	h->ratelimit = ratelimit_new(err);
	bool fits = function_json_suffix(opts->region, opts->root_domain, h->host_suffix) == 0;
	if (!fits)
		(void)err_set(err, ERR_REJECT, "config", "api.region and api.root_domain are too long");
	if (!h->exchanges || !h->ratelimit || !fits) {
		handlers_free(h);
		return NULL;
	}
	h->rate_limited = metrics_counter(opts->metrics, "sandsweep_http_rate_limited_total", NULL,
	                                  "Requests refused because their key had sent too many.");
	return h;
}

void handlers_free(struct handlers *h)
{
	if (!h)
		return;
	loop_timer_stop(h->opts.loop, &h->wake_timer);
	exchanges_free(h->exchanges);
	ratelimit_free(h->ratelimit);
	free(h);
}

void handlers_drain(struct handlers *h)
{
	h->draining = true;
}
