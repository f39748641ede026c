#include "roster.h"

#include <stdlib.h>

void roster_done(struct roster *roster)
{
	free(roster->rows);
	free(roster->tree);
	*roster = (struct roster){0};
}

static int compare(const void *left, const void *right)
{
	const struct roster_row *a = left, *b = right;
	if (a->created_us != b->created_us)
		return a->created_us < b->created_us ? -1 : 1;
	return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* Fills tree[at] (counted from 1) when all before it are filled. */
static void fill(struct roster *roster, uint32_t at)
{
	uint32_t sum = roster->rows[at - 1].there, floor = at - (at & -at);
	for (uint32_t i = at - 1; i > floor; i -= i & -i)
		sum += roster->tree[i];
	roster->tree[at] = sum;
}

/* Drops the rows that left, sorts the others and builds the tree anew. */
static void rebuild(struct roster *roster)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < roster->count; i++)
		if (roster->rows[i].there)
			roster->rows[kept++] = roster->rows[i];
	roster->count = kept;
	if (roster->unsorted && kept > 0)
		qsort(roster->rows, kept, sizeof(*roster->rows), compare);
	roster->unsorted = false;
	for (uint32_t i = 1; i <= kept; i++)
		fill(roster, i);
}

static int grow(struct roster *roster)
{
	uint32_t cap = roster->cap ? roster->cap * 2 : 16;
	struct roster_row *rows = realloc(roster->rows, cap * sizeof(*rows));
	if (rows)
		roster->rows = rows;
	uint32_t *tree = realloc(roster->tree, ((size_t)cap + 1) * sizeof(*tree));
	if (tree)
		roster->tree = tree;
	if (!rows || !tree)
		return -1;
	roster->cap = cap;
	return 0;
}

int roster_add(struct roster *roster, uint32_t slot, int64_t created_us)
{
	if (roster->count == roster->cap && grow(roster) < 0)
		return -1;
	struct roster_row row = {.created_us = created_us, .slot = slot, .there = true};
	if (roster->count > 0 && compare(&roster->rows[roster->count - 1], &row) > 0)
		roster->unsorted = true;
	roster->rows[roster->count++] = row;
	roster->there++;
	if (!roster->unsorted)
		fill(roster, roster->count);
	return 0;
}

/* The first row that is not before the key. */
static uint32_t lower_bound(const struct roster *roster, const struct roster_row *key)
{
	uint32_t low = 0, high = roster->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (compare(&roster->rows[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void roster_remove(struct roster *roster, uint32_t slot, int64_t created_us)
{
	/* Half empty is the time to close the gaps: amortised O(1) per removal. */
	if (roster->unsorted || (roster->count > 64 && roster->there < roster->count / 2))
		rebuild(roster);
	struct roster_row key = {.created_us = created_us, .slot = slot};
	uint32_t at = lower_bound(roster, &key);
	/* An id that left and came back at the same moment stands here twice. */
	while (at < roster->count && !roster->rows[at].there)
		at++;
	if (at == roster->count || compare(&roster->rows[at], &key) != 0)
		return;
	roster->rows[at].there = false;
	roster->there--;
	for (uint32_t i = at + 1; i <= roster->count; i += i & -i)
		roster->tree[i]--;
}

uint32_t roster_nth_newest(struct roster *roster, uint32_t n)
{
	if (roster->unsorted)
		rebuild(roster);
	uint32_t rank = roster->there - n; /* counted from the oldest, which is 1 */
	uint32_t at = 0, step = 1;
	while (step <= roster->count / 2)
		step *= 2;
	for (; step > 0; step /= 2) {
		if (at + step <= roster->count && roster->tree[at + step] < rank) {
			at += step;
			rank -= roster->tree[at];
		}
	}
	return roster->rows[at].slot;
}

uint32_t roster_walk(struct roster *roster)
{
	if (roster->unsorted)
		rebuild(roster);
	return roster->count;
}

bool roster_older(const struct roster *roster, uint32_t *at, uint32_t *ret_slot)
{
	while (*at > 0) {
		const struct roster_row *row = &roster->rows[--*at];
		if (!row->there)
			continue;
		*ret_slot = row->slot;
		return true;
	}
	return false;
}
