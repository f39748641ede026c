/* The bodies of POST /api/v1/functions and POST .../revisions: from where a revision is published. Pure. */
#ifndef API_PUBLISH_REQUEST_H
#define API_PUBLISH_REQUEST_H

#include "base/json.h"
#include "service_object.h"
#include "sql/store_api.h"

enum { PUBLISH_MOUNTS_MAX = 64, PUBLISH_ID_MAX = 255 };

struct publish_request {
	json_t *body; /* owns everything below */
	/* Of a new function (otherwise as if nothing were said): change.name is NULL when none was given,
	 * autoscaling always filled. */
	struct store_function_change change;
	bool promote;       /* of a new function: true */
	json_t *provenance; /* NULL: none */
	/* A sandbox's service: */
	const char *sandbox_id, *service_id; /* trimmed of nothing; NULL for a specification */
	/* or a specification: */
	json_t *spec;            /* NULL for a sandbox's service */
	const char *template_id; /* of it */
	struct service service;  /* of it */
	json_t *service_object;
	json_t *
	    mounts; /* owned by `body` too: [{"sandboxvolume_id","mount_point"}], as a revision keeps them */
};

/* Fills *ret, which the caller releases; `creates`: the body is that of a new function. -1 and *err:
 * ERR_REJECT with the words for the client, ERR_RETRY without memory. Whether the service can be published
 * is not judged here. */
int publish_request_decode(const char *text, size_t len, bool creates, struct publish_request *ret,
                           struct err *err) MUST_CHECK;
void publish_request_done(struct publish_request *request); /* for AUTO; safe on {0} */

#endif
