#include "volumes.h"

#include <stdlib.h>
#include <string.h>

static const char *const access_names[ACCESS_COUNT] = {"RWO", "ROX", "RWX"};

const char *access_name(enum access_mode access)
{
	return access_names[access];
}

enum access_mode access_parse(const char *word)
{
	enum access_mode access = 0;
	while (access < ACCESS_COUNT && strcmp(access_names[access], word) != 0)
		access++;
	return access;
}

/* ---- mounts ---- */

static void free_mounts(struct volume *volume)
{
	for (uint32_t i = 0; i < volume->mount_count; i++)
		free(volume->mounts[i].point);
	free(volume->mounts);
	volume->mounts = NULL;
	volume->mount_count = volume->mount_cap = 0;
}

uint32_t volume_active_mounts(struct world *world, uint32_t slot)
{
	struct volume *volume = volume_at(world, slot);
	int64_t linger_us = world->settings->mount_linger_ms * 1000;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < volume->mount_count; i++) {
		struct volume_mount *mount = &volume->mounts[i];
		/* ended_us is INT64_MAX while the sandbox is there: the subtraction cannot overflow. */
		if (world->now_us < mount->ended_us || world->now_us - mount->ended_us < linger_us)
			volume->mounts[kept++] = *mount;
		else
			free(mount->point);
	}
	volume->mount_count = kept;
	return kept;
}

int volume_mount(struct world *world, uint32_t slot, uint32_t sandbox, const char *point)
{
	struct volume *volume = volume_at(world, slot);
	if (volume->mount_count == volume->mount_cap) {
		uint32_t cap = volume->mount_cap ? volume->mount_cap * 2 : 2;
		struct volume_mount *mounts = realloc(volume->mounts, cap * sizeof(*mounts));
		if (!mounts)
			return -1;
		volume->mounts = mounts;
		volume->mount_cap = cap;
	}
	char *copy = strdup(point);
	if (!copy)
		return -1;
	volume->mounts[volume->mount_count++] =
	    (struct volume_mount){.ended_us = INT64_MAX, .sandbox = sandbox, .point = copy};
	return 0;
}

void volume_unmount(struct world *world, uint32_t slot, uint32_t sandbox, int64_t ended_us)
{
	struct volume *volume = volume_at(world, slot);
	for (uint32_t i = 0; i < volume->mount_count; i++)
		if (volume->mounts[i].sandbox == sandbox && volume->mounts[i].ended_us == INT64_MAX)
			volume->mounts[i].ended_us = ended_us;
}

enum world_answer volume_may_mount(struct world *world, const char *id, uint32_t team,
                                   uint32_t *ret_slot)
{
	uint32_t slot;
	enum world_answer answer = volume_lookup(world, id, team, &slot);
	if (answer != WORLD_OK)
		return answer;
	if (volume_at(world, slot)->access == ACCESS_RWO && volume_active_mounts(world, slot) > 0)
		return WORLD_CONFLICT;
	*ret_slot = slot;
	return WORLD_OK;
}

/* ---- volumes ---- */

struct volume *volume_at(const struct world *world, uint32_t slot)
{
	return slab_at(&world->volume_slab, slot);
}

uint32_t volume_find(const struct world *world, const char *id)
{
	return ids_find(&world->volume_ids, id, strlen(id));
}

bool volume_is_there(const struct world *world, uint32_t slot)
{
	return slot != IDS_NONE && volume_at(world, slot)->presence == PRESENCE_LIVE;
}

enum world_answer volume_lookup(const struct world *world, const char *id, uint32_t team,
                                uint32_t *ret_slot)
{
	uint32_t slot = volume_find(world, id);
	if (!volume_is_there(world, slot))
		return WORLD_NOT_FOUND;
	const struct volume *volume = volume_at(world, slot);
	if (volume->team != team || volume->owned)
		return WORLD_NOT_FOUND;
	*ret_slot = slot;
	return WORLD_OK;
}

enum world_answer volume_add(struct world *world, const struct volume_spec *spec,
                             uint32_t *ret_slot)
{
	if (slab_reserve(&world->volume_slab, world->volume_ids.count + 1) < 0)
		return WORLD_FULL;
	uint32_t slot = ids_add(&world->volume_ids, spec->id, strlen(spec->id));
	if (slot == IDS_NONE)
		return WORLD_FULL;
	if (volume_is_there(world, slot))
		return WORLD_CONFLICT;
	/* An owned one is in no list. */
	if (!spec->owned &&
	    roster_add(&world_team_at(world, spec->team)->volumes, slot, spec->created_us) < 0)
		return WORLD_FULL;
	struct volume *volume = volume_at(world, slot);
	*volume = (struct volume){.created_us = spec->created_us,
	                          .posix_uid = spec->posix_uid,
	                          .posix_gid = spec->posix_gid,
	                          .team = spec->team,
	                          .user = spec->user,
	                          .source = spec->source,
	                          .first_snapshot = IDS_NONE,
	                          .presence = PRESENCE_LIVE,
	                          .access = (uint8_t)spec->access,
	                          .owned = spec->owned};
	world->volume_count++;
	*ret_slot = slot;
	return WORLD_OK;
}

void volume_remove(struct world *world, uint32_t slot)
{
	if (!volume_is_there(world, slot))
		return;
	struct volume *volume = volume_at(world, slot);
	while (volume->first_snapshot != IDS_NONE)
		snapshot_remove(world, volume->first_snapshot);
	free_mounts(volume);
	volume->presence = PRESENCE_GONE;
	world->volume_count--;
	if (!volume->owned)
		roster_remove(&world_team_at(world, volume->team)->volumes, slot, volume->created_us);
}

enum world_answer volume_delete(struct world *world, const char *id, uint32_t team, bool force)
{
	uint32_t slot = volume_find(world, id);
	if (!volume_is_there(world, slot))
		return WORLD_OK;
	enum world_answer answer = volume_lookup(world, id, team, &slot);
	if (answer != WORLD_OK)
		return answer;
	if (!force && volume_active_mounts(world, slot) > 0)
		return WORLD_CONFLICT;
	volume_remove(world, slot);
	return WORLD_OK;
}

/* ---- snapshots ---- */

struct snapshot *snapshot_at(const struct world *world, uint32_t slot)
{
	return slab_at(&world->snapshot_slab, slot);
}

uint32_t snapshot_find(const struct world *world, const char *id)
{
	return ids_find(&world->snapshot_ids, id, strlen(id));
}

bool snapshot_is_there(const struct world *world, uint32_t slot)
{
	return slot != IDS_NONE && snapshot_at(world, slot)->presence == PRESENCE_LIVE;
}

enum world_answer snapshot_lookup(const struct world *world, const char *id, uint32_t team,
                                  uint32_t *ret_slot)
{
	uint32_t slot = snapshot_find(world, id);
	if (!snapshot_is_there(world, slot) || snapshot_at(world, slot)->team != team)
		return WORLD_NOT_FOUND;
	*ret_slot = slot;
	return WORLD_OK;
}

static void free_texts(struct snapshot *snapshot)
{
	free(snapshot->name);
	free(snapshot->description);
	snapshot->name = snapshot->description = NULL;
}

enum world_answer snapshot_add(struct world *world, const struct snapshot_spec *spec,
                               uint32_t *ret_slot)
{
	if (slab_reserve(&world->snapshot_slab, world->snapshot_ids.count + 1) < 0)
		return WORLD_FULL;
	uint32_t slot = ids_add(&world->snapshot_ids, spec->id, strlen(spec->id));
	if (slot == IDS_NONE)
		return WORLD_FULL;
	if (snapshot_is_there(world, slot))
		return WORLD_CONFLICT;
	struct volume *volume = volume_at(world, spec->volume);
	struct snapshot *snapshot = snapshot_at(world, slot);
	*snapshot = (struct snapshot){.created_us = world->wall_us,
	                              .name = strdup(spec->name),
	                              .description = strdup(spec->description),
	                              .team = spec->team,
	                              .volume = spec->volume,
	                              .next = volume->first_snapshot};
	if (!snapshot->name || !snapshot->description) {
		free_texts(snapshot);
		return WORLD_FULL;
	}
	snapshot->presence = PRESENCE_LIVE;
	volume->first_snapshot = slot;
	world->snapshot_count++;
	*ret_slot = slot;
	return WORLD_OK;
}

void snapshot_remove(struct world *world, uint32_t slot)
{
	if (!snapshot_is_there(world, slot))
		return;
	struct snapshot *snapshot = snapshot_at(world, slot);
	uint32_t *at = &volume_at(world, snapshot->volume)->first_snapshot;
	while (*at != slot)
		at = &snapshot_at(world, *at)->next;
	*at = snapshot->next;
	free_texts(snapshot);
	snapshot->presence = PRESENCE_GONE;
	world->snapshot_count--;
}

enum world_answer snapshot_delete(struct world *world, const char *volume_id, const char *id,
                                  uint32_t team)
{
	uint32_t slot, volume;
	if (volume_lookup(world, volume_id, team, &volume) != WORLD_OK ||
	    snapshot_lookup(world, id, team, &slot) != WORLD_OK ||
	    snapshot_at(world, slot)->volume != volume)
		return WORLD_NOT_FOUND;
	snapshot_remove(world, slot);
	return WORLD_OK;
}

void volumes_done(struct world *world)
{
	for (uint32_t i = 0; i < world->volume_ids.count; i++)
		free_mounts(volume_at(world, i));
	for (uint32_t i = 0; i < world->snapshot_ids.count; i++)
		free_texts(snapshot_at(world, i));
}
