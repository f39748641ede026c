/* From a request to what goes over the wire. Pure: no libcurl, no I/O. */
#ifndef PLATFORM_REQUEST_H
#define PLATFORM_REQUEST_H

#include <stdbool.h>

#include "base/buf.h"
#include "platform.h"

const char *platform_op_method(enum platform_op op); /* "DELETE" */
bool platform_op_lists(enum platform_op op);         /* its answer is a listing */
bool platform_op_makes(enum platform_op op);         /* a POST: not to be repeated */

/* Writes the path, with what follows "?", over what `path` has. 0, or -1 and *err: ERR_REJECT with the
 * codes that platform_send() names, and nothing may be sent then; ERR_RETRY when it did not fit. */
int platform_request_path(const struct platform_request *request, struct buf *path,
                          struct err *err) MUST_CHECK;

#endif
