#include "handlers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/killpoint.h"
#include "exchange.h"
#include "function_json.h"
#include "sql/store_publish.h"
#include "step.h"

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
	struct loop_timer wake_timer, expire_timer;
	int64_t woken_us;
	struct metric *rate_limited;
};

static struct handlers *owner_of(const struct exchange *x)
{
	return x->owner;
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
	exchange_header(x, "WWW-Authenticate", "Bearer");
	exchange_fail(x, 401, message);
}

static int64_t whole_seconds(int64_t us)
{
	return (us + 999999) / 1000000;
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
	exchange_header(x, "X-RateLimit-Limit", "%" PRId64, rate.per_second);
	exchange_header(x, "X-RateLimit-Remaining", "%" PRId64, verdict.remaining);
	exchange_header(x, "X-RateLimit-Reset", "%" PRId64, whole_seconds(verdict.full_after_us));
	if (verdict.allowed)
		return true;
	metric_add(h->rate_limited, 1);
	exchange_header(x, "Retry-After", "%" PRId64, whole_seconds(verdict.retry_after_us));
	exchange_fail(x, 429, "rate limit exceeded");
	return false;
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
	if (x->match.status == 405)
		exchange_header(x, "Allow", "%s", x->match.allow);
	if (x->match.status == 404)
		exchange_fail(x, 404, "no such path");
	else if (x->match.status == 405)
		exchange_fail(x, 405, "this path does not take this method");
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

/* ---- what the steps of a request need ---- */

struct pg_pool *step_pool(const struct exchange *x)
{
	return owner_of(x)->opts.pool;
}

struct platform *step_platform(const struct exchange *x)
{
	return owner_of(x)->opts.platform;
}

const char *step_host_suffix(const struct exchange *x)
{
	return owner_of(x)->host_suffix;
}

struct store_ref step_ref(const struct exchange *x)
{
	return (struct store_ref){.team_id = x->team_id, .text = x->match.id};
}

/* Our own span of the client's trace, or of a new one; it travels on in the event. */
struct store_actor step_actor(struct exchange *x)
{
	trace_child(http_req_header(x->http, "traceparent"), x->trace);
	return (struct store_actor){.principal = x->principal,
	                            .request_id = x->request_id,
	                            .traceparent = x->trace,
	                            .idempotency_key = x->write.keyed ? x->write.key : NULL,
	                            .fingerprint = x->write.keyed ? x->write.fingerprint : NULL};
}

void step_asked(struct exchange *x, int taken, const struct err *err, const char *failure)
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

void step_wrote(struct exchange *x, bool changed, const struct err *err)
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

bool step_ready(const struct exchange *x, char why[128])
{
	const struct handlers *h = owner_of(x);
	(void)snprintf(why, 128, "shutting down");
	return !h->draining && pg_pool_healthy(h->opts.pool, HEALTHY_WITHIN_US, why);
}

/* ---- answers that are remembered long enough ---- */

static void expire(void *arg)
{
	struct handlers *h = arg;
	struct err err = {0};
	/* What is left over, or was not reached, goes the next time. */
	(void)!store_idempotency_expire(h->opts.pool, h->opts.idempotency_ms, &err);
	loop_timer_set(h->opts.loop, &h->expire_timer, h->opts.idempotency_expire_ms * 1000);
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
	loop_timer_init(&h->expire_timer, expire, h);
	loop_timer_set(opts->loop, &h->expire_timer, h->opts.idempotency_expire_ms * 1000);
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
	loop_timer_stop(h->opts.loop, &h->expire_timer);
	exchanges_free(h->exchanges);
	ratelimit_free(h->ratelimit);
	free(h);
}

void handlers_drain(struct handlers *h)
{
	h->draining = true;
}
