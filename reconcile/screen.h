/* Which ids have certainly not come before: a Bloom filter (B. H. Bloom, 1970) of 8 MiB, whose pages are
 * taken as they are touched. It never misses an id that came again; of those that are new it takes two
 * among the first million for old, and one in a hundred among ten million.
 * Pure: no clock, no I/O. */
#ifndef RECONCILE_SCREEN_H
#define RECONCILE_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

struct screen;
struct screen *screen_new(void) MUST_CHECK; /* NULL without memory */
void screen_free(struct screen *screen);    /* NULL is fine */

/* Takes the hash of an id, 64 bits of any quality. False: it came for the first time. */
bool screen_again(struct screen *screen, uint64_t hash);

#endif
