#include "slab.h"

#include <stdlib.h>

enum { CHUNK_ITEMS = 4096 };

void slab_init(struct slab *slab, size_t item_bytes)
{
	*slab = (struct slab){.item_bytes = item_bytes};
}

void slab_done(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->chunk_count; i++)
		free(slab->chunks[i]);
	free(slab->chunks);
	slab_init(slab, slab->item_bytes);
}

static int add_chunk(struct slab *slab)
{
	if (slab->chunk_count == slab->chunk_cap) {
		uint32_t cap = slab->chunk_cap ? slab->chunk_cap * 2 : 16;
		char **chunks = realloc(slab->chunks, cap * sizeof(*chunks));
		if (!chunks)
			return -1;
		slab->chunks = chunks;
		slab->chunk_cap = cap;
	}
	char *chunk = calloc(CHUNK_ITEMS, slab->item_bytes);
	if (!chunk)
		return -1;
	slab->chunks[slab->chunk_count++] = chunk;
	return 0;
}

int slab_reserve(struct slab *slab, uint32_t count)
{
	while ((uint64_t)slab->chunk_count * CHUNK_ITEMS < count)
		if (add_chunk(slab) < 0)
			return -1;
	return 0;
}

void *slab_at(const struct slab *slab, uint32_t at)
{
	return slab->chunks[at / CHUNK_ITEMS] + (at % CHUNK_ITEMS) * slab->item_bytes;
}
