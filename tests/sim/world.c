#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "dice.h"
#include "volumes.h"

static const char *const phase_names[PHASE_COUNT] = {"running", "starting", "failed", "completed"};

void world_init(struct world *world, const struct settings *settings)
{
	*world = (struct world){.settings = settings};
	ids_init(&world->teams, WORLD_NAMES_MAX);
	ids_init(&world->templates, WORLD_NAMES_MAX);
	ids_init(&world->clusters, WORLD_NAMES_MAX);
	ids_init(&world->users, WORLD_NAMES_MAX);
	ids_init(&world->sandbox_ids, WORLD_THINGS_MAX);
	ids_init(&world->volume_ids, WORLD_THINGS_MAX);
	ids_init(&world->snapshot_ids, WORLD_THINGS_MAX);
	slab_init(&world->team_slab, sizeof(struct team));
	slab_init(&world->sandbox_slab, sizeof(struct sandbox));
	slab_init(&world->volume_slab, sizeof(struct volume));
	slab_init(&world->snapshot_slab, sizeof(struct snapshot));
}

static void free_detail(struct sandbox *sandbox)
{
	struct sandbox_detail *detail = TAKE(sandbox->detail);
	for (uint32_t i = 0; detail && i < detail->mount_count; i++)
		free(detail->mounts[i].point);
	if (detail)
		free(detail->services);
	free(detail);
}

void world_done(struct world *world)
{
	for (uint32_t i = 0; i < world->sandbox_ids.count; i++)
		free_detail(world_sandbox(world, i));
	volumes_done(world);
	world_forget_own_settings(world);
	for (uint32_t i = 0; i < world->teams.count; i++) {
		roster_done(&world_team_at(world, i)->sandboxes);
		roster_done(&world_team_at(world, i)->volumes);
	}
	expiry_done(&world->expiry);
	slab_done(&world->team_slab);
	slab_done(&world->sandbox_slab);
	slab_done(&world->volume_slab);
	slab_done(&world->snapshot_slab);
	struct ids *all[] = {&world->teams,       &world->templates,   &world->clusters,
	                     &world->users,       &world->sandbox_ids, &world->volume_ids,
	                     &world->snapshot_ids};
	for (size_t i = 0; i < N_OF(all); i++)
		ids_done(all[i]);
}

bool world_chance(struct world *world, double percent)
{
	return percent > 0 && dice(world->settings->seed, 1, world->throws++, percent);
}

/* ---- names ---- */

uint32_t world_team(const struct world *world, const char *name)
{
	return ids_find(&world->teams, name, strlen(name));
}

uint32_t world_add_team(struct world *world, const char *name)
{
	/* Room first: a name that has a number must have a team. */
	if (slab_reserve(&world->team_slab, world->teams.count + 1) < 0)
		return IDS_NONE;
	return ids_add(&world->teams, name, strlen(name));
}

struct team *world_team_at(const struct world *world, uint32_t team)
{
	return slab_at(&world->team_slab, team);
}

const struct settings *world_settings(const struct world *world, uint32_t team)
{
	const struct settings *own = team == IDS_NONE ? NULL : world_team_at(world, team)->own;
	return own ? own : world->settings;
}

struct settings *world_own_settings(struct world *world, uint32_t team)
{
	struct team *at = world_team_at(world, team);
	if (!at->own && (at->own = malloc(sizeof(*at->own))))
		*at->own = *world->settings;
	return at->own;
}

void world_forget_own_settings(struct world *world)
{
	for (uint32_t i = 0; i < world->teams.count; i++) {
		free(world_team_at(world, i)->own);
		world_team_at(world, i)->own = NULL;
	}
}

/* ---- going ---- */

static void leave(struct world *world, uint32_t slot, int64_t gone_us)
{
	struct sandbox *sandbox = world_sandbox(world, slot);
	if (sandbox->presence == PRESENCE_TERMINATING)
		world->terminating_count--;
	world->sandbox_count--;
	sandbox->presence = PRESENCE_GONE;
	sandbox->gone_us = gone_us;
	roster_remove(&world_team_at(world, sandbox->team)->sandboxes, slot, sandbox->created_us);
	for (uint32_t i = 0; sandbox->detail && i < sandbox->detail->mount_count; i++)
		volume_unmount(world, sandbox->detail->mounts[i].volume, slot, gone_us);
	free_detail(sandbox);
}

void world_tick(struct world *world, int64_t now_us, int64_t wall_us)
{
	world->now_us = now_us;
	world->wall_us = wall_us;
	struct expiry_entry entry;
	while (expiry_take(&world->expiry, now_us, &entry)) {
		const struct sandbox *sandbox = world_sandbox(world, entry.slot);
		/* An entry of an earlier life of the id does not match any more. */
		if (sandbox->presence == PRESENCE_TERMINATING && sandbox->gone_us == entry.at_us)
			leave(world, entry.slot, entry.at_us);
	}
}

enum world_answer world_terminate(struct world *world, uint32_t slot)
{
	struct sandbox *sandbox = world_sandbox(world, slot);
	int64_t finalizer_ms = world->settings->finalizer_ms;
	if (sandbox->presence != PRESENCE_LIVE)
		return WORLD_OK;
	int64_t gone_us = finalizer_ms < 0 ? INT64_MAX : world->now_us + finalizer_ms * 1000;
	if (finalizer_ms >= 0 && expiry_add(&world->expiry, gone_us, slot) < 0)
		return WORLD_FULL;
	sandbox->presence = PRESENCE_TERMINATING;
	sandbox->gone_us = gone_us;
	sandbox->paused = false; /* it is thawed first */
	world->terminating_count++;
	if (finalizer_ms == 0)
		world_tick(world, world->now_us, world->wall_us);
	return WORLD_OK;
}

void world_remove_sandbox(struct world *world, uint32_t slot)
{
	if (world_is_there(world_sandbox(world, slot)))
		leave(world, slot, world->now_us);
}

/* ---- coming ---- */

static struct sandbox_detail *copy_detail(const struct sandbox_spec *spec)
{
	struct sandbox_detail *detail =
	    calloc(1, sizeof(*detail) + spec->mount_count * sizeof(detail->mounts[0]));
	if (!detail)
		return NULL;
	detail->services = spec->services ? strdup(spec->services) : NULL;
	bool whole = detail->services || !spec->services;
	for (; whole && detail->mount_count < spec->mount_count; detail->mount_count++) {
		struct sandbox_mount *mount = &detail->mounts[detail->mount_count];
		*mount = spec->mounts[detail->mount_count];
		mount->point = strdup(mount->point);
		whole = mount->point != NULL;
	}
	if (whole)
		return detail;
	free_detail(&(struct sandbox){.detail = detail});
	return NULL;
}

/* Fills a slot that is free, and mounts. Without memory the slot stays free. */
static enum world_answer arrive(struct world *world, uint32_t slot, const struct sandbox_spec *spec)
{
	struct sandbox *sandbox = world_sandbox(world, slot);
	struct sandbox fresh = {.created_us = spec->created_us,
	                        .visible_us = INT64_MIN,
	                        .gone_us = INT64_MAX,
	                        .team = spec->team,
	                        .template = spec->template,
	                        .cluster = spec->cluster,
	                        .presence = PRESENCE_LIVE,
	                        .phase = (uint8_t)spec->phase};
	if (spec->lagging)
		fresh.visible_us = world->now_us + world->settings->cache_lag_ms * 1000;
	if (spec->services || spec->mount_count > 0)
		fresh.detail = copy_detail(spec);
	if (!fresh.detail && (spec->services || spec->mount_count > 0))
		return WORLD_FULL;
	if (roster_add(&world_team_at(world, spec->team)->sandboxes, slot, spec->created_us) < 0) {
		free_detail(&fresh);
		return WORLD_FULL;
	}
	*sandbox = fresh;
	world->sandbox_count++;
	for (uint32_t i = 0; i < spec->mount_count; i++) {
		if (volume_mount(world, spec->mounts[i].volume, slot, spec->mounts[i].point) < 0) {
			leave(world, slot, world->now_us);
			return WORLD_FULL;
		}
	}
	return WORLD_OK;
}

enum world_answer world_add_sandbox(struct world *world, const struct sandbox_spec *spec,
                                    uint32_t *ret_slot)
{
	if (slab_reserve(&world->sandbox_slab, world->sandbox_ids.count + 1) < 0)
		return WORLD_FULL;
	uint32_t slot = ids_add(&world->sandbox_ids, spec->id, strlen(spec->id));
	if (slot == IDS_NONE)
		return WORLD_FULL;
	if (world_is_there(world_sandbox(world, slot)))
		return WORLD_CONFLICT;
	enum world_answer answer = arrive(world, slot, spec);
	if (answer == WORLD_OK)
		*ret_slot = slot;
	return answer;
}

/* ---- looking ---- */

struct sandbox *world_sandbox(const struct world *world, uint32_t slot)
{
	return slab_at(&world->sandbox_slab, slot);
}

bool world_is_there(const struct sandbox *sandbox)
{
	return sandbox->presence == PRESENCE_LIVE || sandbox->presence == PRESENCE_TERMINATING;
}

uint32_t world_find_sandbox(const struct world *world, const char *id)
{
	return ids_find(&world->sandbox_ids, id, strlen(id));
}

enum world_answer world_lookup(const struct world *world, const char *id, uint32_t team,
                               uint32_t *ret_slot)
{
	uint32_t slot = world_find_sandbox(world, id);
	if (slot == IDS_NONE)
		return WORLD_NOT_FOUND;
	const struct sandbox *sandbox = world_sandbox(world, slot);
	if (!world_is_there(sandbox) || sandbox->visible_us > world->now_us)
		return WORLD_NOT_FOUND;
	if (sandbox->team != team)
		return WORLD_FORBIDDEN;
	*ret_slot = slot;
	return WORLD_OK;
}

const char *world_status(const struct world *world, const struct sandbox *sandbox)
{
	if (sandbox->presence == PRESENCE_TERMINATING && world->settings->terminating)
		return "terminating";
	return phase_names[sandbox->phase];
}

enum phase world_phase(const char *word)
{
	enum phase phase = 0;
	while (phase < PHASE_COUNT && strcmp(phase_names[phase], word) != 0)
		phase++;
	return phase;
}
