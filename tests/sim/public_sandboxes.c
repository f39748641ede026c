/* The sandboxes of the platform's public API. */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/uuid.h"
#include "listing.h"
#include "public_api.h"
#include "render.h"

static const char *const not_found = "sandbox not found";

/* ---- list ---- */

/* A number of the query within [min, INT32_MAX], `def` when absent. A bad one is 400 in the manager
 * and silently the default in the scheduler. */
static int read_number(const struct exchange *exchange, const char *name, int64_t min, int64_t def,
                       int64_t *ret)
{
	const char *text = http_req_query(exchange->req, name);
	*ret = def;
	if (!text || num_i64(text, strlen(text), min, INT32_MAX, ret) == 0)
		return 0;
	return exchange->sim->settings.list_lenient ? 0 : -1;
}

static int read_paused(const struct exchange *exchange, enum listing_paused *ret)
{
	const char *text = http_req_query(exchange->req, "paused");
	*ret = LISTING_ANY;
	if (!text)
		return 0;
	if (strcmp(text, "true") == 0)
		*ret = LISTING_PAUSED;
	else if (strcmp(text, "false") == 0)
		*ret = LISTING_NOT_PAUSED;
	return *ret == LISTING_ANY ? -1 : 0;
}

/* Returns what is wrong, or NULL. */
static const char *read_query(const struct exchange *exchange, struct listing_query *query)
{
	query->status = http_req_query(exchange->req, "status");
	query->template = http_req_query(exchange->req, "template_id");
	if (query->status && strcmp(query->status, "terminating") != 0 &&
	    world_phase(query->status) == PHASE_COUNT)
		return "invalid status";
	if (read_paused(exchange, &query->paused) < 0)
		return "invalid paused";
	if (read_number(exchange, "limit", 1, LISTING_LIMIT_DEFAULT, &query->limit) < 0)
		return "invalid limit";
	if (read_number(exchange, "offset", 0, 0, &query->offset) < 0)
		return "invalid offset";
	if (query->limit > LISTING_LIMIT_MAX)
		query->limit = LISTING_LIMIT_MAX;
	return NULL;
}

void public_sandbox_list(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	struct listing_query query;
	struct listing_page page;
	const char *wrong = read_query(exchange, &query);
	if (wrong) {
		answer_error(sim, 400, "bad_request", wrong, ret);
		return;
	}
	listing_sandboxes(&sim->world, team, &query, &page);
	struct buf *body = answer_begin(sim, 200, ret);
	(void)buf_str(body, "{\"sandboxes\":[");
	for (uint32_t i = 0; i < page.slot_count; i++) {
		(void)buf_str(body, i ? "," : "");
		render_summary(&sim->world, page.slots[i], body);
	}
	(void)buf_str(body, "],\"count\":");
	(void)buf_i64(body, page.count);
	(void)buf_str(body, page.has_more ? ",\"has_more\":true}" : ",\"has_more\":false}");
	answer_end(sim);
}

/* ---- get, delete, pause, resume ---- */

/* The sandbox that the path names, or false after answering 404 or 403. */
static bool look_up(struct exchange *exchange, uint32_t team, uint32_t *ret_slot,
                    struct answer *ret)
{
	struct sim *sim = exchange->sim;
	enum world_answer answer = world_lookup(&sim->world, exchange->target.id, team, ret_slot);
	if (answer != WORLD_OK)
		answer_refusal(sim, answer, not_found, ret);
	return answer == WORLD_OK;
}

void public_sandbox_get(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	uint32_t slot;
	if (world_chance(&sim->world, world_settings(&sim->world, team)->get_404_percent)) {
		/* The manager says 404 to any error of its look-up. */
		answer_refusal(sim, WORLD_NOT_FOUND, not_found, ret);
	} else if (look_up(exchange, team, &slot, ret)) {
		render_sandbox(&sim->world, slot, answer_begin(sim, 200, ret));
		answer_end(sim);
	}
}

void public_sandbox_delete(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	uint32_t slot;
	if (!look_up(exchange, team, &slot, ret))
		return;
	enum world_answer answer = world_terminate(&sim->world, slot);
	if (answer == WORLD_OK)
		answer_data(sim, 200, "{\"message\":\"sandbox terminated successfully\"}", ret);
	else
		answer_error(sim, 500, "internal_error", "failed to terminate sandbox", ret);
}

static void set_paused(struct exchange *exchange, uint32_t team, bool paused, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	uint32_t slot;
	if (!look_up(exchange, team, &slot, ret))
		return;
	struct sandbox *sandbox = world_sandbox(&sim->world, slot);
	if (sandbox->presence == PRESENCE_TERMINATING) {
		answer_refusal(sim, WORLD_CONFLICT, "superseded by a newer transition", ret);
		return;
	}
	sandbox->paused = paused;
	struct buf *body = answer_begin(sim, 200, ret);
	(void)buf_printf(body,
	                 "{\"sandbox_id\":\"%s\",\"%s\":true,\"power_state\":", exchange->target.id,
	                 paused ? "paused" : "resumed");
	render_power_state(sandbox, body);
	(void)buf_char(body, '}');
	answer_end(sim);
}

void public_sandbox_pause(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	set_paused(exchange, team, true, ret);
}

void public_sandbox_resume(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	set_paused(exchange, team, false, ret);
}

/* ---- claim ---- */

struct claim {
	const char *template;
	json_t *config, *mounts, *services;
	bool has;
	char *services_text;
	struct sandbox_mount mount_list[WORLD_MOUNTS_MAX];
	uint32_t mount_count;
};
static const struct json_field claim_fields[] = {
    {"template", JSON_KIND_STR, offsetof(struct claim, template), JSON_REQUIRED, 1, ID_MAX_BYTES},
    {"config", JSON_KIND_OBJ, offsetof(struct claim, config), offsetof(struct claim, has), 0, 0},
    {"mounts", JSON_KIND_ARR, offsetof(struct claim, mounts), offsetof(struct claim, has), 0, 0},
};
static const struct json_field config_fields[] = {
    {"services", JSON_KIND_ARR, offsetof(struct claim, services), offsetof(struct claim, has), 0,
     0},
};

struct claim_mount {
	const char *id, *point;
	bool has;
};
static const struct json_field mount_fields[] = {
    {"sandboxvolume_id", JSON_KIND_STR, offsetof(struct claim_mount, id),
     offsetof(struct claim_mount, has), 1, ID_MAX_BYTES},
    {"mount_point", JSON_KIND_STR, offsetof(struct claim_mount, point),
     offsetof(struct claim_mount, has), 1, 1024},
};

static bool is_under(const char *path, const char *directory)
{
	size_t len = strlen(directory);
	return strncmp(path, directory, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static bool has_dot_dot(const char *path)
{
	for (const char *at = path; (at = strstr(at, "/..")); at += 3)
		if (at[3] == '\0' || at[3] == '/')
			return true;
	return false;
}

/* Returns what is wrong with a mount, or NULL. */
static const char *check_mount(const struct claim *claim, const struct claim_mount *mount)
{
	static const char *const reserved[] = {"/proc", "/sys", "/dev"};
	if (!mount->id)
		return "mount: sandboxvolume_id is required";
	if (!mount->point || mount->point[0] != '/')
		return "mount: mount_point must be an absolute path";
	if (strspn(mount->point, "/") == strlen(mount->point))
		return "mount: mount_point must not be /";
	if (has_dot_dot(mount->point))
		return "mount: mount_point must not contain ..";
	for (size_t i = 0; i < N_OF(reserved); i++)
		if (is_under(mount->point, reserved[i]))
			return "mount: mount_point is reserved";
	for (uint32_t i = 0; i < claim->mount_count; i++)
		if (strcmp(claim->mount_list[i].point, mount->point) == 0)
			return "mount: duplicate mount_point";
	return NULL;
}

/* Adds one mount to the claim. False after answering 400 or 409. */
static bool add_mount(struct exchange *exchange, uint32_t team, struct claim *claim,
                      const struct claim_mount *mount, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	uint32_t volume;
	const char *wrong = check_mount(claim, mount);
	if (!wrong && claim->mount_count == WORLD_MOUNTS_MAX)
		wrong = "mount: too many mounts";
	if (wrong) {
		answer_error(sim, 400, "bad_request", wrong, ret);
		return false;
	}
	enum world_answer answer = volume_may_mount(&sim->world, mount->id, team, &volume);
	if (answer == WORLD_CONFLICT) {
		answer_refusal(sim, answer, "volume is bound to another sandbox", ret);
		return false;
	}
	for (uint32_t i = 0; answer == WORLD_OK && i < claim->mount_count; i++)
		if (claim->mount_list[i].volume == volume)
			wrong = "mount: duplicate volume";
	if (answer != WORLD_OK)
		wrong = "mount: volume not found";
	if (wrong) {
		answer_error(sim, 400, "bad_request", wrong, ret);
		return false;
	}
	/* The point is only read until the world has its copy. */
	claim->mount_list[claim->mount_count++] =
	    (struct sandbox_mount){.volume = volume, .point = (char *)(uintptr_t)mount->point};
	return true;
}

static bool read_mounts(struct exchange *exchange, uint32_t team, struct claim *claim,
                        struct answer *ret)
{
	size_t at;
	json_t *item;
	json_array_foreach (claim->mounts, at, item) {
		struct claim_mount mount = {0};
		struct err err = {0};
		if (json_decode(item, mount_fields, N_OF(mount_fields), &mount, &err) < 0) {
			answer_invalid(exchange->sim, err.text, ret);
			return false;
		}
		if (!add_mount(exchange, team, claim, &mount, ret))
			return false;
	}
	return true;
}

/* Services as GET shows them: ingress is required there, and a claim may leave it out. */
static bool read_services(struct exchange *exchange, struct claim *claim, struct answer *ret)
{
	size_t at;
	json_t *service;
	json_array_foreach (claim->services, at, service) {
		if (!json_is_object(service)) {
			answer_invalid(exchange->sim, "a service must be an object", ret);
			return false;
		}
		if (!json_object_get(service, "ingress"))
			(void)json_object_set_new(service, "ingress", json_pack("{s:b}", "public", 0));
	}
	if (json_array_size(claim->services) > 0)
		claim->services_text = json_text(claim->services);
	return true;
}

static bool read_claim(struct exchange *exchange, uint32_t team, json_t *json, struct claim *claim,
                       struct answer *ret)
{
	struct err err = {0};
	if (json_decode(json, claim_fields, N_OF(claim_fields), claim, &err) < 0 ||
	    (claim->config &&
	     json_decode(claim->config, config_fields, N_OF(config_fields), claim, &err) < 0)) {
		answer_invalid(exchange->sim, err.text, ret);
		return false;
	}
	return read_mounts(exchange, team, claim, ret) && read_services(exchange, claim, ret);
}

static void write_claimed(struct sim *sim, uint32_t slot, struct answer *ret)
{
	const struct world *world = &sim->world;
	const struct sandbox *sandbox = world_sandbox(world, slot);
	const char *id = ids_text(&world->sandbox_ids, slot);
	struct buf *body = answer_begin(sim, 201, ret);
	(void)buf_printf(body,
	                 "{\"sandbox_id\":\"%s\",\"status\":\"%s\",\"pod_name\":\"pod-%s\","
	                 "\"template\":\"%s\"",
	                 id, world_status(world, sandbox), id,
	                 ids_text(&world->templates, sandbox->template));
	if (sandbox->cluster != IDS_NONE)
		(void)buf_printf(body, ",\"cluster_id\":\"%s\"",
		                 ids_text(&world->clusters, sandbox->cluster));
	if (sandbox->detail && sandbox->detail->mount_count > 0) {
		(void)buf_str(body, ",\"bootstrap_mounts\":");
		render_mounts(world, sandbox, "mounted", body);
	}
	(void)buf_char(body, '}');
	answer_end(sim);
}

/* "sb-" and a UUID: an id that is text, as the contract says, and no UUID. */
static void make_id(char id[UUID_TEXT_SIZE + 3])
{
	struct uuid uuid = uuid_random();
	memcpy(id, "sb-", 3);
	uuid_format(&uuid, id + 3);
}

static void create(struct exchange *exchange, const struct claim *claim, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	struct world *world = &sim->world;
	const char *cluster = sim->settings.claim_cluster;
	char id[UUID_TEXT_SIZE + 3];
	uint32_t slot;
	make_id(id);
	struct sandbox_spec spec = {
	    .id = id,
	    .team = world_add_team(world, exchange->team),
	    .template = ids_add(&world->templates, claim->template, strlen(claim->template)),
	    .cluster = cluster[0] ? ids_add(&world->clusters, cluster, strlen(cluster)) : IDS_NONE,
	    .created_us = world->wall_us,
	    .lagging = true,
	    .services = claim->services_text,
	    .mounts = claim->mount_list,
	    .mount_count = claim->mount_count};
	if (spec.team == IDS_NONE || spec.template == IDS_NONE) {
		answer_error(sim, 400, "bad_request", "invalid request: team or template", ret);
	} else if (world_add_sandbox(world, &spec, &slot) != WORLD_OK) {
		answer_refusal(sim, WORLD_FULL, "", ret);
	} else {
		journal_made(&sim->journal, exchange->seq, id);
		write_claimed(sim, slot, ret);
	}
}

void public_sandbox_claim(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct claim claim = {0};
	json_t *json AUTO(json_drop) = public_body(exchange, false, ret);
	if (json && read_claim(exchange, team, json, &claim, ret))
		create(exchange, &claim, ret);
	free(claim.services_text);
}
