/* The world's things as the platform's API writes them. Appends to a
 * buffer; its `failed` says whether it fitted. */
#ifndef SIM_RENDER_H
#define SIM_RENDER_H

#include "base/buf.h"
#include "volumes.h"

void render_sandbox(const struct world *world, uint32_t slot, struct buf *out);
/* A row of the listing: no team, mounts or services. */
void render_summary(const struct world *world, uint32_t slot, struct buf *out);
/* {"desired":...} */
void render_power_state(const struct sandbox *sandbox, struct buf *out);
void render_volume(const struct world *world, uint32_t slot, struct buf *out);
void render_snapshot(const struct world *world, uint32_t slot, struct buf *out);
/* "mounts":[...] of a volume, the active ones: call volume_active_mounts() before. */
void render_active_mounts(const struct world *world, uint32_t slot, struct buf *out);
/* [{"sandboxvolume_id","mount_point"}], with `state` in each when it is not NULL. */
void render_mounts(const struct world *world, const struct sandbox *sandbox, const char *state,
                   struct buf *out);
/* Any text in quotes. UTF-8 passes as it is. */
void render_text(const char *text, struct buf *out);

#endif
