#include "idset.h"

#include <stdlib.h>

/* Fibonacci hashing: ids come in runs, and the product spreads a run over the whole table. */
static uint32_t home(const struct idset *set, int64_t id)
{
	return (uint32_t)(((uint64_t)id * 0x9e3779b97f4a7c15u) >> 40) & set->mask;
}

int idset_init(struct idset *set, int max, struct err *err)
{
	uint32_t size = 2;
	while (size < 2 * (uint32_t)max)
		size *= 2;
	*set = (struct idset){
	    .ids = calloc((size_t)max, sizeof(*set->ids)),
	    .table = calloc(size, sizeof(*set->table)),
	    .vacant = calloc((size_t)max, sizeof(*set->vacant)),
	    .mask = size - 1,
	    .max = max,
	};
	if (!set->ids || !set->table || !set->vacant) {
		idset_done(set);
		return err_oom(err);
	}
	for (int i = 0; i < max; i++)
		set->vacant[i] = (uint16_t)(max - 1 - i);
	return 0;
}

void idset_done(struct idset *set)
{
	free(set->ids);
	free(set->table);
	free(set->vacant);
	*set = (struct idset){0};
}

/* Where `id` stands in the table, or the empty place where it would. */
static uint32_t probe(const struct idset *set, int64_t id)
{
	uint32_t at = home(set, id);
	while (set->table[at] && set->ids[set->table[at] - 1] != id)
		at = (at + 1) & set->mask;
	return at;
}

int idset_find(const struct idset *set, int64_t id)
{
	return (int)set->table[probe(set, id)] - 1;
}

int idset_add(struct idset *set, int64_t id)
{
	if (set->count == set->max)
		return -1;
	uint16_t slot = set->vacant[set->max - 1 - set->count];
	set->count++;
	set->table[probe(set, id)] = (uint16_t)(slot + 1);
	set->ids[slot] = id;
	return slot;
}

/* Closes the hole, so that no probe ever stops before what it looks for: an entry behind it moves
 * up unless its home lies between the hole and itself. */
void idset_remove(struct idset *set, int slot)
{
	uint32_t hole = probe(set, set->ids[slot]);
	for (uint32_t at = (hole + 1) & set->mask; set->table[at]; at = (at + 1) & set->mask) {
		uint32_t from = home(set, set->ids[set->table[at] - 1]);
		if (((at - from) & set->mask) < ((at - hole) & set->mask))
			continue;
		set->table[hole] = set->table[at];
		hole = at;
	}
	set->table[hole] = 0;
	set->count--;
	set->vacant[set->max - 1 - set->count] = (uint16_t)slot;
}
