/* Texts that get a number: ids of sandboxes and volumes, names of teams and templates. A text
 * keeps its number for the life of the table, so that what is gone can be told from what never
 * was. A hash table with open addressing; at most ids_max texts. */
#ifndef SIM_IDS_H
#define SIM_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slab.h"

enum { ID_MAX_BYTES = 63 }; /* of one text, the NUL not counted: a DNS label's length */
#define IDS_NONE ((uint32_t)-1)

struct ids_entry {
	uint32_t hash, slot_plus_one; /* 0: free */
};
struct ids {
	struct ids_entry *entries; /* owned, a power of two, at most 3/4 full */
	size_t cap;
	struct slab texts; /* char * by number, into the blocks */
	struct ids_block *blocks;
	uint32_t count, max;
};

void ids_init(struct ids *ids, uint32_t ids_max);
void ids_done(struct ids *ids);
/* The number of a text, or IDS_NONE. */
uint32_t ids_find(const struct ids *ids, const char *text, size_t len);
/* The same, given a number when it has none yet: numbers are 0, 1, 2, ... IDS_NONE for a text that
 * ids_valid() refuses, past the maximum and without memory. */
uint32_t ids_add(struct ids *ids, const char *text, size_t len);
/* Borrowed; "" for IDS_NONE. */
const char *ids_text(const struct ids *ids, uint32_t slot);
/* 1 to ID_MAX_BYTES bytes of printable ASCII without space, quote and backslash: what stands in
 * JSON and in a path as it is. */
bool ids_valid(const char *text, size_t len);

#endif
