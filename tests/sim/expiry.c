#include "expiry.h"

#include <stdlib.h>

void expiry_done(struct expiry *expiry)
{
	free(expiry->entries);
	*expiry = (struct expiry){0};
}

static void swap(struct expiry *expiry, uint32_t a, uint32_t b)
{
	struct expiry_entry entry = expiry->entries[a];
	expiry->entries[a] = expiry->entries[b];
	expiry->entries[b] = entry;
}

static bool before(const struct expiry *expiry, uint32_t a, uint32_t b)
{
	return expiry->entries[a].at_us < expiry->entries[b].at_us;
}

int expiry_add(struct expiry *expiry, int64_t at_us, uint32_t slot)
{
	if (expiry->count == expiry->cap) {
		uint32_t cap = expiry->cap ? expiry->cap * 2 : 64;
		struct expiry_entry *entries = realloc(expiry->entries, cap * sizeof(*entries));
		if (!entries)
			return -1;
		expiry->entries = entries;
		expiry->cap = cap;
	}
	uint32_t at = expiry->count++;
	expiry->entries[at] = (struct expiry_entry){at_us, slot};
	for (; at > 0 && before(expiry, at, (at - 1) / 2); at = (at - 1) / 2)
		swap(expiry, at, (at - 1) / 2);
	return 0;
}

static void sink(struct expiry *expiry)
{
	for (uint32_t at = 0, child; (child = 2 * at + 1) < expiry->count; at = child) {
		if (child + 1 < expiry->count && before(expiry, child + 1, child))
			child++;
		if (!before(expiry, child, at))
			return;
		swap(expiry, at, child);
	}
}

bool expiry_take(struct expiry *expiry, int64_t now_us, struct expiry_entry *ret)
{
	if (expiry->count == 0 || expiry->entries[0].at_us > now_us)
		return false;
	*ret = expiry->entries[0];
	expiry->entries[0] = expiry->entries[--expiry->count];
	sink(expiry);
	return true;
}
