#include "control_api.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "control_state.h"
#include "render.h"

enum { BODY_KEEP_BYTES = 1 << 20, JOURNAL_LIMIT = 10000 };
static const int64_t advance_max_ms = 10LL * 365 * 24 * 3600 * 1000;

int control_number(const struct http_req *req, const char *name, int64_t def, int64_t *ret,
                   struct err *err)
{
	const char *text = http_req_query(req, name);
	*ret = def;
	if (!text || num_i64(text, strlen(text), 0, INT64_MAX, ret) == 0)
		return 0;
	return err_set(err, ERR_REJECT, "bad_query", "%s must be a whole number", name);
}

/* ---- settings and time ---- */

static int get_settings(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)json, (void)err;
	const char *team = http_req_query(req, "team");
	settings_write(world_settings(&sim->world, team ? world_team(&sim->world, team) : IDS_NONE),
	               &sim->body);
	return 0;
}

static int put_settings(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	const char *name = http_req_query(req, "team");
	uint32_t team = name ? world_add_team(&sim->world, name) : IDS_NONE;
	if (name && team == IDS_NONE)
		return err_set(err, ERR_REJECT, "bad_query", "%.60s is no team id", name);
	struct settings *settings = name ? world_own_settings(&sim->world, team) : &sim->settings;
	if (!settings)
		return err_oom(err);
	if (settings_update(settings, json, err) < 0)
		return -1;
	return get_settings(sim, req, json, err);
}

static int delete_settings(struct sim *sim, const struct http_req *req, json_t *json,
                           struct err *err)
{
	world_forget_own_settings(&sim->world);
	return get_settings(sim, req, json, err);
}

struct advance_json {
	int64_t ms;
};
static const struct json_field advance_fields[] = {
    {"ms", JSON_KIND_I64, offsetof(struct advance_json, ms), JSON_REQUIRED, 0, INT64_MAX},
};

static int advance(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req;
	struct advance_json in = {0};
	if (json_decode(json, advance_fields, N_OF(advance_fields), &in, err) < 0)
		return -1;
	if (in.ms > advance_max_ms - sim->advanced_us / 1000)
		return err_set(err, ERR_REJECT, "bad_json", "that is too far in the future");
	sim->advanced_us += in.ms * 1000;
	sim_tick(sim);
	(void)buf_printf(&sim->body, "{\"advanced_ms\":%" PRId64 "}", sim->advanced_us / 1000);
	return 0;
}

static int reset(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req, (void)json, (void)err;
	sim_reset(sim);
	(void)buf_str(&sim->body, "{}");
	return 0;
}

/* ---- faults ---- */

static int get_faults(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req, (void)json, (void)err;
	(void)buf_str(&sim->body, "{\"faults\":");
	faults_write(&sim->faults, &sim->body);
	(void)buf_char(&sim->body, '}');
	return 0;
}

static int post_fault(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req;
	int64_t id;
	if (faults_add(&sim->faults, json, &id, err) < 0)
		return -1;
	(void)buf_printf(&sim->body, "{\"id\":%" PRId64 "}", id);
	return 0;
}

static int delete_faults(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	int64_t id;
	if (control_number(req, "id", 0, &id, err) < 0)
		return -1;
	if (id == 0)
		faults_done(&sim->faults);
	else if (!faults_remove(&sim->faults, id))
		return err_set(err, ERR_REJECT, "not_found", "there is no fault %" PRId64, id);
	return get_faults(sim, req, json, err);
}

/* ---- journal and counters ---- */

static int get_journal(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)json;
	const char *op = http_req_query(req, "op"), *id = http_req_query(req, "id");
	const char *team = http_req_query(req, "team");
	struct journal_query query = {
	    .id = id ? id : "", .team = team ? team : "", .op = op ? op_parse(op) : OP_COUNT};
	int64_t since;
	if (op && query.op == OP_COUNT)
		return err_set(err, ERR_REJECT, "bad_query", "there is no op %.60s", op);
	if (control_number(req, "since", 0, &since, err) < 0 ||
	    control_number(req, "limit", JOURNAL_LIMIT, &query.limit, err) < 0)
		return -1;
	query.since = (uint64_t)since;
	journal_write(&sim->journal, &query, &sim->body);
	return 0;
}

static int get_counters(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req, (void)json, (void)err;
	(void)buf_str(&sim->body, "{\"ops\":");
	journal_write_counters(&sim->journal, &sim->body);
	(void)buf_printf(&sim->body, ",\"in_flight\":%u,\"in_flight_max\":%u}", sim->in_flight,
	                 sim->in_flight_max);
	return 0;
}

static int get_live_count(struct sim *sim, const struct http_req *req, json_t *json,
                          struct err *err)
{
	(void)req, (void)json, (void)err;
	const struct world *world = &sim->world;
	(void)buf_printf(
	    &sim->body, "{\"sandbox\":%u,\"terminating\":%u,\"volume\":%u,\"snapshot\":%u}",
	    world->sandbox_count, world->terminating_count, world->volume_count, world->snapshot_count);
	return 0;
}

/* ---- dispatch ---- */

struct control_route {
	const char *method, *path;
	control_handler *handler;
};
static const struct control_route routes[] = {
    {"POST", "/seed", control_seed},
    {"POST", "/seed-range", control_seed_range},
    {"POST", "/remove", control_remove},
    {"GET", "/state", control_state},
    {"GET", "/live-count", get_live_count},
    {"GET", "/settings", get_settings},
    {"PUT", "/settings", put_settings},
    {"DELETE", "/settings", delete_settings},
    {"GET", "/faults", get_faults},
    {"POST", "/faults", post_fault},
    {"DELETE", "/faults", delete_faults},
    {"GET", "/journal", get_journal},
    {"GET", "/counters", get_counters},
    {"POST", "/advance", advance},
    {"POST", "/reset", reset},
};

static const struct control_route *find_route(const char *method, const char *path)
{
	for (size_t i = 0; i < N_OF(routes); i++)
		if (strcmp(routes[i].method, method) == 0 && strcmp(routes[i].path, path) == 0)
			return &routes[i];
	return NULL;
}

static int run(struct sim *sim, const struct http_req *req, struct err *err)
{
	const struct control_route *route = find_route(http_req_method(req), http_req_path(req));
	if (!route)
		return err_set(err, ERR_REJECT, "not_found", "there is no such route");
	size_t len;
	const char *text = http_req_body(req, &len);
	json_t *json AUTO(json_drop) = len > 0 ? json_parse(text, len, err) : NULL;
	if (len > 0 && !json)
		return -1;
	sim_tick(sim);
	if (route->handler(sim, req, json, err) < 0)
		return -1;
	return sim->body.failed ? err_oom(err) : 0;
}

void control_on_request(void *arg, struct http_req *req)
{
	struct sim *sim = arg;
	struct buf *body = &sim->body;
	struct err err = {0};
	int status = 200;
	buf_clear(body);
	if (run(sim, req, &err) < 0) {
		status = strcmp(err.code, "not_found") == 0 ? 404 : 400;
		buf_clear(body);
		(void)buf_str(body, "{\"error\":");
		render_text(err.text, body);
		(void)buf_char(body, '}');
	}
	http_reply(req, status, "application/json", body->data, body->len, NULL, 0);
	if (body->cap > BODY_KEEP_BYTES)
		buf_done(body);
}

void control_on_refused(void *arg, struct http_req *req, int status, const char *why)
{
	(void)arg, (void)why;
	static const char body[] = "{\"error\":\"refused\"}";
	http_reply(req, status, "application/json", body, sizeof(body) - 1, NULL, 0);
}
