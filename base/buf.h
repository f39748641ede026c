/* A byte buffer that is born with its maximum. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macros.h"

struct buf {
	char *data; /* owned; NUL-terminated whenever it is not NULL */
	size_t len;
	size_t cap;
	size_t max;  /* bytes of content, the NUL not counted */
	bool failed; /* an append did not fit or found no memory; content is then incomplete */
};

/* Appends nothing yet and allocates nothing. */
void buf_init(struct buf *buf, size_t max);
/* Frees the content and leaves an empty buffer with the same maximum. Safe on {0}. */
void buf_done(struct buf *buf);
/* Keeps the memory, drops the content and the failure. */
void buf_clear(struct buf *buf);

/* Appends. Each returns 0, or -1 and sets `failed` (which stays set, so that a chain of appends
 * can be checked once at its end). */
int buf_add(struct buf *buf, const void *data, size_t len);
int buf_str(struct buf *buf, const char *text);
int buf_char(struct buf *buf, char c);
int buf_i64(struct buf *buf, int64_t value);
int buf_printf(struct buf *buf, const char *fmt, ...) PRINTF(2, 3);
/* Appends `text` with everything but RFC 3986 unreserved characters as %XX. */
int buf_percent(struct buf *buf, const char *text);

/* The content as a string the caller frees; the buffer is empty after. NULL when `failed`
 * or when no memory is left for an empty string. */
char *buf_take(struct buf *buf);

#endif
