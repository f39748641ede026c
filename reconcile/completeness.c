#include "completeness.h"

#include "base/macros.h"

const char *completeness_name(enum completeness c)
{
	static const char *const names[LISTING_KINDS] = {
	    [LISTING_COMPLETE] = "complete", [LISTING_UNFINISHED] = "unfinished",
	    [LISTING_ERROR] = "error",       [LISTING_SHORT] = "short",
	    [LISTING_COUNT] = "count",       [LISTING_MOVED] = "moved",
	    [LISTING_CAPPED] = "capped",     [LISTING_EMPTY] = "empty",
	    [LISTING_REPEAT] = "repeat",
	};
	return (unsigned)c < LISTING_KINDS ? names[c] : "unknown";
}

uint64_t listing_hash(uint64_t hash, const char *id)
{
	for (;; id++) {
		hash = (hash ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
		if (!*id)
			return hash;
	}
}

void listing_check_init(struct listing_check *check, int64_t page_rows, bool expects_some)
{
	*check = (struct listing_check){
	    .page_rows = page_rows,
	    .total = -1,
	    .expects_some = expects_some,
	};
}

static void wrong(struct listing_check *check, enum completeness why)
{
	if (check->verdict == LISTING_COMPLETE)
		check->verdict = why;
}

/* One page's part in the sum that says which pages came: the finalizer of splitmix64. A sum, because the
 * order is free; hashes, because two wrong offsets must not add up to two right ones. */
static uint64_t offset_hash(int64_t offset)
{
	uint64_t x = (uint64_t)offset + UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static int64_t rows_due(const struct listing_check *check, int64_t offset)
{
	int64_t left = check->total > offset ? check->total - offset : 0;
	return left < check->page_rows ? left : check->page_rows;
}

/* The last page may say that more follows even where nothing does (the scheduler does so when a page ends
 * exactly at the total), so only the other way round is a contradiction. */
static void check_rows(struct listing_check *check, const struct listing_page_facts *page)
{
	int64_t due = rows_due(check, page->offset);
	bool ends_early = !page->has_more && page->offset + page->rows < check->total;
	if (page->total == check->total && page->rows < due)
		wrong(check, LISTING_SHORT);
	else if (page->total != check->total || page->rows > due || ends_early)
		wrong(check, LISTING_COUNT);
}

void listing_check_page(struct listing_check *check, const struct listing_page_facts *page)
{
	bool unpaged = page->total < 0;
	if (page->offset == 0 && !check->first_seen) {
		check->first_seen = true;
		check->first_hash = page->hash;
		check->total = unpaged ? page->rows : page->total;
		if (unpaged)
			check->page_rows = page->rows > 0 ? page->rows : 1;
	}
	if (!unpaged)
		check_rows(check, page);
	else if (page->rows != check->total)
		wrong(check, LISTING_COUNT);
	/* A page behind the end only shows that nothing is there: it need not come. */
	if (page->offset == 0 || page->offset < check->total)
		check->offsets += offset_hash(page->offset);
	check->rows += page->rows;
	check->pages++;
}

void listing_check_cluster(struct listing_check *check, const char *cluster_id)
{
	uint64_t hash = listing_hash(LISTING_HASH_SEED, cluster_id ? cluster_id : "");
	int at = 0;
	while (at < check->cluster_count && check->clusters[at].hash != hash)
		at++;
	if (at == LISTING_CLUSTERS_MAX) {
		/* Which of so many is full cannot be told any more. */
		wrong(check, LISTING_CAPPED);
		return;
	}
	if (at == check->cluster_count) {
		check->clusters[at].hash = hash;
		check->cluster_count++;
	}
	check->clusters[at].rows++;
}

void listing_check_again(struct listing_check *check, const struct listing_page_facts *first_page)
{
	int64_t total = first_page->total < 0 ? first_page->rows : first_page->total;
	check->again_seen = true;
	if (!check->first_seen)
		wrong(check, LISTING_UNFINISHED);
	else if (first_page->hash != check->first_hash)
		wrong(check, LISTING_MOVED);
	else if (total != check->total)
		wrong(check, LISTING_COUNT);
}

void listing_check_error(struct listing_check *check)
{
	wrong(check, LISTING_ERROR);
}

/* `rows` is what came, so this is never longer than the listing was. */
static bool every_page_came(const struct listing_check *check)
{
	uint64_t offsets = offset_hash(0);
	if (!check->first_seen || check->rows != check->total)
		return false;
	for (int64_t at = check->page_rows; at < check->total; at += check->page_rows)
		offsets += offset_hash(at);
	return offsets == check->offsets;
}

static bool capped(const struct listing_check *check)
{
	for (int i = 0; i < check->cluster_count; i++)
		if (check->clusters[i].rows == LISTING_CLUSTER_CAP)
			return true;
	return false;
}

enum completeness listing_check_verdict(const struct listing_check *check)
{
	if (check->verdict != LISTING_COMPLETE)
		return check->verdict;
	if (!check->again_seen || !every_page_came(check))
		return LISTING_UNFINISHED;
	if (check->total == 0 && check->expects_some)
		return LISTING_EMPTY;
	return capped(check) ? LISTING_CAPPED : LISTING_COMPLETE;
}
