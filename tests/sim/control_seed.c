/* POST /seed, /seed-range and /remove: things come and go without the public API. */
#include <stdlib.h>
#include <string.h>

#include "control_state.h"
#include "volumes.h"

enum { AGE_MAX_S = 10 * 365 * 24 * 3600, RANGE_MAX = 10000000, SUFFIX_BYTES = 8 };

/* How a table's row says where a field goes; every target has a bool `has` that nobody reads. */
#define TEXT(target, field)                                                                     \
	{                                                                                           \
#field, JSON_KIND_STR, offsetof(struct target, field), offsetof(struct target, has), 1, \
		    ID_MAX_BYTES                                                                        \
	}
#define REQUIRED_TEXT(target, field)                                                          \
	{                                                                                         \
#field, JSON_KIND_STR, offsetof(struct target, field), JSON_REQUIRED, 1, ID_MAX_BYTES \
	}
#define NUMBER(target, field, max)                                                              \
	{                                                                                           \
#field, JSON_KIND_I64, offsetof(struct target, field), offsetof(struct target, has), 0, \
		    max                                                                                 \
	}
#define PART(target, field, kind)                                                        \
	{                                                                                    \
#field, kind, offsetof(struct target, field), offsetof(struct target, has), 0, 0 \
	}

static int refuse(enum world_answer answer, const char *id, struct err *err)
{
	if (answer == WORLD_CONFLICT)
		return err_set(err, ERR_REJECT, "conflict", "%s is there already", id);
	return err_set(err, ERR_REJECT, "full", "%s is no id, or the world is full", id);
}

static int add_team(struct world *world, const char *name, uint32_t *ret, struct err *err)
{
	*ret = world_add_team(world, name);
	return *ret == IDS_NONE ? err_set(err, ERR_REJECT, "bad_json", "%s is no team id", name) : 0;
}

/* ---- volumes ---- */

struct seed_volume {
	const char *id, *team_id, *user_id, *access_mode, *source_volume_id;
	int64_t age_s;
	bool owned, has;
};
static const struct json_field volume_fields[] = {
    REQUIRED_TEXT(seed_volume, id),
    REQUIRED_TEXT(seed_volume, team_id),
    TEXT(seed_volume, user_id),
    TEXT(seed_volume, access_mode),
    TEXT(seed_volume, source_volume_id),
    NUMBER(seed_volume, age_s, AGE_MAX_S),
    PART(seed_volume, owned, JSON_KIND_BOOL),
};

static int seed_volume(struct sim *sim, json_t *json, struct err *err)
{
	struct world *world = &sim->world;
	struct seed_volume in = {.user_id = WORLD_OTHER_USER, .access_mode = "RWO"};
	if (json_decode(json, volume_fields, N_OF(volume_fields), &in, err) < 0)
		return -1;
	struct volume_spec spec = {.id = in.id,
	                           .user = ids_add(&world->users, in.user_id, strlen(in.user_id)),
	                           .source = IDS_NONE,
	                           .access = access_parse(in.access_mode),
	                           .created_us = world->wall_us - in.age_s * 1000000,
	                           .owned = in.owned};
	if (spec.user == IDS_NONE)
		return err_set(err, ERR_REJECT, "bad_json", "%s is no user id", in.user_id);
	if (spec.access == ACCESS_COUNT)
		return err_set(err, ERR_REJECT, "bad_json", "access_mode must be RWO, ROX or RWX");
	if (in.source_volume_id && (spec.source = volume_find(world, in.source_volume_id)) == IDS_NONE)
		return err_set(err, ERR_REJECT, "bad_json", "there is no volume %s", in.source_volume_id);
	if (add_team(world, in.team_id, &spec.team, err) < 0)
		return -1;
	uint32_t slot;
	enum world_answer answer = volume_add(world, &spec, &slot);
	return answer == WORLD_OK ? 0 : refuse(answer, in.id, err);
}

/* ---- sandboxes ---- */

struct seed_sandbox {
	const char *id, *team_id, *template_id, *cluster_id, *status;
	int64_t age_s;
	json_t *mounts, *env, *services;
	bool has;
};
static const struct json_field sandbox_fields[] = {
    REQUIRED_TEXT(seed_sandbox, id),
    REQUIRED_TEXT(seed_sandbox, team_id),
    TEXT(seed_sandbox, template_id),
    TEXT(seed_sandbox, cluster_id),
    TEXT(seed_sandbox, status),
    NUMBER(seed_sandbox, age_s, AGE_MAX_S),
    PART(seed_sandbox, mounts, JSON_KIND_ARR),
    PART(seed_sandbox, env, JSON_KIND_OBJ),
    PART(seed_sandbox, services, JSON_KIND_ARR),
};

struct seed_mount {
	const char *sandboxvolume_id, *mount_point;
	bool has;
};
static const struct json_field mount_fields[] = {
    REQUIRED_TEXT(seed_mount, sandboxvolume_id),
    {"mount_point", JSON_KIND_STR, offsetof(struct seed_mount, mount_point), JSON_REQUIRED, 1,
     1024},
};

static int read_mounts(struct world *world, json_t *array, struct sandbox_mount *mounts,
                       struct sandbox_spec *spec, struct err *err)
{
	size_t at;
	json_t *item;
	json_array_foreach (array, at, item) {
		struct seed_mount in = {0};
		if (json_decode(item, mount_fields, N_OF(mount_fields), &in, err) < 0)
			return -1;
		uint32_t volume = volume_find(world, in.sandboxvolume_id);
		if (!volume_is_there(world, volume))
			return err_set(err, ERR_REJECT, "bad_json", "there is no volume %s",
			               in.sandboxvolume_id);
		if (spec->mount_count == WORLD_MOUNTS_MAX)
			return err_set(err, ERR_REJECT, "bad_json", "too many mounts");
		/* The point is only read until the world has its copy. */
		mounts[spec->mount_count++] =
		    (struct sandbox_mount){.volume = volume, .point = (char *)(uintptr_t)in.mount_point};
	}
	return 0;
}

/* The JSON text of the services: as given, or one service that has the environment. */
static char *services_text(const struct seed_sandbox *in)
{
	if (in->services)
		return json_text(in->services);
	if (!in->env)
		return NULL;
	json_t *services AUTO(json_drop) = json_pack(
	    "[{s:s, s:i, s:{s:b}, s:{s:s, s:[s], s:O}}]", "id", "main", "port", 8080, "ingress",
	    "public", 0, "runtime", "type", "cmd", "command", "serve", "env_vars", in->env);
	return services ? json_text(services) : NULL;
}

static int add_sandbox(struct world *world, const struct seed_sandbox *in,
                       struct sandbox_spec *spec, struct err *err)
{
	struct sandbox_mount mounts[WORLD_MOUNTS_MAX];
	if (read_mounts(world, in->mounts, mounts, spec, err) < 0)
		return -1;
	char *services = services_text(in);
	spec->services = services;
	spec->mounts = mounts;
	uint32_t slot;
	enum world_answer answer = world_add_sandbox(world, spec, &slot);
	free(services);
	return answer == WORLD_OK ? 0 : refuse(answer, in->id, err);
}

static int seed_sandbox(struct sim *sim, json_t *json, struct err *err)
{
	struct world *world = &sim->world;
	struct seed_sandbox in = {.template_id = "default", .status = "running"};
	if (json_decode(json, sandbox_fields, N_OF(sandbox_fields), &in, err) < 0)
		return -1;
	struct sandbox_spec spec = {.id = in.id,
	                            .cluster = IDS_NONE,
	                            .phase = world_phase(in.status),
	                            .created_us = world->wall_us - in.age_s * 1000000};
	if (spec.phase == PHASE_COUNT)
		return err_set(err, ERR_REJECT, "bad_json", "there is no status %s", in.status);
	if (add_team(world, in.team_id, &spec.team, err) < 0)
		return -1;
	spec.template = ids_add(&world->templates, in.template_id, strlen(in.template_id));
	if (in.cluster_id)
		spec.cluster = ids_add(&world->clusters, in.cluster_id, strlen(in.cluster_id));
	if (spec.template == IDS_NONE || (in.cluster_id && spec.cluster == IDS_NONE))
		return err_set(err, ERR_REJECT, "bad_json", "template_id or cluster_id of %s", in.id);
	return add_sandbox(world, &in, &spec, err);
}

/* ---- snapshots ---- */

struct seed_snapshot {
	const char *id, *volume_id, *team_id, *name;
	bool has;
};
static const struct json_field snapshot_fields[] = {
    REQUIRED_TEXT(seed_snapshot, id),
    REQUIRED_TEXT(seed_snapshot, volume_id),
    TEXT(seed_snapshot, team_id),
    TEXT(seed_snapshot, name),
};

static int seed_snapshot(struct sim *sim, json_t *json, struct err *err)
{
	struct world *world = &sim->world;
	struct seed_snapshot in = {.name = "snapshot"};
	if (json_decode(json, snapshot_fields, N_OF(snapshot_fields), &in, err) < 0)
		return -1;
	uint32_t volume = volume_find(world, in.volume_id);
	if (!volume_is_there(world, volume))
		return err_set(err, ERR_REJECT, "bad_json", "there is no volume %s", in.volume_id);
	struct snapshot_spec spec = {.id = in.id,
	                             .name = in.name,
	                             .description = "",
	                             .team = volume_at(world, volume)->team,
	                             .volume = volume};
	if (in.team_id && add_team(world, in.team_id, &spec.team, err) < 0)
		return -1;
	uint32_t slot;
	enum world_answer answer = snapshot_add(world, &spec, &slot);
	return answer == WORLD_OK ? 0 : refuse(answer, in.id, err);
}

/* ---- the routes ---- */

struct seed_json {
	json_t *volumes, *sandboxes, *snapshots;
	bool has;
};
static const struct json_field seed_fields[] = {
    PART(seed_json, volumes, JSON_KIND_ARR),
    PART(seed_json, sandboxes, JSON_KIND_ARR),
    PART(seed_json, snapshots, JSON_KIND_ARR),
};

static int seed_all(struct sim *sim, json_t *array,
                    int (*seed)(struct sim *sim, json_t *json, struct err *err), struct err *err)
{
	size_t at;
	json_t *item;
	json_array_foreach (array, at, item)
		if (seed(sim, item, err) < 0)
			return -1;
	return 0;
}

/* In this order, because mounts and snapshots name volumes. It stops at the first that is wrong;
 * what came before it stays. */
int control_seed(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req;
	struct seed_json in = {0};
	if (json_decode(json, seed_fields, N_OF(seed_fields), &in, err) < 0 ||
	    seed_all(sim, in.volumes, seed_volume, err) < 0 ||
	    seed_all(sim, in.sandboxes, seed_sandbox, err) < 0 ||
	    seed_all(sim, in.snapshots, seed_snapshot, err) < 0)
		return -1;
	(void)buf_printf(&sim->body, "{\"volumes\":%zu,\"sandboxes\":%zu,\"snapshots\":%zu}",
	                 json_array_size(in.volumes), json_array_size(in.sandboxes),
	                 json_array_size(in.snapshots));
	return 0;
}

struct range_json {
	const char *team_id, *prefix, *template_id;
	int64_t from, count, age_s;
	bool has;
};
static const struct json_field range_fields[] = {
    REQUIRED_TEXT(range_json, team_id),
    REQUIRED_TEXT(range_json, prefix),
    TEXT(range_json, template_id),
    NUMBER(range_json, from, 99999999),
    {"count", JSON_KIND_I64, offsetof(struct range_json, count), JSON_REQUIRED, 0, RANGE_MAX},
    NUMBER(range_json, age_s, AGE_MAX_S),
};

/* prefix%08d */
static void make_id(char *id, size_t prefix_len, int64_t number)
{
	for (int i = SUFFIX_BYTES - 1; i >= 0; i--, number /= 10)
		id[prefix_len + (size_t)i] = (char)('0' + number % 10);
	id[prefix_len + SUFFIX_BYTES] = '\0';
}

int control_seed_range(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req;
	struct world *world = &sim->world;
	struct range_json in = {.template_id = "default"};
	char id[ID_MAX_BYTES + SUFFIX_BYTES + 1];
	uint32_t slot;
	if (json_decode(json, range_fields, N_OF(range_fields), &in, err) < 0)
		return -1;
	struct sandbox_spec spec = {
	    .id = id, .cluster = IDS_NONE, .created_us = world->wall_us - in.age_s * 1000000};
	spec.template = ids_add(&world->templates, in.template_id, strlen(in.template_id));
	if (add_team(world, in.team_id, &spec.team, err) < 0)
		return -1;
	size_t len = strlen(in.prefix);
	memcpy(id, in.prefix, len);
	for (int64_t i = 0; i < in.count; i++) {
		make_id(id, len, in.from + i);
		enum world_answer answer = world_add_sandbox(world, &spec, &slot);
		if (answer != WORLD_OK)
			return refuse(answer, id, err);
	}
	(void)buf_printf(&sim->body, "{\"sandboxes\":%lld}", (long long)in.count);
	return 0;
}

struct remove_json {
	const char *kind, *id;
};
static const struct json_field remove_fields[] = {
    REQUIRED_TEXT(remove_json, kind),
    REQUIRED_TEXT(remove_json, id),
};

int control_remove(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)req;
	struct world *world = &sim->world;
	struct remove_json in = {0};
	if (json_decode(json, remove_fields, N_OF(remove_fields), &in, err) < 0)
		return -1;
	enum kind kind = control_kind(in.kind);
	if (kind == KIND_COUNT)
		return err_set(err, ERR_REJECT, "bad_json", "kind must be sandbox, volume or snapshot");
	uint32_t slot = control_find(world, kind, in.id);
	if (slot == IDS_NONE)
		return err_set(err, ERR_REJECT, "not_found", "there never was a %s %s", in.kind, in.id);
	if (kind == KIND_SANDBOX)
		world_remove_sandbox(world, slot);
	else if (kind == KIND_VOLUME)
		volume_remove(world, slot);
	else
		snapshot_remove(world, slot);
	(void)buf_str(&sim->body, "{}");
	return 0;
}
