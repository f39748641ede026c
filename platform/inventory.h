/* What the platform says it has: a page of a listing, one sandbox or volume in full, what a POST made. Pure: bytes
 * in, structs out. Anything that is not of the contract's form is refused as a whole; fields that are not read may
 * be anything. Of what is read:
 *   - an id has 1 to 256 bytes, a mount point 1 to 1024, a template and a status 0 to 256, none with
 *     control characters;
 *   - a time is RFC 3339 and after 1970: Go's zero time and 0 mean "not set", and a thing without a
 *     time of creation would look old enough for anything;
 *   - where null or "" may stand for "none" this is said below. */
#ifndef PLATFORM_INVENTORY_H
#define PLATFORM_INVENTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { INVENTORY_PAGE_MAX = 200, INVENTORY_MOUNTS_MAX = 64 };

/* All functions that read: 0, or -1 and *err: ERR_REJECT "malformed", saying what and where;
 * ERR_RETRY "ENOMEM". *ret is written only on success, and owns memory then. */

struct inventory_item {
	const char *id;
	const char *template_id;      /* sandboxes; else NULL */
	const char *status;           /* sandboxes; else NULL */
	const char *cluster_id;       /* sandboxes, where the scheduler tells it; none: NULL */
	const char *source_volume_id; /* volumes that have one; none: NULL */
	const char *user_id;          /* volumes, whose they are; none: NULL */
	int64_t created_at_us;        /* wall clock */
};
struct inventory_page {
	json_t *json; /* owns every text */
	json_t *rows; /* of it; NULL for an empty listing of volumes */
	size_t count;
	int64_t total; /* sandboxes: `count` of the answer; volumes: -1 */
	bool has_more;
};
/* {"success":true,"data":{"sandboxes":[...],"count":N,"has_more":B}}. Refused: a row without id,
 * template, status or time, a negative count, more than INVENTORY_PAGE_MAX rows. Whether the count
 * fits the rows, and whether a row comes twice, is not judged here. */
int inventory_sandboxes(const char *body, size_t len, struct inventory_page *ret,
                        struct err *err) MUST_CHECK;
/* {"success":true,"data":[...]}; a null is an empty list, an absent one is refused. */
int inventory_volumes(const char *body, size_t len, struct inventory_page *ret,
                      struct err *err) MUST_CHECK;
/* Row `at` of a page; never fails, the page was checked. Texts live as long as the page. */
void inventory_item(const struct inventory_page *page, size_t at, struct inventory_item *ret);
void inventory_page_done(struct inventory_page *page); /* for AUTO; safe on {0} */

struct inventory_mount {
	const char *volume_id, *mount_point;
};
struct inventory_sandbox {
	json_t *json;     /* owns every text */
	json_t *services; /* of it, an array of objects; NULL: none */
	const char *id, *team_id, *template_id, *status;
	/* SANDSWEEP_RUNTIME in the environment of any of its services; NULL: none, or a text that is no
	 * id and so cannot be ours. */
	const char *marker;
	struct inventory_mount mounts[INVENTORY_MOUNTS_MAX];
	size_t mount_count;
	int64_t created_at_us;
};
/* {"success":true,"data":{...}} of GET /sandboxes/{id}; services, a service's runtime, its env_vars and
 * mounts may be absent or null. Refused besides: a marker that is no text, two that differ, more than
 * INVENTORY_MOUNTS_MAX mounts. That it is the sandbox that was asked for is not judged here. */
int inventory_sandbox(const char *body, size_t len, struct inventory_sandbox *ret,
                      struct err *err) MUST_CHECK;
/* The first service with this `id`, borrowed; NULL: there is none. */
json_t *inventory_service(const struct inventory_sandbox *sandbox, const char *id);
void inventory_sandbox_done(struct inventory_sandbox *sandbox); /* for AUTO; safe on {0} */

struct inventory_volume {
	json_t *json; /* owns every text */
	const char *id, *team_id;
	const char *user_id; /* whose it is; none: NULL */
	int64_t created_at_us;
};
/* {"success":true,"data":{...}} of GET /sandboxvolumes/{id}. That it is the volume that was asked for is not
 * judged here. (What mounts it the platform does not say.) */
int inventory_volume(const char *body, size_t len, struct inventory_volume *ret,
                     struct err *err) MUST_CHECK;
void inventory_volume_done(struct inventory_volume *volume); /* for AUTO; safe on {0} */

struct inventory_made {
	json_t *json; /* owns every text */
	const char *id;
	const char *user_id; /* volumes, whose it is; none: NULL */
};
/* {"success":true,"data":{...}} of the 201 to a POST: a snapshot or a volume. */
int inventory_made(const char *body, size_t len, struct inventory_made *ret,
                   struct err *err) MUST_CHECK;
void inventory_made_done(struct inventory_made *made); /* for AUTO; safe on {0} */

#endif
