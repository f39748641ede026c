/* The world's volumes, the mounts that hold them, and their snapshots. */
#ifndef SIM_VOLUMES_H
#define SIM_VOLUMES_H

#include "world.h"

enum access_mode { ACCESS_RWO, ACCESS_ROX, ACCESS_RWX, ACCESS_COUNT };

struct volume_mount {
	int64_t ended_us; /* simulated: when the sandbox was gone; INT64_MAX while it is there */
	uint32_t sandbox;
	char *point; /* owned */
};
struct volume {
	int64_t created_us; /* wall */
	int64_t posix_uid, posix_gid;
	struct volume_mount *mounts; /* owned: active ones, and some that are not any more */
	uint32_t mount_count, mount_cap;
	uint32_t team, user;
	uint32_t source;         /* volume or IDS_NONE */
	uint32_t first_snapshot; /* of this volume, or IDS_NONE */
	uint8_t presence, access;
	bool owned; /* belongs to the platform itself: hidden from the public API */
};
struct snapshot {
	int64_t created_us;          /* wall */
	char *name, *description;    /* owned */
	uint32_t team, volume, next; /* next snapshot of the volume, or IDS_NONE */
	uint8_t presence;
};

void volumes_done(struct world *world); /* part of world_done() */

struct volume_spec {
	const char *id;
	uint32_t team, user, source;
	enum access_mode access;
	int64_t created_us, posix_uid, posix_gid;
	bool owned;
};
/* CONFLICT when the id is there already; one that is gone comes back. */
enum world_answer volume_add(struct world *world, const struct volume_spec *spec,
                             uint32_t *ret_slot);
struct volume *volume_at(const struct world *world, uint32_t slot);
uint32_t volume_find(const struct world *world, const char *id); /* whatever its presence */
bool volume_is_there(const struct world *world, uint32_t slot);  /* false for IDS_NONE */
/* As the API sees it: another team's and an owned one are NOT_FOUND. */
enum world_answer volume_lookup(const struct world *world, const char *id, uint32_t team,
                                uint32_t *ret_slot);
/* Mounts of sandboxes that are there or have been gone for less than mount_linger_ms. Forgets the
 * others. */
uint32_t volume_active_mounts(struct world *world, uint32_t slot);
/* The API's delete. CONFLICT while mounts are active unless `force`, which ends them. A volume that
 * is not there is OK; another team's or an owned one NOT_FOUND. */
enum world_answer volume_delete(struct world *world, const char *id, uint32_t team, bool force);
/* Gone at once, its snapshots too. */
void volume_remove(struct world *world, uint32_t slot);
/* OK; NOT_FOUND; CONFLICT: RWO, and mounts are active. */
enum world_answer volume_may_mount(struct world *world, const char *id, uint32_t team,
                                   uint32_t *ret_slot);
/* 0, or -1 without memory. */
int volume_mount(struct world *world, uint32_t slot, uint32_t sandbox,
                 const char *point) MUST_CHECK;
void volume_unmount(struct world *world, uint32_t slot, uint32_t sandbox, int64_t ended_us);

struct snapshot_spec {
	const char *id, *name, *description;
	uint32_t team, volume;
};
enum world_answer snapshot_add(struct world *world, const struct snapshot_spec *spec,
                               uint32_t *ret_slot);
struct snapshot *snapshot_at(const struct world *world, uint32_t slot);
uint32_t snapshot_find(const struct world *world, const char *id); /* whatever its presence */
bool snapshot_is_there(const struct world *world, uint32_t slot);  /* false for IDS_NONE */
enum world_answer snapshot_lookup(const struct world *world, const char *id, uint32_t team,
                                  uint32_t *ret_slot);
/* NOT_FOUND when it is not there, another team's, or not of this volume. */
enum world_answer snapshot_delete(struct world *world, const char *volume_id, const char *id,
                                  uint32_t team);
void snapshot_remove(struct world *world, uint32_t slot);

const char *access_name(enum access_mode access); /* "RWO" */
enum access_mode access_parse(const char *word);  /* ACCESS_COUNT for another word */

#endif
