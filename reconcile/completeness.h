/* Whether a listing may be believed: COMPLETE is a value that only this module can make, and only out of
 * every page. Pure: no clock, no I/O. */
#ifndef RECONCILE_COMPLETENESS_H
#define RECONCILE_COMPLETENESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum completeness {
	LISTING_COMPLETE,
	LISTING_UNFINISHED, /* "unfinished": pages are missing still */
	LISTING_ERROR,      /* "error": a page could not be had */
	LISTING_SHORT,      /* "short": fewer rows came than a page that is not the last must have */
	LISTING_COUNT,      /* "count": the total disagrees between pages, or with the rows that came */
	LISTING_MOVED,      /* "moved": the first page is not the same at the end as at the beginning */
	LISTING_CAPPED,     /* "capped": rows of one cluster, or of all, end exactly at 200 */
	LISTING_EMPTY,      /* "empty": nothing at all, where the ledger says that something is live */
	LISTING_REPEAT,     /* "repeat": an id came twice (found by the database) */
	LISTING_KINDS,
};
const char *completeness_name(enum completeness c); /* "complete", "short", ... */

enum { LISTING_CLUSTER_CAP = 200, LISTING_CLUSTERS_MAX = 64 };

/* One team's listing of one kind, page by page: the first, which tells how many there must be, then the others
 * in any order, then the first once more. */
struct listing_check {
	int64_t page_rows; /* what a full page has */
	int64_t total;     /* what the platform says; -1: not yet */
	int64_t rows, pages;
	uint64_t first_hash; /* of the first page's ids, in order */
	bool expects_some;   /* the ledger holds live things of this kind and team */
	bool first_seen, again_seen;
	enum completeness verdict; /* the first thing that was wrong; LISTING_COMPLETE: nothing yet */
	uint64_t offsets;          /* which pages came, as a sum of hashes */
	int cluster_count;         /* past LISTING_CLUSTERS_MAX: some are not counted */
	struct {
		uint64_t hash;
		int64_t rows;
	} clusters[LISTING_CLUSTERS_MAX];
};
void listing_check_init(struct listing_check *check, int64_t page_rows, bool expects_some);
struct listing_page_facts {
	int64_t offset, rows, total; /* total < 0: this kind of listing has none */
	bool has_more;
	uint64_t hash; /* over the ids of the page, in order */
};
void listing_check_page(struct listing_check *check, const struct listing_page_facts *page);
/* One row of a page (not of the second look) whose cluster was told; NULL: it was not. The scheduler in
 * front of several clusters asks each for its first 200 and knows nothing of the rest, so a cluster with
 * exactly 200 rows may have more. Listings without such a cap are never told of rows. */
void listing_check_cluster(struct listing_check *check, const char *cluster_id);
void listing_check_again(struct listing_check *check, const struct listing_page_facts *first_page);
void listing_check_error(struct listing_check *check);
/* The judgement: what was wrong, as soon as something is; LISTING_UNFINISHED while pages or the second look
 * at the first page are missing. */
enum completeness listing_check_verdict(const struct listing_check *check);

/* FNV-1a over an id and its end, to be fed in turn; begins with LISTING_HASH_SEED. */
#define LISTING_HASH_SEED UINT64_C(0xcbf29ce484222325)
uint64_t listing_hash(uint64_t hash, const char *id);

#endif
