/* What the platform says it has: a page of a listing, and one sandbox in full. Pure: bytes in, structs
 * out. Anything that is not of the contract's form is refused as a whole. */
#ifndef PLATFORM_INVENTORY_H
#define PLATFORM_INVENTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { INVENTORY_PAGE_MAX = 200, INVENTORY_MOUNTS_MAX = 64 };

struct inventory_item {
	const char *id;
	const char *template_id;      /* sandboxes; else NULL */
	const char *status;           /* sandboxes; else NULL */
	const char *cluster_id;       /* sandboxes, where the scheduler tells it; else NULL */
	const char *source_volume_id; /* volumes that have one; else NULL */
	int64_t created_at_us;        /* wall clock */
};
struct inventory_page {
	json_t *json; /* owns every text */
	json_t *rows; /* of it */
	size_t count;
	int64_t total; /* sandboxes: `count` of the answer; volumes: -1 */
	bool has_more;
};
/* {"success":true,"data":{"sandboxes":[...],"count":N,"has_more":B}}. ERR_REJECT "malformed" for any
 * other form: a row without id, template or time, a negative count, more than INVENTORY_PAGE_MAX rows. */
int inventory_sandboxes(const char *body, size_t len, struct inventory_page *ret,
                        struct err *err) MUST_CHECK;
/* {"success":true,"data":[...]} ; null is an empty list. */
int inventory_volumes(const char *body, size_t len, struct inventory_page *ret,
                      struct err *err) MUST_CHECK;
/* Row `at` of a page; never fails, the page was checked. Texts live as long as the page. */
void inventory_item(const struct inventory_page *page, size_t at, struct inventory_item *ret);
void inventory_page_done(struct inventory_page *page); /* for AUTO; safe on {0} */

struct inventory_sandbox {
	json_t *json; /* owns every text */
	const char *id, *team_id, *template_id, *status;
	const char
	    *marker; /* SANDSWEEP_RUNTIME in the environment of any of its services; NULL: none */
	const char *mounts[INVENTORY_MOUNTS_MAX]; /* volume ids */
	size_t mount_count;
	int64_t created_at_us;
};
/* {"success":true,"data":{...}} of GET /sandboxes/{id}. ERR_REJECT "malformed". */
int inventory_sandbox(const char *body, size_t len, struct inventory_sandbox *ret,
                      struct err *err) MUST_CHECK;
void inventory_sandbox_done(struct inventory_sandbox *sandbox);

#endif
