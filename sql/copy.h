/* Rows for COPY ... FROM STDIN in Postgres' text format: values of one row in the order of its columns,
 * then the end of the row. A value that does not fit marks the buffer as failed. Pure: no connection. */
#ifndef SQL_COPY_H
#define SQL_COPY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/uuid.h"

void copy_text(struct buf *rows, const char *value);        /* NULL: SQL NULL */
void copy_uuid(struct buf *rows, const struct uuid *value); /* nil: SQL NULL */
/* Wall clock, microseconds since 1970; years 1 to 9999, anything outside is clamped. */
void copy_time(struct buf *rows, int64_t wall_us);
void copy_row_end(struct buf *rows);

#endif
