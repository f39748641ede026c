#include "cursor.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { TIME_BYTES = 8, PLACE_BYTES = TIME_BYTES + sizeof(struct uuid) };

void cursor_format(const struct store_page *last, char out[CURSOR_SIZE])
{
	uint8_t place[PLACE_BYTES];
	for (size_t i = 0; i < TIME_BYTES; i++)
		place[i] = (uint8_t)((uint64_t)last->created_at_us >> (8 * (TIME_BYTES - 1 - i)));
	memcpy(place + TIME_BYTES, last->id.bytes, sizeof(last->id.bytes));
	num_hex(place, sizeof(place), out);
}

static int parse(const char *text, struct store_page *ret)
{
	uint8_t place[PLACE_BYTES];
	uint64_t created_at_us = 0;
	if (strlen(text) != CURSOR_SIZE - 1 || num_unhex(text, CURSOR_SIZE - 1, place) < 0)
		return -1;
	for (size_t i = 0; i < TIME_BYTES; i++)
		created_at_us = created_at_us << 8 | place[i];
	memcpy(ret->id.bytes, place + TIME_BYTES, sizeof(ret->id.bytes));
	ret->created_at_us = (int64_t)created_at_us;
	/* A time that Postgres cannot hold was not written by us. */
	return ret->created_at_us > 0 && ret->created_at_us < INT64_C(1) << 53 ? 0 : -1;
}

struct cursor *cursor_new(const char *limit, const char *cursor, struct store_page *ret_page,
                          struct err *err)
{
	int64_t rows = CURSOR_LIMIT_DEFAULT;
	*ret_page = (struct store_page){0};
	if (limit && num_i64(limit, strlen(limit), 1, CURSOR_LIMIT_MAX, &rows) < 0) {
		(void)err_set(err, ERR_REJECT, "bad_request", "limit must be between 1 and %d",
		              CURSOR_LIMIT_MAX);
		return NULL;
	}
	if (cursor && parse(cursor, ret_page) < 0) {
		(void)err_set(err, ERR_REJECT, "bad_request", "cursor is not one of ours");
		return NULL;
	}
	struct cursor *page = calloc(1, sizeof(*page));
	if (!page)
		(void)err_oom(err);
	else
		page->limit = rows;
	return page;
}

void cursor_free(void *cursor)
{
	free(cursor);
}
