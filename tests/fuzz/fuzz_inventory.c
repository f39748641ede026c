/* libFuzzer target for the listings, whole sandboxes, whole volumes and made things of the platform. Input: one byte
 * that says which reader, and the body. */
#include "platform/inventory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX_BYTES = 256, MOUNT_POINT_MAX_BYTES = 1024 };

/* Aborts unless `text` is what may go on into a table and a log line; jansson is the judge of UTF-8. */
static void check_bytes(const char *text, size_t min, size_t max)
{
	if (!text || strlen(text) < min || strlen(text) > max)
		abort();
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0))
			abort();
	json_t *json = json_string(text);
	if (!json)
		abort();
	json_decref(json);
}

static void check_text(const char *text, size_t min)
{
	check_bytes(text, min, TEXT_MAX_BYTES);
}

static void check_optional(const char *text)
{
	if (text)
		check_text(text, 1);
}

static void check_err(int rc, const struct err *err)
{
	if ((rc != 0) != (err->kind != ERR_NONE) || (rc != 0 && rc != -1))
		abort();
	if (rc != 0 && (err->kind != ERR_REJECT || strcmp(err->code, "malformed") != 0 || !*err->text))
		abort();
}

static void check_item(const struct inventory_item *item, bool volume)
{
	check_text(item->id, 1);
	check_optional(item->source_volume_id);
	check_optional(item->user_id);
	check_optional(item->cluster_id);
	if (item->created_at_us <= 0)
		abort();
	if (volume && (item->template_id || item->status || item->cluster_id))
		abort();
	if (volume)
		return;
	check_text(item->template_id, 0);
	check_text(item->status, 0);
	if (item->source_volume_id || item->user_id)
		abort();
}

static void check_page(struct inventory_page *page, bool volume)
{
	struct inventory_item item;
	if (volume ? page->total != -1 || page->has_more
	           : page->total < 0 || page->count > INVENTORY_PAGE_MAX)
		abort();
	for (size_t at = 0; at < page->count; at++) {
		inventory_item(page, at, &item);
		check_item(&item, volume);
	}
	inventory_item(page, page->count, &item);
	if (item.id)
		abort();
	inventory_page_done(page);
}

/* Each service that has an id is found by it, or another one in front of it that has the same. */
static void check_services(const struct inventory_sandbox *sandbox)
{
	for (size_t at = 0; at < json_array_size(sandbox->services); at++) {
		const char *id =
		    json_string_value(json_object_get(json_array_get(sandbox->services, at), "id"));
		const json_t *found = id ? inventory_service(sandbox, id) : NULL;
		const char *found_id = json_string_value(json_object_get(found, "id"));
		if (id && (!json_is_object(found) || !found_id || strcmp(found_id, id) != 0))
			abort();
	}
}

static void check_sandbox(struct inventory_sandbox *sandbox)
{
	check_text(sandbox->id, 1);
	check_text(sandbox->team_id, 1);
	check_text(sandbox->template_id, 0);
	check_text(sandbox->status, 0);
	check_optional(sandbox->marker);
	if (sandbox->created_at_us <= 0 || sandbox->mount_count > INVENTORY_MOUNTS_MAX)
		abort();
	for (size_t at = 0; at < sandbox->mount_count; at++) {
		check_text(sandbox->mounts[at].volume_id, 1);
		check_bytes(sandbox->mounts[at].mount_point, 1, MOUNT_POINT_MAX_BYTES);
	}
	check_services(sandbox);
	inventory_sandbox_done(sandbox);
}

static void check_volume(struct inventory_volume *volume)
{
	check_text(volume->id, 1);
	check_text(volume->team_id, 1);
	check_optional(volume->user_id);
	if (volume->created_at_us <= 0)
		abort();
	inventory_volume_done(volume);
}

static void check_made(struct inventory_made *made)
{
	check_text(made->id, 1);
	check_optional(made->user_id);
	inventory_made_done(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inventory_page page;
	struct inventory_sandbox sandbox;
	struct inventory_made made;
	struct inventory_volume volume;
	struct err err = {0};
	if (size < 1)
		return 0;
	/* A copy of its own, so that the sanitizer sees a byte read too many. */
	size_t len = size - 1;
	char *body = malloc(len ? len : 1);
	if (!body)
		return 0;
	memcpy(body, data + 1, len);
	int reader = data[0] % 8 % 5;
	int rc = reader == 0   ? inventory_sandboxes(body, len, &page, &err)
	         : reader == 1 ? inventory_volumes(body, len, &page, &err)
	         : reader == 2 ? inventory_sandbox(body, len, &sandbox, &err)
	         : reader == 3 ? inventory_made(body, len, &made, &err)
	                       : inventory_volume(body, len, &volume, &err);
	free(body);
	check_err(rc, &err);
	if (rc == 0 && reader == 2)
		check_sandbox(&sandbox);
	else if (rc == 0 && reader == 3)
		check_made(&made);
	else if (rc == 0 && reader == 4)
		check_volume(&volume);
	else if (rc == 0)
		check_page(&page, reader == 1);
	return 0;
}
