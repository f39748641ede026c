/* Where a page of a list begins: an opaque text for clients, a place in the order for us. */
#ifndef API_CURSOR_H
#define API_CURSOR_H

#include "sql/store_api.h"

enum { CURSOR_SIZE = 49, CURSOR_LIMIT_MAX = 1000, CURSOR_LIMIT_DEFAULT = 100 };

/* 48 hex digits and a NUL. */
void cursor_format(const struct store_page *last, char out[CURSOR_SIZE]);

/* A page under construction. */
struct cursor {
	int64_t limit;          /* rows that the client gets */
	struct store_page last; /* the row that was written last */
	bool more;
};
/* From the query's values, NULL where absent; *ret_page gets the place that it begins at. NULL and *err:
 * ERR_REJECT with the words for the client, ERR_RETRY without memory. */
struct cursor *cursor_new(const char *limit, const char *cursor, struct store_page *ret_page,
                          struct err *err) MUST_CHECK;
void cursor_free(void *cursor);

#endif
