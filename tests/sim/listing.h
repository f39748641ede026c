/* What the platform's listings show of the world, with the ways in which they are wrong:
 * each of them has its setting. */
#ifndef SIM_LISTING_H
#define SIM_LISTING_H

#include "volumes.h"

enum { LISTING_LIMIT_DEFAULT = 50, LISTING_LIMIT_MAX = 200 };
enum listing_paused { LISTING_ANY, LISTING_PAUSED, LISTING_NOT_PAUSED };

struct listing_query {
	const char *status;   /* NULL: any */
	const char *template; /* NULL: any */
	enum listing_paused paused;
	int64_t limit, offset; /* limit at most LISTING_LIMIT_MAX */
};
struct listing_page {
	uint32_t slots[LISTING_LIMIT_MAX];
	uint32_t slot_count;
	int64_t count; /* of all matches, as the platform says */
	bool has_more;
};

/* A page of a team's sandboxes, newest first. `team` may be IDS_NONE: nothing. */
void listing_sandboxes(struct world *world, uint32_t team, const struct listing_query *query,
                       struct listing_page *ret);

/* Calls fn for every volume that the listing shows, newest first. Returns how many. */
uint32_t listing_volumes(struct world *world, uint32_t team, void (*fn)(void *arg, uint32_t slot),
                         void *arg);

#endif
