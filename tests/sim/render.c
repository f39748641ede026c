#include "render.h"

#include "base/clock.h"

#define NEVER "\"0001-01-01T00:00:00Z\"" /* Go's zero time: not set */

void render_text(const char *text, struct buf *out)
{
	(void)buf_char(out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < ' ')
			(void)buf_printf(out, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			(void)buf_add(out, (char[]){'\\', (char)c}, 2);
		else
			(void)buf_char(out, (char)c);
	}
	(void)buf_char(out, '"');
}

/* `key` comes with everything up to its value: ,"id":" */
static void field(struct buf *out, const char *key, const char *value)
{
	(void)buf_str(out, key);
	(void)buf_str(out, value);
	(void)buf_char(out, '"');
}

static void date_fields(struct buf *out, int64_t wall_us, const char *first, const char *second)
{
	char date[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, date);
	field(out, first, date);
	if (second)
		field(out, second, date);
}

void render_power_state(const struct sandbox *sandbox, struct buf *out)
{
	static const char *const states[] = {
	    "{\"desired\":\"active\",\"desired_generation\":1,\"observed\":\"active\","
	    "\"observed_generation\":1,\"phase\":\"stable\"}",
	    "{\"desired\":\"paused\",\"desired_generation\":2,\"observed\":\"paused\","
	    "\"observed_generation\":2,\"phase\":\"stable\"}"};
	(void)buf_str(out, states[sandbox->paused]);
}

/* From "status" on, what a summary and a whole sandbox share. */
static void status_fields(const struct world *world, const struct sandbox *sandbox, struct buf *out)
{
	field(out, ",\"status\":\"", world_status(world, sandbox));
	(void)buf_str(out, sandbox->paused ? ",\"paused\":true" : ",\"paused\":false");
	(void)buf_str(out, ",\"power_state\":");
	render_power_state(sandbox, out);
	(void)buf_str(out, ",\"expires_at\":" NEVER ",\"hard_expires_at\":" NEVER);
}

void render_summary(const struct world *world, uint32_t slot, struct buf *out)
{
	const struct sandbox *sandbox = world_sandbox(world, slot);
	field(out, "{\"id\":\"", ids_text(&world->sandbox_ids, slot));
	field(out, ",\"template_id\":\"", ids_text(&world->templates, sandbox->template));
	status_fields(world, sandbox, out);
	date_fields(out, sandbox->created_us, ",\"created_at\":\"", NULL);
	if (sandbox->cluster != IDS_NONE)
		field(out, ",\"cluster_id\":\"", ids_text(&world->clusters, sandbox->cluster));
	(void)buf_char(out, '}');
}

void render_mounts(const struct world *world, const struct sandbox *sandbox, const char *state,
                   struct buf *out)
{
	const struct sandbox_detail *detail = sandbox->detail;
	(void)buf_char(out, '[');
	for (uint32_t i = 0; detail && i < detail->mount_count; i++) {
		(void)buf_str(out, i ? "," : "");
		field(out, "{\"sandboxvolume_id\":\"",
		      ids_text(&world->volume_ids, detail->mounts[i].volume));
		(void)buf_str(out, ",\"mount_point\":");
		render_text(detail->mounts[i].point, out);
		if (state)
			field(out, ",\"state\":\"", state);
		(void)buf_char(out, '}');
	}
	(void)buf_char(out, ']');
}

void render_sandbox(const struct world *world, uint32_t slot, struct buf *out)
{
	const struct sandbox *sandbox = world_sandbox(world, slot);
	const struct sandbox_detail *detail = sandbox->detail;
	const char *id = ids_text(&world->sandbox_ids, slot);
	field(out, "{\"id\":\"", id);
	field(out, ",\"template_id\":\"", ids_text(&world->templates, sandbox->template));
	field(out, ",\"team_id\":\"", ids_text(&world->teams, sandbox->team));
	(void)buf_str(out, ",\"user_id\":\"" WORLD_USER "\",\"auto_resume\":true");
	status_fields(world, sandbox, out);
	date_fields(out, sandbox->created_us, ",\"created_at\":\"", ",\"claimed_at\":\"");
	field(out, ",\"pod_name\":\"pod-", id);
	if (detail && detail->services) {
		(void)buf_str(out, ",\"services\":");
		(void)buf_str(out, detail->services);
	}
	if (detail && detail->mount_count > 0) {
		(void)buf_str(out, ",\"mounts\":");
		render_mounts(world, sandbox, NULL, out);
	}
	(void)buf_char(out, '}');
}

void render_volume(const struct world *world, uint32_t slot, struct buf *out)
{
	const struct volume *volume = volume_at(world, slot);
	field(out, "{\"id\":\"", ids_text(&world->volume_ids, slot));
	field(out, ",\"team_id\":\"", ids_text(&world->teams, volume->team));
	field(out, ",\"user_id\":\"", ids_text(&world->users, volume->user));
	field(out, ",\"access_mode\":\"", access_name(volume->access));
	date_fields(out, volume->created_us, ",\"created_at\":\"", ",\"updated_at\":\"");
	if (volume->source != IDS_NONE)
		field(out, ",\"source_volume_id\":\"", ids_text(&world->volume_ids, volume->source));
	(void)buf_printf(out, ",\"default_posix_uid\":%lld,\"default_posix_gid\":%lld}",
	                 (long long)volume->posix_uid, (long long)volume->posix_gid);
}

void render_snapshot(const struct world *world, uint32_t slot, struct buf *out)
{
	const struct snapshot *snapshot = snapshot_at(world, slot);
	field(out, "{\"id\":\"", ids_text(&world->snapshot_ids, slot));
	field(out, ",\"volume_id\":\"", ids_text(&world->volume_ids, snapshot->volume));
	(void)buf_str(out, ",\"name\":");
	render_text(snapshot->name, out);
	(void)buf_str(out, ",\"description\":");
	render_text(snapshot->description, out);
	(void)buf_str(out, ",\"size_bytes\":0");
	date_fields(out, snapshot->created_us, ",\"created_at\":\"", NULL);
	(void)buf_char(out, '}');
}

void render_active_mounts(const struct world *world, uint32_t slot, struct buf *out)
{
	const struct volume *volume = volume_at(world, slot);
	(void)buf_str(out, "\"mounts\":[");
	for (uint32_t i = 0; i < volume->mount_count; i++) {
		(void)buf_str(out, i ? "," : "");
		field(out, "{\"sandbox_id\":\"", ids_text(&world->sandbox_ids, volume->mounts[i].sandbox));
		(void)buf_str(out, ",\"mount_point\":");
		render_text(volume->mounts[i].point, out);
		(void)buf_char(out, '}');
	}
	(void)buf_char(out, ']');
}
