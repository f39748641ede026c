/* The one row decoder: a table of columns per result shape. */
#ifndef SQL_ROW_H
#define SQL_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/macros.h"
#include "pg.h"

enum row_type {
	ROW_I64,  /* int64_t from int2, int4, int8; NULL: 0 */
	ROW_BOOL, /* bool; NULL: false */
	ROW_TEXT, /* const char *, borrowed from the result, from text and varchar; NULL: NULL */
	ROW_JSON, /* const char *, borrowed, from jsonb; NULL: NULL */
	ROW_UUID, /* struct uuid; NULL: nil */
	ROW_TIME, /* int64_t, wall clock in microseconds since 1970, from timestamptz; NULL: 0 */
};
struct row_col {
	const char *name;
	enum row_type type;
	size_t offset;
};
struct row_shape {
	const struct row_col *cols;
	int col_count;
	size_t size; /* of the struct */
};

/* A column under the name of its field (a time's without its _us), and the shape of a struct's columns. */
/* clang-format off */
#define COL(type, field, kind) {#field, kind, offsetof(struct type, field)}
#define COL_TIME(type, field) {#field, ROW_TIME, offsetof(struct type, field##_us)}
#define SHAPE(cols, type) {cols, N_OF(cols), sizeof(struct type)}
/* clang-format on */

int row_count(const struct pg_result *res);
/* 0 when the result's columns are those of the shape, in name, order and type; -1 ERR_FATAL otherwise.
 * Call once per result, before row_get. */
int row_check(const struct pg_result *res, const struct row_shape *shape,
              struct err *err) MUST_CHECK;
/* Fills the struct from row `at`; every field is set. Values that a type cannot hold do not occur after
 * row_check. Texts live as long as the result. */
void row_get(const struct pg_result *res, const struct row_shape *shape, int at, void *ret);

#endif
