#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reconcile/completeness.h"

enum { PAGE = 10, PAGES_MAX = 6 };

struct facts {
	int64_t offset, rows, total;
	bool has_more;
	uint64_t hash; /* 0: one that follows from the offset */
};
struct listing {
	const char *name;
	bool expects_some;
	int count;
	struct facts pages[PAGES_MAX];
	bool no_again, failed;
	struct facts again;
	enum completeness want;
};

#define FULL(at, total)          \
	{                            \
		at, PAGE, total, true, 0 \
	}
#define LAST(at, rows, total)     \
	{                             \
		at, rows, total, false, 0 \
	}
#define AGAIN(total) .again = FULL(0, total)

static const struct listing listings[] = {
    {"one page", true, 1, {LAST(0, 3, 3)}, .again = LAST(0, 3, 3), .want = LISTING_COMPLETE},
    {"nothing, and nothing expected",
     false,
     1,
     {LAST(0, 0, 0)},
     .again = LAST(0, 0, 0),
     .want = LISTING_COMPLETE},
    {"three pages",
     true,
     3,
     {FULL(0, 25), FULL(10, 25), LAST(20, 5, 25)},
     AGAIN(25),
     .want = LISTING_COMPLETE},
    {"in another order",
     true,
     3,
     {FULL(0, 25), LAST(20, 5, 25), FULL(10, 25)},
     AGAIN(25),
     .want = LISTING_COMPLETE},
    {"exactly full", true, 2, {FULL(0, 20), LAST(10, 10, 20)}, AGAIN(20), .want = LISTING_COMPLETE},
    {"more is said to follow at the very end",
     true,
     2,
     {FULL(0, 20), FULL(10, 20)},
     AGAIN(20),
     .want = LISTING_COMPLETE},
    {"and a page behind it is empty",
     true,
     3,
     {FULL(0, 20), FULL(10, 20), LAST(20, 0, 20)},
     AGAIN(20),
     .want = LISTING_COMPLETE},
    {"and a page behind it is not",
     true,
     3,
     {FULL(0, 20), FULL(10, 20), LAST(20, 1, 20)},
     AGAIN(20),
     .want = LISTING_COUNT},
    {"unpaged", true, 1, {LAST(0, 350, -1)}, .again = LAST(0, 350, -1), .want = LISTING_COMPLETE},
    {"unpaged and empty",
     true,
     1,
     {LAST(0, 0, -1)},
     .again = LAST(0, 0, -1),
     .want = LISTING_EMPTY},
    {"unpaged, another number the second time",
     true,
     1,
     {LAST(0, 3, -1)},
     .again = LAST(0, 4, -1),
     .want = LISTING_COUNT},

    {"nothing yet", true, 0, {{0}}, .no_again = true, .want = LISTING_UNFINISHED},
    {"a page is missing",
     true,
     2,
     {FULL(0, 25), LAST(20, 5, 25)},
     AGAIN(25),
     .want = LISTING_UNFINISHED},
    {"a page came twice in place of another",
     true,
     4,
     {FULL(0, 35), FULL(10, 35), FULL(10, 35), LAST(30, 5, 35)},
     AGAIN(35),
     .want = LISTING_UNFINISHED},
    {"no second look", true, 1, {LAST(0, 3, 3)}, .no_again = true, .want = LISTING_UNFINISHED},
    {"only a second look", true, 0, {{0}}, .again = LAST(0, 3, 3), .want = LISTING_UNFINISHED},

    {"empty where something is",
     true,
     1,
     {LAST(0, 0, 0)},
     .again = LAST(0, 0, 0),
     .want = LISTING_EMPTY},
    {"half a page", true, 1, {LAST(0, 5, 10)}, .again = LAST(0, 5, 10), .want = LISTING_SHORT},
    {"half a page in the middle",
     true,
     3,
     {FULL(0, 25), {10, 5, 25, true, 0}, LAST(20, 5, 25)},
     AGAIN(25),
     .want = LISTING_SHORT},
    {"one row is skipped",
     true,
     2,
     {FULL(0, 15), LAST(10, 4, 15)},
     AGAIN(15),
     .want = LISTING_SHORT},
    {"the end says that there is more",
     true,
     2,
     {FULL(0, 15), {10, 4, 15, true, 0}},
     AGAIN(15),
     .want = LISTING_SHORT},
    {"one row too many", true, 2, {FULL(0, 15), LAST(10, 6, 15)}, AGAIN(15), .want = LISTING_COUNT},
    {"more than a page",
     true,
     1,
     {LAST(0, 11, 11)},
     .again = LAST(0, 11, 11),
     .want = LISTING_COUNT},
    {"it grew", true, 2, {FULL(0, 15), LAST(10, 6, 16)}, AGAIN(15), .want = LISTING_COUNT},
    {"it shrank", true, 2, {FULL(0, 15), LAST(10, 4, 14)}, AGAIN(15), .want = LISTING_COUNT},
    {"it grew before the second look",
     true,
     1,
     {LAST(0, 3, 3)},
     .again = LAST(0, 4, 4),
     .want = LISTING_COUNT},
    {"the middle says that it is the end",
     true,
     2,
     {LAST(0, 10, 15), LAST(10, 5, 15)},
     AGAIN(15),
     .want = LISTING_COUNT},
    {"another first page",
     true,
     1,
     {LAST(0, 3, 3)},
     .again = {0, 3, 3, false, 77},
     .want = LISTING_MOVED},
    {"another first page, and another number",
     true,
     1,
     {LAST(0, 3, 3)},
     .again = {0, 4, 4, false, 77},
     .want = LISTING_MOVED},
    {"a page failed",
     true,
     1,
     {FULL(0, 15)},
     .failed = true,
     .no_again = true,
     .want = LISTING_ERROR},
    {"the first thing that was wrong counts",
     true,
     2,
     {FULL(0, 15), LAST(10, 4, 15)},
     .again = {0, 10, 15, true, 77},
     .want = LISTING_SHORT},
    {"a number beyond all sense",
     true,
     1,
     {FULL(0, INT64_MAX)},
     AGAIN(INT64_MAX),
     .want = LISTING_UNFINISHED},
};

static struct listing_page_facts page_of(const struct facts *facts)
{
	return (struct listing_page_facts){
	    .offset = facts->offset,
	    .rows = facts->rows,
	    .total = facts->total,
	    .has_more = facts->has_more,
	    .hash = facts->hash ? facts->hash : (uint64_t)facts->offset + 1,
	};
}

static void run_listing(struct listing_check *check, const struct listing *listing)
{
	for (int i = 0; i < listing->count; i++) {
		const struct listing_page_facts page = page_of(&listing->pages[i]);
		listing_check_page(check, &page);
	}
	if (listing->failed)
		listing_check_error(check);
	if (!listing->no_again) {
		const struct listing_page_facts page = page_of(&listing->again);
		listing_check_again(check, &page);
	}
}

static void judges_listings(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(listings); i++) {
		struct listing_check check;
		listing_check_init(&check, PAGE, listings[i].expects_some);
		run_listing(&check, &listings[i]);
		enum completeness got = listing_check_verdict(&check);
		if (got != listings[i].want)
			fail_msg("%s: %s, not %s", listings[i].name, completeness_name(got),
			         completeness_name(listings[i].want));
	}
}

/* The scheduler shows the first 200 of every cluster. */
static const struct {
	const char *name;
	int clusters, rows_each; /* 0 clusters: none is told */
	enum completeness want;
} caps[] = {
    {"one below the cap", 1, 199, LISTING_COMPLETE},
    {"at the cap", 1, 200, LISTING_CAPPED},
    {"above: no such cap is there", 1, 201, LISTING_COMPLETE},
    {"two small ones that are 200 together", 2, 100, LISTING_COMPLETE},
    {"two, both at the cap", 2, 200, LISTING_CAPPED},
    {"no cluster is told, below", 0, 199, LISTING_COMPLETE},
    {"no cluster is told, at the cap", 0, 200, LISTING_CAPPED},
    {"as many clusters as are counted", LISTING_CLUSTERS_MAX, 3, LISTING_COMPLETE},
    {"one cluster too many", LISTING_CLUSTERS_MAX + 1, 3, LISTING_CAPPED},
};

static void suspects_caps(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(caps); i++) {
		struct listing_check check;
		int clusters = caps[i].clusters > 0 ? caps[i].clusters : 1;
		int64_t total = (int64_t)clusters * caps[i].rows_each;
		listing_check_init(&check, 1000, true);
		for (int c = 0; c < clusters; c++)
			for (int r = 0; r < caps[i].rows_each; r++) {
				char id[16];
				(void)snprintf(id, sizeof(id), "c%d", c);
				listing_check_cluster(&check, caps[i].clusters > 0 ? id : NULL);
			}
		const struct listing_page_facts page = {.rows = total, .total = total, .hash = 1};
		listing_check_page(&check, &page);
		listing_check_again(&check, &page);
		enum completeness got = listing_check_verdict(&check);
		if (got != caps[i].want)
			fail_msg("%s: %s", caps[i].name, completeness_name(got));
	}
}

/* Two ids must not hash like two others that read the same one after the other. */
static void hashes_ids(void **state)
{
	(void)state;
	uint64_t a = listing_hash(listing_hash(LISTING_HASH_SEED, "ab"), "c");
	uint64_t b = listing_hash(listing_hash(LISTING_HASH_SEED, "a"), "bc");
	uint64_t c = listing_hash(listing_hash(LISTING_HASH_SEED, "c"), "ab");
	assert_true(a != b && a != c && b != c);
	assert_true(listing_hash(LISTING_HASH_SEED, "") != LISTING_HASH_SEED);
}

static void names_are_words(void **state)
{
	(void)state;
	for (int i = 0; i < LISTING_KINDS; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(completeness_name((enum completeness)i),
			                        completeness_name((enum completeness)k));
	assert_string_equal(completeness_name(LISTING_KINDS), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(judges_listings),
	    cmocka_unit_test(suspects_caps),
	    cmocka_unit_test(hashes_ids),
	    cmocka_unit_test(names_are_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
