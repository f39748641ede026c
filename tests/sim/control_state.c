#include "control_state.h"

#include <string.h>

#include "base/clock.h"
#include "render.h"

enum { LIMIT_DEFAULT = 10000 };
static const char *const kind_names[KIND_COUNT] = {"sandbox", "volume", "snapshot"};

enum kind control_kind(const char *word)
{
	enum kind kind = 0;
	while (kind < KIND_COUNT && (!word || strcmp(kind_names[kind], word) != 0))
		kind++;
	return kind;
}

static const struct ids *ids_of(const struct world *world, enum kind kind)
{
	const struct ids *all[] = {&world->sandbox_ids, &world->volume_ids, &world->snapshot_ids};
	return all[kind];
}

uint32_t control_find(const struct world *world, enum kind kind, const char *id)
{
	return ids_find(ids_of(world, kind), id, strlen(id));
}

/* What all kinds have in common. */
struct common {
	uint8_t presence;
	uint32_t team;
	int64_t created_us;
};

static struct common common_of(const struct world *world, enum kind kind, uint32_t slot)
{
	const struct sandbox *sandbox;
	const struct volume *volume;
	const struct snapshot *snapshot;
	switch (kind) {
	case KIND_SANDBOX:
		sandbox = world_sandbox(world, slot);
		return (struct common){sandbox->presence, sandbox->team, sandbox->created_us};
	case KIND_VOLUME:
		volume = volume_at(world, slot);
		return (struct common){volume->presence, volume->team, volume->created_us};
	default:
		snapshot = snapshot_at(world, slot);
		return (struct common){snapshot->presence, snapshot->team, snapshot->created_us};
	}
}

static void write_sandbox(const struct world *world, uint32_t slot, struct buf *out)
{
	const struct sandbox *sandbox = world_sandbox(world, slot);
	(void)buf_printf(out, ",\"template_id\":\"%s\",\"paused\":%s,\"mounts\":",
	                 ids_text(&world->templates, sandbox->template),
	                 sandbox->paused ? "true" : "false");
	render_mounts(world, sandbox, NULL, out);
	if (sandbox->detail && sandbox->detail->services)
		(void)buf_printf(out, ",\"services\":%s", sandbox->detail->services);
}

static void write_volume(struct world *world, uint32_t slot, struct buf *out)
{
	const struct volume *volume = volume_at(world, slot);
	(void)buf_printf(out,
	                 ",\"user_id\":\"%s\",\"access_mode\":\"%s\",\"owned\":%s,"
	                 "\"active_mounts\":%u,",
	                 ids_text(&world->users, volume->user), access_name(volume->access),
	                 volume->owned ? "true" : "false", volume_active_mounts(world, slot));
	render_active_mounts(world, slot, out);
}

/* One that is gone has no texts any more. */
static void write_snapshot(const struct world *world, uint32_t slot, struct buf *out)
{
	const struct snapshot *snapshot = snapshot_at(world, slot);
	(void)buf_printf(out, ",\"volume_id\":\"%s\"", ids_text(&world->volume_ids, snapshot->volume));
	if (!snapshot_is_there(world, slot))
		return;
	(void)buf_str(out, ",\"name\":");
	render_text(snapshot->name, out);
	(void)buf_str(out, ",\"description\":");
	render_text(snapshot->description, out);
}

static void write_one(struct world *world, enum kind kind, uint32_t slot, struct buf *out)
{
	static const char *const states[] = {"unknown", "live", "terminating", "gone"};
	struct common common = common_of(world, kind, slot);
	char date[CLOCK_RFC3339_SIZE];
	clock_rfc3339(common.created_us, date);
	(void)buf_printf(out,
	                 "{\"id\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\",\"team_id\":\"%s\","
	                 "\"created_at\":\"%s\"",
	                 ids_text(ids_of(world, kind), slot), kind_names[kind], states[common.presence],
	                 ids_text(&world->teams, common.team), date);
	if (kind == KIND_SANDBOX)
		write_sandbox(world, slot, out);
	else if (kind == KIND_VOLUME)
		write_volume(world, slot, out);
	else
		write_snapshot(world, slot, out);
	(void)buf_char(out, '}');
}

static void write_by_id(struct world *world, enum kind kind, const char *id, struct buf *out)
{
	uint32_t slot = control_find(world, kind, id);
	if (slot != IDS_NONE && common_of(world, kind, slot).presence != PRESENCE_NEVER) {
		write_one(world, kind, slot, out);
		return;
	}
	(void)buf_str(out, "{\"id\":");
	render_text(id, out);
	(void)buf_printf(out, ",\"kind\":\"%s\",\"state\":\"unknown\"}", kind_names[kind]);
}

struct state_query {
	uint32_t team; /* IDS_NONE: any */
	bool all;
	int64_t after, limit;
};

static bool wanted(const struct world *world, enum kind kind, uint32_t slot,
                   const struct state_query *query)
{
	struct common common = common_of(world, kind, slot);
	if (common.presence == PRESENCE_NEVER ||
	    (query->team != IDS_NONE && query->team != common.team))
		return false;
	return query->all || common.presence != PRESENCE_GONE;
}

static void write_items(struct world *world, enum kind kind, const struct state_query *query,
                        struct buf *out)
{
	int64_t slot = query->after, end = ids_of(world, kind)->count, written = 0;
	(void)buf_str(out, "{\"items\":[");
	for (; slot < end && written < query->limit; slot++) {
		if (!wanted(world, kind, (uint32_t)slot, query))
			continue;
		(void)buf_str(out, written++ ? "," : "");
		write_one(world, kind, (uint32_t)slot, out);
	}
	(void)buf_str(out, "],\"next\":");
	if (slot < end)
		(void)buf_i64(out, slot);
	else
		(void)buf_str(out, "null");
	(void)buf_char(out, '}');
}

int control_state(struct sim *sim, const struct http_req *req, json_t *json, struct err *err)
{
	(void)json;
	struct world *world = &sim->world;
	const char *id = http_req_query(req, "id"), *team = http_req_query(req, "team");
	const char *all = http_req_query(req, "all");
	enum kind kind = control_kind(http_req_query(req, "kind"));
	struct state_query query = {.team = team ? world_team(world, team) : IDS_NONE,
	                            .all = all && strcmp(all, "1") == 0};
	if (kind == KIND_COUNT)
		return err_set(err, ERR_REJECT, "bad_query", "kind must be sandbox, volume or snapshot");
	if (control_number(req, "after", 0, &query.after, err) < 0 ||
	    control_number(req, "limit", LIMIT_DEFAULT, &query.limit, err) < 0)
		return -1;
	if (id)
		write_by_id(world, kind, id, &sim->body);
	else if (team && query.team == IDS_NONE)
		(void)buf_str(&sim->body, "{\"items\":[],\"next\":null}");
	else
		write_items(world, kind, &query, &sim->body);
	return 0;
}
