/* A growing array whose items never move: chunks of zeroed items, found by number. */
#ifndef SIM_SLAB_H
#define SIM_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct slab {
	char **chunks; /* owned */
	size_t item_bytes;
	uint32_t chunk_count, chunk_cap;
};

void slab_init(struct slab *slab, size_t item_bytes);
void slab_done(struct slab *slab);
/* Makes items 0 to count-1 exist. 0, or -1 without memory. */
int slab_reserve(struct slab *slab, uint32_t count) MUST_CHECK;
/* Item `at`, which must have been reserved. Valid until slab_done(). */
void *slab_at(const struct slab *slab, uint32_t at);

#endif
