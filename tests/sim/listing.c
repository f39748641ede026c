#include "listing.h"

#include <stdlib.h>
#include <string.h>

/* True when the page cannot be read straight off the roster. */
static bool is_filtered(const struct settings *settings, const struct listing_query *query)
{
	return query->status || query->template || query->paused != LISTING_ANY ||
	       settings->cache_lag_ms > 0 || settings->list_cluster_cap > 0 ||
	       settings->list_drop_cluster[0];
}

static bool shows(const struct world *world, const struct sandbox *sandbox,
                  const struct listing_query *query)
{
	if (sandbox->visible_us > world->now_us)
		return false;
	if (query->status && strcmp(query->status, world_status(world, sandbox)) != 0)
		return false;
	if (query->template &&
	    strcmp(query->template, ids_text(&world->templates, sandbox->template)) != 0)
		return false;
	return query->paused == LISTING_ANY || sandbox->paused == (query->paused == LISTING_PAUSED);
}

/* How many of each cluster were seen: the scheduler asks each for its newest and for no more. A
 * sandbox without a cluster counts under the last number. */
struct fan_out {
	int64_t *seen;
	uint32_t clusters, dropped; /* dropped: IDS_NONE: none */
	int64_t cap;                /* 0: none */
};

static bool passes(struct fan_out *fan_out, uint32_t cluster)
{
	if (cluster != IDS_NONE && cluster == fan_out->dropped)
		return false;
	uint32_t at = cluster == IDS_NONE ? fan_out->clusters : cluster;
	return !fan_out->seen || fan_out->seen[at]++ < fan_out->cap;
}

static void page_filtered(struct world *world, const struct settings *settings,
                          struct roster *roster, const struct listing_query *query,
                          struct listing_page *page)
{
	const char *drop = settings->list_drop_cluster;
	struct fan_out fan_out = {.clusters = world->clusters.count,
	                          .dropped = ids_find(&world->clusters, drop, strlen(drop)),
	                          .cap = settings->list_cluster_cap};
	if (fan_out.cap > 0)
		fan_out.seen = calloc((size_t)fan_out.clusters + 1, sizeof(*fan_out.seen));
	uint32_t slot;
	for (uint32_t at = roster_walk(roster); roster_older(roster, &at, &slot);) {
		const struct sandbox *sandbox = world_sandbox(world, slot);
		if (!shows(world, sandbox, query) || !passes(&fan_out, sandbox->cluster))
			continue;
		if (page->count++ >= query->offset && page->slot_count < query->limit)
			page->slots[page->slot_count++] = slot;
	}
	free(fan_out.seen);
}

static void page_plain(struct roster *roster, const struct listing_query *query,
                       struct listing_page *page)
{
	page->count = roster->there;
	int64_t end = query->offset + query->limit;
	for (int64_t n = query->offset; n < end && n < page->count; n++)
		page->slots[page->slot_count++] = roster_nth_newest(roster, (uint32_t)n);
}

/* Rows that are there are not shown, or the numbers around them do not fit them. */
static void spoil(struct world *world, const struct settings *settings,
                  const struct listing_query *query, struct listing_page *page)
{
	uint32_t full = page->slot_count, kept = 0;
	if (settings->list_has_more_at_end && full == query->limit)
		page->has_more = true;
	if (settings->list_half_page)
		full /= 2;
	for (uint32_t i = 0; i < full; i++)
		if (!world_chance(world, settings->list_skip_percent))
			page->slots[kept++] = page->slots[i];
	page->slot_count = kept;
	page->count += settings->list_count_delta;
	if (page->count < 0)
		page->count = 0;
}

/* The set moves while it is being paged through: rows that went from the front make every later page
 * begin too late, rows that came make it begin too early. */
static struct listing_query shifted(const struct settings *settings,
                                    const struct listing_query *query)
{
	struct listing_query moved = *query;
	if (settings->list_shift && query->offset < WORLD_THINGS_MAX)
		moved.offset += settings->list_shift * (query->offset / query->limit);
	if (moved.offset < 0)
		moved.offset = 0;
	return moved;
}

void listing_sandboxes(struct world *world, uint32_t team, const struct listing_query *asked,
                       struct listing_page *ret)
{
	const struct settings *settings = world_settings(world, team);
	struct listing_query moved = shifted(settings, asked), *query = &moved;
	ret->slot_count = 0;
	ret->count = 0;
	ret->has_more = false;
	if (team == IDS_NONE || settings->list_empty)
		return;
	struct roster *roster = &world_team_at(world, team)->sandboxes;
	if (is_filtered(settings, query))
		page_filtered(world, settings, roster, query, ret);
	else
		page_plain(roster, query, ret);
	ret->has_more = query->offset + ret->slot_count < ret->count && ret->slot_count > 0;
	spoil(world, settings, query, ret);
}

uint32_t listing_volumes(struct world *world, uint32_t team, void (*fn)(void *arg, uint32_t slot),
                         void *arg)
{
	const struct settings *settings = world_settings(world, team);
	if (team == IDS_NONE || settings->volume_list_empty)
		return 0;
	struct roster *roster = &world_team_at(world, team)->volumes;
	uint32_t slot, shown = 0;
	for (uint32_t at = roster_walk(roster); roster_older(roster, &at, &slot);) {
		if (world_chance(world, settings->volume_list_skip_percent))
			continue;
		fn(arg, slot);
		shown++;
	}
	return shown;
}
