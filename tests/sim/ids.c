#include "ids.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 18, CAP_FIRST = 64 };

struct ids_block {
	struct ids_block *next;
	size_t used;
	char bytes[BLOCK_BYTES];
};

void ids_init(struct ids *ids, uint32_t ids_max)
{
	*ids = (struct ids){.max = ids_max};
	slab_init(&ids->texts, sizeof(char *));
}

void ids_done(struct ids *ids)
{
	while (ids->blocks) {
		struct ids_block *next = ids->blocks->next;
		free(ids->blocks);
		ids->blocks = next;
	}
	slab_done(&ids->texts);
	free(ids->entries);
	ids_init(ids, ids->max);
}

/* FNV-1a with a finish that mixes the high bits down: ids that differ in their last digits only
 * must not land side by side. */
static uint32_t hash_of(const char *text, size_t len)
{
	uint64_t hash = 14695981039346656037u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(hash >> 32);
}

bool ids_valid(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return false;
	return len > 0 && len <= ID_MAX_BYTES;
}

const char *ids_text(const struct ids *ids, uint32_t slot)
{
	return slot == IDS_NONE ? "" : *(char **)slab_at(&ids->texts, slot);
}

/* Where the text is, or the free entry where it would go. */
static struct ids_entry *probe(const struct ids *ids, uint32_t hash, const char *text, size_t len)
{
	for (size_t at = hash;; at++) {
		struct ids_entry *entry = &ids->entries[at & (ids->cap - 1)];
		if (!entry->slot_plus_one)
			return entry;
		if (entry->hash != hash)
			continue;
		const char *have = ids_text(ids, entry->slot_plus_one - 1);
		if (strncmp(have, text, len) == 0 && have[len] == '\0')
			return entry;
	}
}

uint32_t ids_find(const struct ids *ids, const char *text, size_t len)
{
	if (ids->count == 0)
		return IDS_NONE;
	/* slot_plus_one is 0 for a free entry, and 0 - 1 is IDS_NONE. */
	return probe(ids, hash_of(text, len), text, len)->slot_plus_one - 1;
}

static int grow(struct ids *ids)
{
	size_t cap = ids->cap ? ids->cap * 2 : CAP_FIRST;
	struct ids_entry *entries = calloc(cap, sizeof(*entries));
	if (!entries)
		return -1;
	for (size_t i = 0; i < ids->cap; i++) {
		if (!ids->entries[i].slot_plus_one)
			continue;
		size_t at = ids->entries[i].hash & (cap - 1);
		while (entries[at].slot_plus_one)
			at = (at + 1) & (cap - 1);
		entries[at] = ids->entries[i];
	}
	free(ids->entries);
	ids->entries = entries;
	ids->cap = cap;
	return 0;
}

/* A copy of the text in the newest block. NULL without memory. */
static char *keep(struct ids *ids, const char *text, size_t len)
{
	if (!ids->blocks || BLOCK_BYTES - ids->blocks->used <= len) {
		struct ids_block *block = malloc(sizeof(*block));
		if (!block)
			return NULL;
		block->next = ids->blocks;
		block->used = 0;
		ids->blocks = block;
	}
	char *copy = ids->blocks->bytes + ids->blocks->used;
	memcpy(copy, text, len);
	copy[len] = '\0';
	ids->blocks->used += len + 1;
	return copy;
}

uint32_t ids_add(struct ids *ids, const char *text, size_t len)
{
	uint32_t slot = ids_find(ids, text, len);
	if (slot != IDS_NONE)
		return slot;
	if (!ids_valid(text, len) || ids->count == ids->max)
		return IDS_NONE;
	if ((size_t)ids->count * 4 >= ids->cap * 3 && grow(ids) < 0)
		return IDS_NONE;
	char *copy = slab_reserve(&ids->texts, ids->count + 1) < 0 ? NULL : keep(ids, text, len);
	if (!copy)
		return IDS_NONE;
	uint32_t hash = hash_of(text, len);
	*(char **)slab_at(&ids->texts, ids->count) = copy;
	*probe(ids, hash, text, len) = (struct ids_entry){hash, ids->count + 1};
	return ids->count++;
}
