/* Who of one team is there, in the order of creation, with the n-th newest in O(log n): a
 * listing is paged by offset, and a million rows must not make page 5,000 slow. A sorted array with
 * a Fenwick tree of what is still there over it. */
#ifndef SIM_ROSTER_H
#define SIM_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

struct roster_row {
	int64_t created_us;
	uint32_t slot;
	bool there;
};
struct roster {
	struct roster_row *rows; /* owned, by (created_us, slot) unless unsorted */
	uint32_t *tree;          /* owned, counted from 1 */
	uint32_t count, cap;     /* of rows, those that left included */
	uint32_t there;
	bool unsorted; /* somebody older came later; put in order when next looked at */
};

void roster_done(struct roster *roster); /* safe on {0} */
/* 0, or -1 without memory. */
int roster_add(struct roster *roster, uint32_t slot, int64_t created_us) MUST_CHECK;
/* Takes out what was added with exactly these two. */
void roster_remove(struct roster *roster, uint32_t slot, int64_t created_us);
/* The slot of the n-th newest, counted from 0; n must be less than `there`. */
uint32_t roster_nth_newest(struct roster *roster, uint32_t n);
/* Walks from the newest to the oldest: start with roster_walk(), then ask until it says false.
 * Nothing may be added or removed on the way. */
uint32_t roster_walk(struct roster *roster);
bool roster_older(const struct roster *roster, uint32_t *at, uint32_t *ret_slot);

#endif
