/* The volumes and snapshots of the platform's public API. */
#include <string.h>

#include "base/uuid.h"
#include "listing.h"
#include "public_api.h"
#include "render.h"

static const char *const not_found = "volume not found";

static void made_id(char id[UUID_TEXT_SIZE])
{
	struct uuid uuid = uuid_random();
	uuid_format(&uuid, id);
}

/* ---- list and get ---- */

static void write_row(void *arg, uint32_t slot)
{
	struct sim *sim = arg;
	char last = sim->body.data[sim->body.len - 1];
	(void)buf_str(&sim->body, last == '[' ? "" : ",");
	render_volume(&sim->world, slot, &sim->body);
}

/* A bare array without pages; null, not [], when there is nothing. */
void public_volume_list(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	(void)buf_char(answer_begin(sim, 200, ret), '[');
	if (listing_volumes(&sim->world, team, write_row, sim) == 0) {
		answer_data(sim, 200, "null", ret);
		return;
	}
	(void)buf_char(&sim->body, ']');
	answer_end(sim);
}

static void show(struct sim *sim, int status, uint32_t slot, struct answer *ret)
{
	render_volume(&sim->world, slot, answer_begin(sim, status, ret));
	answer_end(sim);
}

void public_volume_get(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	uint32_t slot;
	enum world_answer answer = volume_lookup(&sim->world, exchange->target.id, team, &slot);
	if (answer != WORLD_OK)
		answer_refusal(sim, answer, not_found, ret);
	else
		show(sim, 200, slot, ret);
}

/* ---- create and fork ---- */

struct volume_json {
	const char *snapshot_id, *access_mode;
	int64_t uid, gid;
	bool has_uid, has_gid, has;
};
static const struct json_field volume_fields[] = {
    {"snapshot_id", JSON_KIND_STR, offsetof(struct volume_json, snapshot_id),
     offsetof(struct volume_json, has), 0, ID_MAX_BYTES},
    {"access_mode", JSON_KIND_STR, offsetof(struct volume_json, access_mode),
     offsetof(struct volume_json, has), 0, 3},
    {"default_posix_uid", JSON_KIND_I64, offsetof(struct volume_json, uid),
     offsetof(struct volume_json, has_uid), 0, UINT32_MAX},
    {"default_posix_gid", JSON_KIND_I64, offsetof(struct volume_json, gid),
     offsetof(struct volume_json, has_gid), 0, UINT32_MAX},
};

/* Reads the body over what `spec` has. False after answering 400. */
static bool read_volume(struct exchange *exchange, json_t *json, struct volume_spec *spec,
                        struct volume_json *in, struct answer *ret)
{
	struct err err = {0};
	if (json_decode(json, volume_fields, N_OF(volume_fields), in, &err) < 0) {
		answer_invalid(exchange->sim, err.text, ret);
		return false;
	}
	if (in->access_mode && in->access_mode[0])
		spec->access = access_parse(in->access_mode);
	if (spec->access == ACCESS_COUNT) {
		answer_error(exchange->sim, 400, "bad_request", "invalid access_mode", ret);
		return false;
	}
	spec->posix_uid = in->has_uid ? in->uid : spec->posix_uid;
	spec->posix_gid = in->has_gid ? in->gid : spec->posix_gid;
	return true;
}

static void create(struct exchange *exchange, struct volume_spec *spec, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	char id[UUID_TEXT_SIZE];
	uint32_t slot;
	made_id(id);
	spec->id = id;
	spec->team = world_add_team(&sim->world, exchange->team);
	spec->user = ids_add(&sim->world.users, WORLD_USER, strlen(WORLD_USER));
	spec->created_us = sim->world.wall_us;
	if (spec->team == IDS_NONE) {
		answer_error(sim, 400, "bad_request", "invalid request: team", ret);
	} else if (volume_add(&sim->world, spec, &slot) != WORLD_OK) {
		answer_refusal(sim, WORLD_FULL, "", ret);
	} else {
		journal_made(&sim->journal, exchange->seq, id);
		show(sim, 201, slot, ret);
	}
}

void public_volume_create(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	json_t *json AUTO(json_drop) = public_body(exchange, true, ret);
	struct volume_spec spec = {.source = IDS_NONE, .access = ACCESS_RWO};
	struct volume_json in = {0};
	uint32_t snapshot;
	if (!json || !read_volume(exchange, json, &spec, &in, ret))
		return;
	if (in.snapshot_id && in.snapshot_id[0] &&
	    snapshot_lookup(&sim->world, in.snapshot_id, team, &snapshot) != WORLD_OK)
		answer_refusal(sim, WORLD_NOT_FOUND, "snapshot not found", ret);
	else
		create(exchange, &spec, ret);
}

void public_volume_fork(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	json_t *json AUTO(json_drop) = public_body(exchange, true, ret);
	struct volume_json in = {0};
	uint32_t source;
	if (!json)
		return;
	enum world_answer answer = volume_lookup(&sim->world, exchange->target.id, team, &source);
	if (answer == WORLD_OK && volume_active_mounts(&sim->world, source) > 0)
		answer = WORLD_CONFLICT;
	if (answer != WORLD_OK) {
		answer_refusal(sim, answer,
		               answer == WORLD_CONFLICT ? "volume has active ctld mounts" : not_found, ret);
		return;
	}
	const struct volume *from = volume_at(&sim->world, source);
	struct volume_spec spec = {.source = source,
	                           .access = from->access,
	                           .posix_uid = from->posix_uid,
	                           .posix_gid = from->posix_gid};
	if (read_volume(exchange, json, &spec, &in, ret))
		create(exchange, &spec, ret);
}

/* ---- delete ---- */

static void refuse_mounted(struct sim *sim, const char *id, struct answer *ret)
{
	uint32_t slot = volume_find(&sim->world, id);
	answer_refusal(sim, WORLD_CONFLICT, "volume has active mounts", ret);
	sim->body.len -= 2; /* into the error object again */
	(void)buf_printf(&sim->body, ",\"details\":{\"active_mounts\":%u,",
	                 volume_active_mounts(&sim->world, slot));
	render_active_mounts(&sim->world, slot, &sim->body);
	(void)buf_str(&sim->body, ",\"hint\":\"unmount the volume first, or use force=true\"}}}");
}

void public_volume_delete(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	const char *force = http_req_query(exchange->req, "force");
	enum world_answer answer =
	    volume_delete(&sim->world, exchange->target.id, team, force && strcmp(force, "true") == 0);
	if (answer == WORLD_OK)
		answer_data(sim, 200, "{\"deleted\":true}", ret);
	else if (answer == WORLD_CONFLICT)
		refuse_mounted(sim, exchange->target.id, ret);
	else
		answer_refusal(sim, answer, not_found, ret);
}

/* ---- snapshots ---- */

struct snapshot_json {
	const char *name, *description;
	bool has;
};
static const struct json_field snapshot_fields[] = {
    {"name", JSON_KIND_STR, offsetof(struct snapshot_json, name), JSON_REQUIRED, 1, 1024},
    {"description", JSON_KIND_STR, offsetof(struct snapshot_json, description),
     offsetof(struct snapshot_json, has), 0, 4096},
};

void public_snapshot_create(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	json_t *json AUTO(json_drop) = public_body(exchange, false, ret);
	struct snapshot_json in = {.description = ""};
	struct err err = {0};
	char id[UUID_TEXT_SIZE];
	uint32_t volume, slot;
	if (!json)
		return;
	if (json_decode(json, snapshot_fields, N_OF(snapshot_fields), &in, &err) < 0) {
		answer_invalid(sim, err.text, ret);
		return;
	}
	if (volume_lookup(&sim->world, exchange->target.id, team, &volume) != WORLD_OK) {
		answer_refusal(sim, WORLD_NOT_FOUND, not_found, ret);
		return;
	}
	made_id(id);
	const struct snapshot_spec spec = {
	    .id = id, .name = in.name, .description = in.description, .team = team, .volume = volume};
	if (snapshot_add(&sim->world, &spec, &slot) != WORLD_OK) {
		answer_refusal(sim, WORLD_FULL, "", ret);
		return;
	}
	journal_made(&sim->journal, exchange->seq, id);
	render_snapshot(&sim->world, slot, answer_begin(sim, 201, ret));
	answer_end(sim);
}

void public_snapshot_delete(struct exchange *exchange, uint32_t team, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	enum world_answer answer =
	    snapshot_delete(&sim->world, exchange->target.parent, exchange->target.id, team);
	if (answer == WORLD_OK)
		answer_data(sim, 200, "{\"deleted\":true}", ret);
	else
		answer_refusal(sim, answer, "snapshot not found", ret);
}
