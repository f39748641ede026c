/* Functions and runtimes as the API shows them (contract 1.2 and 1.4). */
#ifndef API_FUNCTION_JSON_H
#define API_FUNCTION_JSON_H

#include "base/buf.h"
#include "sql/store_publish.h"

/* Where function hosts live: ".REGION.ROOT" or ".ROOT", in lower case. */
enum { FUNCTION_JSON_SUFFIX_SIZE = 256 };
/* `region` may be "". 0, or -1 when it does not fit. */
int function_json_suffix(const char *region, const char *root_domain,
                         char out[FUNCTION_JSON_SUFFIX_SIZE]);

/* Append one object; the buffer's `failed` says whether it fitted. What is absent is left out,
 * never null. */
void function_json(struct buf *out, const struct store_function *function, const char *host_suffix);
void function_json_runtime(struct buf *out, const struct store_runtime *runtime);

/* A revision, an alias. Texts that are JSON in the row are written as they are. */
void function_json_revision(struct buf *out, const struct store_revision *revision);
void function_json_alias(struct buf *out, const struct store_alias *alias);

/* What is still to be removed: opens an object up to the array of resources, which the caller fills, and
 * closes with "]}". */
void function_json_cleanup(struct buf *out, const struct store_cleanup *cleanup);
void function_json_resource(struct buf *out, const struct store_cleanup *cleanup);

#endif
