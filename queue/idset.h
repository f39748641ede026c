/* A set of at most `max` row ids. Each id that is in has a slot, 0 <= slot < max, which stays its
 * own until it is removed: an index for whatever is kept beside it. Open addressing with linear
 * probing over a table that is at most half full; every operation is O(1). */
#ifndef QUEUE_IDSET_H
#define QUEUE_IDSET_H

#include <stdint.h>

#include "base/err.h"

enum { IDSET_MAX = 16384 };

struct idset {
	int64_t *ids;     /* by slot */
	uint16_t *table;  /* slot + 1; 0 is empty */
	uint16_t *vacant; /* a stack of the slots that are free */
	uint32_t mask;    /* of the table */
	int count, max;
};

/* 1 <= max <= IDSET_MAX. 0, or -1: no memory. */
int idset_init(struct idset *set, int max, struct err *err) MUST_CHECK;
/* Safe on {0}. */
void idset_done(struct idset *set);

/* The slot of `id`, or -1. */
int idset_find(const struct idset *set, int64_t id);
/* Puts in an id that is not in yet. Its slot, or -1 when the set is full. */
int idset_add(struct idset *set, int64_t id);
void idset_remove(struct idset *set, int slot);

#endif
