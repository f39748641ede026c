/* What happens by itself at a time: (time, number) pairs, the earliest first. A binary heap. */
#ifndef SIM_EXPIRY_H
#define SIM_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

struct expiry_entry {
	int64_t at_us;
	uint32_t slot;
};
struct expiry {
	struct expiry_entry *entries; /* owned */
	uint32_t count, cap;
};

void expiry_done(struct expiry *expiry); /* safe on {0} */
/* 0, or -1 without memory. */
int expiry_add(struct expiry *expiry, int64_t at_us, uint32_t slot) MUST_CHECK;
/* Takes the earliest when its time has come (at_us <= now_us). */
bool expiry_take(struct expiry *expiry, int64_t now_us, struct expiry_entry *ret);

#endif
