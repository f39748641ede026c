/* What the halves of a run's store share: listing and finding, and all that comes before and after. */
#ifndef SQL_STORE_RUN_PRIVATE_H
#define SQL_STORE_RUN_PRIVATE_H

#include "base/buf.h"
#include "pg_sync.h"
#include "row.h"
#include "store_reconcile.h"

/* One array parameter of `count` items, a field of each struct in `items`. */
#define ARRAY(params, item_fn, items, count, field)         \
	do {                                                    \
		pg_param_array(params);                             \
		for (int array_i = 0; array_i < (count); array_i++) \
			item_fn((params), (items)[array_i].field);      \
		pg_param_array_end(params);                         \
	} while (0)

enum { STORE_CLASSES = 9 };
enum {
	STORE_ROWS_CHUNK_BYTES = 64 << 10,
	STORE_ROW_BYTES_MAX = 64 << 10,
	STORE_ROWS_FULL_BYTES =
	    12 << 20, /* gathered while the server is busy, before no more is asked for; */
	STORE_ROWS_HELD_BYTES = 16 << 20, /* before it is waited for, whatever is on its way still */
	STORE_ROWS_BYTES_MAX = STORE_ROWS_HELD_BYTES + STORE_ROWS_CHUNK_BYTES + STORE_ROW_BYTES_MAX,
};

/* A diff of this run: its parts, one after the other. */
struct diff {
	bool wanted; /* before it is asked for */
	int64_t grace_ms;
	int parts_done;
	int64_t found;
};

struct store_run {
	struct pg_sync *sync;
	struct buf rows; /* of the COPY, gathered */
	bool locked;
	bool gathered;        /* the teams */
	size_t chunk;         /* bytes gathered since it was last tried to send them */
	bool copied;          /* since the last part of a diff was sent */
	struct diff *diffing; /* whose part was sent, and has no outcome yet; NULL: none */
	struct diff diffs[STORE_CLASSES];
};

struct number_row {
	int64_t number;
};

/* Runs a query whose rows have this shape; returns how many there are. */
int store_ask(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
              const struct row_shape *shape, struct pg_result **ret, struct err *err) MUST_CHECK;
/* The row of a query that has always one. */
int store_one_row(const struct pg_result *res, enum query_id query, const struct row_shape *shape,
                  void *ret, struct err *err) MUST_CHECK;

void store_item_uuid(struct pg_params *params, struct uuid value);

#endif
