#include "request.h"

#include <string.h>

#include "inventory.h"

enum { ID_MAX_BYTES = 256 };

static const struct {
	const char *method, *path, *middle;                 /* path [parent middle] [id] */
	enum { ONE, LISTING, LISTING_PAGED, MAKING } shape; /* only ONE has an id */
} ops[PLATFORM_OP_COUNT] = {
    [PLATFORM_SANDBOX_DELETE] = {"DELETE", "/api/v1/sandboxes/", NULL},
    [PLATFORM_SANDBOX_GET] = {"GET", "/api/v1/sandboxes/", NULL},
    [PLATFORM_VOLUME_DELETE] = {"DELETE", "/api/v1/sandboxvolumes/", NULL},
    [PLATFORM_VOLUME_GET] = {"GET", "/api/v1/sandboxvolumes/", NULL},
    [PLATFORM_SNAPSHOT_DELETE] = {"DELETE", "/api/v1/sandboxvolumes/", "/snapshots/"},
    [PLATFORM_SANDBOX_LIST] = {"GET", "/api/v1/sandboxes", NULL, LISTING_PAGED},
    [PLATFORM_VOLUME_LIST] = {"GET", "/api/v1/sandboxvolumes", NULL, LISTING},
    [PLATFORM_SNAPSHOT_CREATE] = {"POST", "/api/v1/sandboxvolumes/", "/snapshots", MAKING},
    [PLATFORM_VOLUME_CREATE] = {"POST", "/api/v1/sandboxvolumes", NULL, MAKING},
};

const char *platform_op_method(enum platform_op op)
{
	return ops[op].method;
}

bool platform_op_lists(enum platform_op op)
{
	return ops[op].shape == LISTING || ops[op].shape == LISTING_PAGED;
}

bool platform_op_makes(enum platform_op op)
{
	return ops[op].shape == MAKING;
}

/* An empty id would name the collection. "." and ".." leave here as they are, but whatever stands
 * between us and the platform may resolve them (even as %2E), and DELETE .../{volume}/snapshots/..
 * would then be the volume's. */
static bool id_fits(const char *id)
{
	return id && *id && strlen(id) <= ID_MAX_BYTES && strcmp(id, ".") != 0 && strcmp(id, "..") != 0;
}

/* Far below the size from which on libcurl would ask for leave first (Expect: 100-continue). */
static bool body_fits(const char *body)
{
	return body && *body && strlen(body) <= PLATFORM_REQUEST_MAX_BYTES;
}

static int check(const struct platform_request *request, struct err *err)
{
	int shape = ops[request->op].shape;
	if ((shape == ONE && !id_fits(request->id)) ||
	    (ops[request->op].middle && !id_fits(request->parent_id)))
		return err_set(err, ERR_REJECT, "bad_id",
		               "an id that is empty, \".\", \"..\" or longer than %d bytes", ID_MAX_BYTES);
	if (shape == LISTING_PAGED &&
	    (request->limit < 1 || request->limit > INVENTORY_PAGE_MAX || request->offset < 0))
		return err_set(err, ERR_REJECT, "bad_page", "not 1 to %d rows from 0 on",
		               INVENTORY_PAGE_MAX);
	if (shape == MAKING ? !body_fits(request->body) : request->body != NULL)
		return err_set(err, ERR_REJECT, "bad_body",
		               "a POST takes 1 to %d bytes of JSON, any other call none",
		               PLATFORM_REQUEST_MAX_BYTES);
	return 0;
}

int platform_request_path(const struct platform_request *request, struct buf *path, struct err *err)
{
	const char *middle = ops[request->op].middle;
	if (check(request, err) < 0)
		return -1;
	buf_clear(path);
	(void)buf_str(path, ops[request->op].path);
	if (middle) {
		(void)buf_percent(path, request->parent_id);
		(void)buf_str(path, middle);
	}
	if (ops[request->op].shape == ONE)
		(void)buf_percent(path, request->id);
	if (ops[request->op].shape == LISTING_PAGED)
		(void)buf_printf(path, "?limit=%lld&offset=%lld", (long long)request->limit,
		                 (long long)request->offset);
	return path->failed ? err_oom(err) : 0;
}
