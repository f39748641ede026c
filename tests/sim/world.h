/* What exists on the simulated platform and by which rules it goes: sandboxes here, volumes and
 * snapshots in volumes.h. The truth, without faults. Nothing here knows HTTP or JSON.
 *
 * Two clocks: `now_us` is simulated time (it can be moved forward) and rules finalizers, lingering
 * mounts and the cache; `wall_us` is the real date and stands in created_at. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "expiry.h"
#include "ids.h"
#include "roster.h"
#include "settings.h"
#include "slab.h"

/* Whose the token is: everything that is made through the API is this user's. */
#define WORLD_USER "5a0d0b0e-0000-4000-8000-000000000001"
/* Whose a seeded volume is unless its row says otherwise. */
#define WORLD_OTHER_USER "5a0d0b0e-0000-4000-8000-000000000002"

enum { WORLD_THINGS_MAX = 1 << 24, WORLD_NAMES_MAX = 100000, WORLD_MOUNTS_MAX = 64 };

/* GONE keeps the id: seeded again, the thing is back ("resurrected"). */
enum presence { PRESENCE_NEVER, PRESENCE_LIVE, PRESENCE_TERMINATING, PRESENCE_GONE };

enum phase { PHASE_RUNNING, PHASE_STARTING, PHASE_FAILED, PHASE_COMPLETED, PHASE_COUNT };

struct sandbox_mount {
	uint32_t volume;
	char *point; /* owned */
};
/* What most of a million sandboxes do not have. */
struct sandbox_detail {
	char *services; /* owned JSON array; NULL: none */
	uint32_t mount_count;
	struct sandbox_mount mounts[];
};
struct sandbox {
	int64_t created_us; /* wall */
	int64_t visible_us; /* simulated: looking it up finds it from then on */
	int64_t gone_us;    /* simulated: when its finalizer runs; INT64_MAX: never as things stand */
	struct sandbox_detail *detail;    /* owned; may be NULL */
	uint32_t team, template, cluster; /* names; cluster may be IDS_NONE */
	uint8_t presence, phase;
	bool paused;
};

struct team {
	struct roster sandboxes, volumes;
	struct settings *own; /* owned; NULL: those of the world */
};

struct world {
	const struct settings *settings;
	int64_t now_us, wall_us;
	struct ids teams, templates, clusters, users;
	struct ids sandbox_ids, volume_ids, snapshot_ids;
	struct slab team_slab, sandbox_slab, volume_slab, snapshot_slab;
	struct expiry expiry; /* sandboxes on their way out */
	uint64_t throws;      /* of the dice so far */
	uint32_t sandbox_count, terminating_count, volume_count, snapshot_count; /* there now */
};

enum world_answer {
	WORLD_OK,
	WORLD_NOT_FOUND,
	WORLD_FORBIDDEN, /* another team's */
	WORLD_CONFLICT,
	WORLD_FULL, /* a maximum is reached, or no memory */
};

/* `settings` must outlive it. */
void world_init(struct world *world, const struct settings *settings);
void world_done(struct world *world);
/* Moves the clocks, and lets go whose finalizer has run by then. Before anything is looked at. */
void world_tick(struct world *world, int64_t now_us, int64_t wall_us);
/* A throw of the dice with the settings' seed. */
bool world_chance(struct world *world, double percent);

/* Numbers of names. IDS_NONE: unknown, or (add) not a valid name or too many. */
uint32_t world_team(const struct world *world, const char *name);
uint32_t world_add_team(struct world *world, const char *name);
struct team *world_team_at(const struct world *world, uint32_t team);
/* How the platform behaves to a team: its own settings, else the world's. IDS_NONE: the world's. */
const struct settings *world_settings(const struct world *world, uint32_t team);
/* The team's own settings, made as a copy of the world's if it has none. NULL without memory. */
struct settings *world_own_settings(struct world *world, uint32_t team);
void world_forget_own_settings(struct world *world);

struct sandbox_spec {
	const char *id;
	uint32_t team, template, cluster; /* cluster may be IDS_NONE */
	enum phase phase;
	int64_t created_us;
	bool lagging;                       /* not found by look-ups for cache_lag_ms */
	const char *services;               /* JSON array or NULL; copied */
	const struct sandbox_mount *mounts; /* copied; the volumes exist */
	uint32_t mount_count;
};
/* CONFLICT when the id is there already; one that is gone comes back. */
enum world_answer world_add_sandbox(struct world *world, const struct sandbox_spec *spec,
                                    uint32_t *ret_slot);

struct sandbox *world_sandbox(const struct world *world, uint32_t slot);
/* True while the platform has it, terminating or not. */
bool world_is_there(const struct sandbox *sandbox);
/* The slot of an id whatever its presence; IDS_NONE for one that never was. */
uint32_t world_find_sandbox(const struct world *world, const char *id);
/* What the platform's own look-up says for a team: the cache lags, so NOT_FOUND proves nothing. */
enum world_answer world_lookup(const struct world *world, const char *id, uint32_t team,
                               uint32_t *ret_slot);
/* The platform's asynchronous delete: gone after finalizer_ms. A second one changes nothing. */
enum world_answer world_terminate(struct world *world, uint32_t slot);
/* Gone at once, without a delete: a crash of the machine below it. */
void world_remove_sandbox(struct world *world, uint32_t slot);
/* "running", "terminating" ... as the API says it. */
const char *world_status(const struct world *world, const struct sandbox *sandbox);
/* The phase of a status word, or PHASE_COUNT. "terminating" is not a phase. */
enum phase world_phase(const char *word);

#endif
