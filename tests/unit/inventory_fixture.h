/* What test_inventory.c and test_inventory_refused.c stand on: bodies in parts, and the five readers
 * behind one call. */
#ifndef TESTS_UNIT_INVENTORY_FIXTURE_H
#define TESTS_UNIT_INVENTORY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/macros.h"
#include "platform/inventory.h"

/* ---- one reader of the five, as a row of a table ---- */

enum reader { SANDBOXES, VOLUMES, SANDBOX, VOLUME, MADE };

union got {
	struct inventory_page page;
	struct inventory_sandbox sandbox;
	struct inventory_volume volume;
	struct inventory_made made;
};

/* From memory of exactly its size, so that a sanitizer sees a read past it. */
static int read_bytes(enum reader reader, const char *body, size_t len, union got *ret,
                      struct err *err)
{
	char *copy = malloc(len ? len : 1);
	int rc = -1;
	assert_non_null(copy);
	memcpy(copy, body, len);
	switch (reader) {
	case SANDBOXES: rc = inventory_sandboxes(copy, len, &ret->page, err); break;
	case VOLUMES: rc = inventory_volumes(copy, len, &ret->page, err); break;
	case SANDBOX: rc = inventory_sandbox(copy, len, &ret->sandbox, err); break;
	case VOLUME: rc = inventory_volume(copy, len, &ret->volume, err); break;
	case MADE: rc = inventory_made(copy, len, &ret->made, err); break;
	}
	free(copy); /* nothing of the result may need it */
	return rc;
}

static void drop(enum reader reader, union got *got)
{
	if (reader == SANDBOX)
		inventory_sandbox_done(&got->sandbox);
	else if (reader == VOLUME)
		inventory_volume_done(&got->volume);
	else if (reader == MADE)
		inventory_made_done(&got->made);
	else
		inventory_page_done(&got->page);
}

static void must_read(enum reader reader, const char *body, union got *ret)
{
	struct err err = {0};
	if (read_bytes(reader, body, strlen(body), ret, &err) < 0)
		fail_msg("%s: %s", body, err.text);
}

/* ---- bodies ---- */

#define DATA(data) "{\"success\":true,\"data\":" data "}"
#define PAGE_OF(rows, tail) DATA("{\"sandboxes\":[" rows "]," tail "}")
#define ROWS(rows) PAGE_OF(rows, "\"count\":1,\"has_more\":false")
#define VOLS(rows) DATA("[" rows "]")
#define FULL(more)                                                                             \
	DATA("{\"id\":\"sb-1\",\"team_id\":\"t-1\",\"template_id\":\"py\",\"status\":\"running\"," \
	     "\"created_at\":\"2026-01-02T03:04:05Z\"" more "}")

#define TIME "\"created_at\":\"2026-01-02T03:04:05Z\""
#define ROW "{\"id\":\"sb-1\",\"template_id\":\"py\",\"status\":\"running\"," TIME "}"
#define ROW_AT(time) \
	"{\"id\":\"sb-1\",\"template_id\":\"py\",\"status\":\"running\",\"created_at\":" time "}"
#define ROW_ID(id) "{\"id\":" id ",\"template_id\":\"py\",\"status\":\"running\"," TIME "}"
#define ROW_TEMPLATE(template) \
	"{\"id\":\"sb-1\",\"template_id\":" template ",\"status\":\"running\"," TIME "}"
#define ROW_STATUS(status) "{\"id\":\"sb-1\",\"template_id\":\"py\",\"status\":" status "," TIME "}"
#define ROW_CLUSTER(cluster) \
	"{\"id\":\"sb-1\",\"template_id\":\"py\",\"status\":\"s\",\"cluster_id\":" cluster "," TIME "}"
#define VOL(more) "{\"id\":\"v-1\"," TIME more "}"

#define ENV(env) \
	",\"services\":[{\"id\":\"web\",\"runtime\":{\"type\":\"cmd\",\"env_vars\":" env "}}]"
#define MOUNT(volume, point) "{\"sandboxvolume_id\":\"" volume "\",\"mount_point\":\"" point "\"}"
#define MARK(text) "{\"runtime\":{\"env_vars\":{\"SANDSWEEP_RUNTIME\":\"" text "\"}}}"

enum { AT_S = 1767323045 }; /* 2026-01-02T03:04:05Z */
static const int64_t at_us = (int64_t)AT_S * 1000000;

/* `count` rows; the caller frees. */
static char *rows_text(const char *head, const char *row, size_t count, const char *tail)
{
	struct buf out;
	buf_init(&out, 1 << 22);
	(void)buf_str(&out, head);
	for (size_t i = 0; i < count; i++) {
		(void)buf_str(&out, i ? "," : "");
		(void)buf_str(&out, row);
	}
	(void)buf_str(&out, tail);
	char *text = buf_take(&out);
	assert_non_null(text);
	return text;
}

#endif
