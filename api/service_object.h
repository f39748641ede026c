/* A service of a sandbox, as a revision keeps it (contract 1.5): what is well-formed, and what can be
 * published. Pure. */
#ifndef API_SERVICE_OBJECT_H
#define API_SERVICE_OBJECT_H

#include "base/json.h"

enum { SERVICE_BLOCKERS_MAX = 2, SERVICE_TEXT_MAX = 65536 };

struct service {
	const char *id, *display_name /* NULL: none */; /* borrowed from the object */
	/* Why it cannot be published, as the contract words it. */
	const char *blockers[SERVICE_BLOCKERS_MAX];
	size_t blocker_count;
};
/* Every field that the contract names has its type; null counts as absent, others are ignored. A route's
 * auth without a mode is given "none", which clients want to read.
 * -1 and *err: ERR_REJECT, saying which is not as it must be; ERR_RETRY without memory. */
int service_read(json_t *object, struct service *ret, struct err *err) MUST_CHECK;

#endif
