#include "inventory.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"

#define MARKER "SANDSWEEP_RUNTIME" /* set by the host with the id of a restore attempt */

enum { TEXT_MAX_BYTES = 256, MOUNT_POINT_MAX_BYTES = 1024 };

/* ---- refusals ---- */

/* The reason that the parser or the decoder gave, as ours: where in the answer, and what. */
static int refuse(const char *where, size_t at, const struct err *why, struct err *err)
{
	return err_set(err, ERR_REJECT, "malformed", "%s %zu: %s", where, at, why->text);
}

static int refuse_whole(const struct err *why, struct err *err)
{
	if (why->kind != ERR_REJECT) /* no memory to parse it in: that says nothing about the answer */
		return err_set(err, why->kind, why->code, "%s", why->text);
	return err_set(err, ERR_REJECT, "malformed", "%s", why->text);
}

/* ---- texts and times ---- */

/* Without C0, DEL and C1 (the two-byte forms of U+0080 to U+009F). That it is UTF-8 the parser saw. */
static bool plain(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0))
			return false;
	return true;
}

static bool fits_id(const char *text)
{
	return *text && strlen(text) <= TEXT_MAX_BYTES && plain(text);
}

/* json_decode, and none of the texts may hold a control character. */
static int decode(json_t *json, const struct json_field *fields, size_t count, void *ret,
                  struct err *err)
{
	if (json_decode(json, fields, count, ret, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const char *text;
		if (fields[i].kind != JSON_KIND_STR)
			continue;
		memcpy(&text, (const char *)ret + fields[i].offset, sizeof(text));
		if (text && !plain(text))
			return err_set(err, ERR_REJECT, "text", "%s holds a control character", fields[i].name);
	}
	return 0;
}

static int read_time(const char *text, int64_t *ret_us, struct err *err)
{
	int64_t us;
	if (clock_parse_rfc3339(text, strlen(text), &us) < 0)
		return err_set(err, ERR_REJECT, "time", "created_at is no date-time");
	if (us <= 0)
		return err_set(err, ERR_REJECT, "time", "created_at is not set");
	*ret_us = us;
	return 0;
}

static const char *none_if_empty(const char *text)
{
	return text && *text ? text : NULL;
}

/* ---- rows of a listing ---- */

struct row {
	const char *id, *template_id, *status, *created_at, *cluster_id, *source_volume_id, *user_id;
	bool has; /* nobody asks: what is absent stays NULL */
};
#define TEXT(type, field, has, min)                                                   \
	{                                                                                 \
#field, JSON_KIND_STR, offsetof(struct type, field), has, min, TEXT_MAX_BYTES \
	}
#define HAS offsetof(struct row, has)

static const struct json_field sandbox_fields[] = {
    TEXT(row, id, JSON_REQUIRED, 1),         TEXT(row, template_id, JSON_REQUIRED, 0),
    TEXT(row, status, JSON_REQUIRED, 0),     TEXT(row, cluster_id, HAS, 0),
    TEXT(row, created_at, JSON_REQUIRED, 1),
};
static const struct json_field volume_fields[] = {
    TEXT(row, id, JSON_REQUIRED, 1),
    TEXT(row, source_volume_id, HAS, 0),
    TEXT(row, user_id, HAS, 0),
    TEXT(row, created_at, JSON_REQUIRED, 1),
};

static const struct rows {
	const char *name;
	const struct json_field *fields;
	size_t field_count;
} sandbox_rows = {"sandbox", sandbox_fields, N_OF(sandbox_fields)},
  volume_rows = {"volume", volume_fields, N_OF(volume_fields)};

static int read_row(const struct rows *rows, json_t *json, struct inventory_item *ret,
                    struct err *err)
{
	struct row row = {0};
	int64_t created_at_us;
	if (decode(json, rows->fields, rows->field_count, &row, err) < 0 ||
	    read_time(row.created_at, &created_at_us, err) < 0)
		return -1;
	*ret = (struct inventory_item){
	    .id = row.id,
	    .template_id = row.template_id,
	    .status = row.status,
	    .cluster_id = none_if_empty(row.cluster_id),
	    .source_volume_id = none_if_empty(row.source_volume_id),
	    .user_id = none_if_empty(row.user_id),
	    .created_at_us = created_at_us,
	};
	return 0;
}

static int check_rows(const struct rows *rows, const struct inventory_page *page, struct err *err)
{
	for (size_t at = 0; at < page->count; at++) {
		struct inventory_item item;
		struct err why = {0};
		if (read_row(rows, json_array_get(page->rows, at), &item, &why) < 0)
			return refuse(rows->name, at, &why, err);
	}
	return 0;
}

void inventory_item(const struct inventory_page *page, size_t at, struct inventory_item *ret)
{
	*ret = (struct inventory_item){0};
	if (read_row(page->total < 0 ? &volume_rows : &sandbox_rows, json_array_get(page->rows, at),
	             ret, NULL) < 0)
		return; /* past the end */
}

void inventory_page_done(struct inventory_page *page)
{
	json_decref(page->json);
	*page = (struct inventory_page){0};
}

/* ---- answers ---- */

/* The whole answer, owned by the caller, and its `data`; NULL where there is none. */
static json_t *open_envelope(const char *body, size_t len, json_t **ret_data, struct err *err)
{
	struct err why = {0};
	json_t *json = json_parse(body ? body : "", len, &why);
	if (!json) {
		(void)refuse_whole(&why, err);
		return NULL;
	}
	if (!json_is_true(json_object_get(json, "success"))) {
		(void)err_set(err, ERR_REJECT, "malformed", "not the envelope of a success");
		json_decref(json);
		return NULL;
	}
	*ret_data = json_object_get(json, "data");
	return json;
}

struct sandboxes {
	json_t *rows;
	int64_t count;
	bool has_more;
};
static const struct json_field sandboxes_fields[] = {
    {"sandboxes", JSON_KIND_ARR, offsetof(struct sandboxes, rows), JSON_REQUIRED, 0, 0},
    {"count", JSON_KIND_I64, offsetof(struct sandboxes, count), JSON_REQUIRED, 0, INT64_MAX},
    {"has_more", JSON_KIND_BOOL, offsetof(struct sandboxes, has_more), JSON_REQUIRED, 0, 0},
};

int inventory_sandboxes(const char *body, size_t len, struct inventory_page *ret, struct err *err)
{
	json_t *data;
	AUTO(json_drop) json_t *json = open_envelope(body, len, &data, err);
	struct sandboxes in = {0};
	struct err why = {0};
	if (!json)
		return -1;
	if (decode(data, sandboxes_fields, N_OF(sandboxes_fields), &in, &why) < 0)
		return refuse_whole(&why, err);
	struct inventory_page page = {
	    .rows = in.rows,
	    .count = json_array_size(in.rows),
	    .total = in.count,
	    .has_more = in.has_more,
	};
	if (page.count > INVENTORY_PAGE_MAX)
		return err_set(err, ERR_REJECT, "malformed", "a page of more than %d sandboxes",
		               INVENTORY_PAGE_MAX);
	if (check_rows(&sandbox_rows, &page, err) < 0)
		return -1;
	page.json = TAKE(json);
	*ret = page;
	return 0;
}

int inventory_volumes(const char *body, size_t len, struct inventory_page *ret, struct err *err)
{
	json_t *data;
	AUTO(json_drop) json_t *json = open_envelope(body, len, &data, err);
	if (!json)
		return -1;
	if (!json_is_array(data) && !json_is_null(data))
		return err_set(err, ERR_REJECT, "malformed", "data is neither an array nor null");
	struct inventory_page page = {
	    .rows = json_is_array(data) ? data : NULL,
	    .count = json_array_size(data),
	    .total = -1,
	};
	if (check_rows(&volume_rows, &page, err) < 0)
		return -1;
	page.json = TAKE(json);
	*ret = page;
	return 0;
}

/* ---- one sandbox in full ---- */

struct whole {
	const char *id, *team_id, *template_id, *status, *created_at;
	json_t *services, *mounts;
	bool has;
};
#define WHOLE_HAS offsetof(struct whole, has)
static const struct json_field whole_fields[] = {
    TEXT(whole, id, JSON_REQUIRED, 1),
    TEXT(whole, team_id, JSON_REQUIRED, 1),
    TEXT(whole, template_id, JSON_REQUIRED, 0),
    TEXT(whole, status, JSON_REQUIRED, 0),
    TEXT(whole, created_at, JSON_REQUIRED, 1),
    {"services", JSON_KIND_ARR, offsetof(struct whole, services), WHOLE_HAS, 0, 0},
    {"mounts", JSON_KIND_ARR, offsetof(struct whole, mounts), WHOLE_HAS, 0, 0},
};

/* A service's runtime, or a runtime's env_vars. */
struct part {
	json_t *json;
	bool has;
};
static const struct json_field runtime_field = {
    "runtime", JSON_KIND_OBJ, offsetof(struct part, json), offsetof(struct part, has), 0, 0};
static const struct json_field env_field = {
    "env_vars", JSON_KIND_OBJ, offsetof(struct part, json), offsetof(struct part, has), 0, 0};

/* What one service has as marker; stays NULL without one. */
static int read_marker(json_t *service, const char **ret, struct err *err)
{
	struct part runtime = {0}, env = {0};
	if (decode(service, &runtime_field, 1, &runtime, err) < 0 ||
	    (runtime.json && decode(runtime.json, &env_field, 1, &env, err) < 0))
		return -1;
	const json_t *marker = json_object_get(env.json, MARKER);
	if (marker && !json_is_string(marker))
		return err_set(err, ERR_REJECT, "marker", MARKER " must be a string");
	if (marker && fits_id(json_string_value(marker)))
		*ret = json_string_value(marker);
	return 0;
}

static int read_services(json_t *services, const char **ret_marker, struct err *err)
{
	for (size_t at = 0; at < json_array_size(services); at++) {
		const char *marker = NULL;
		struct err why = {0};
		if (read_marker(json_array_get(services, at), &marker, &why) < 0)
			return refuse("service", at, &why, err);
		if (marker && *ret_marker && strcmp(marker, *ret_marker) != 0)
			return err_set(err, ERR_REJECT, "malformed", "two different values of " MARKER);
		if (marker)
			*ret_marker = marker;
	}
	return 0;
}

struct mount {
	const char *sandboxvolume_id, *mount_point;
};
static const struct json_field mount_fields[] = {
    TEXT(mount, sandboxvolume_id, JSON_REQUIRED, 1),
    {"mount_point", JSON_KIND_STR, offsetof(struct mount, mount_point), JSON_REQUIRED, 1,
     MOUNT_POINT_MAX_BYTES},
};

static int read_mounts(json_t *mounts, struct inventory_sandbox *ret, struct err *err)
{
	ret->mount_count = json_array_size(mounts);
	if (ret->mount_count > INVENTORY_MOUNTS_MAX)
		return err_set(err, ERR_REJECT, "malformed", "more than %d mounts", INVENTORY_MOUNTS_MAX);
	for (size_t at = 0; at < ret->mount_count; at++) {
		struct mount mount = {0};
		struct err why = {0};
		if (decode(json_array_get(mounts, at), mount_fields, N_OF(mount_fields), &mount, &why) < 0)
			return refuse("mount", at, &why, err);
		ret->mounts[at] = (struct inventory_mount){mount.sandboxvolume_id, mount.mount_point};
	}
	return 0;
}

static int read_whole(json_t *data, struct whole *ret, int64_t *ret_created_at_us, struct err *err)
{
	struct err why = {0};
	if (decode(data, whole_fields, N_OF(whole_fields), ret, &why) < 0 ||
	    read_time(ret->created_at, ret_created_at_us, &why) < 0)
		return refuse_whole(&why, err);
	return 0;
}

int inventory_sandbox(const char *body, size_t len, struct inventory_sandbox *ret, struct err *err)
{
	json_t *data;
	AUTO(json_drop) json_t *json = open_envelope(body, len, &data, err);
	struct inventory_sandbox sandbox = {0};
	struct whole in = {0};
	if (!json || read_whole(data, &in, &sandbox.created_at_us, err) < 0 ||
	    read_services(in.services, &sandbox.marker, err) < 0 ||
	    read_mounts(in.mounts, &sandbox, err) < 0)
		return -1;
	sandbox.id = in.id;
	sandbox.team_id = in.team_id;
	sandbox.template_id = in.template_id;
	sandbox.status = in.status;
	sandbox.services = in.services;
	sandbox.json = TAKE(json);
	*ret = sandbox;
	return 0;
}

json_t *inventory_service(const struct inventory_sandbox *sandbox, const char *id)
{
	for (size_t at = 0; at < json_array_size(sandbox->services); at++) {
		json_t *service = json_array_get(sandbox->services, at);
		const char *have = json_string_value(json_object_get(service, "id"));
		if (have && strcmp(have, id) == 0)
			return service;
	}
	return NULL;
}

void inventory_sandbox_done(struct inventory_sandbox *sandbox)
{
	json_decref(sandbox->json);
	*sandbox = (struct inventory_sandbox){0};
}

/* ---- one volume in full ---- */

struct whole_volume {
	const char *id, *team_id, *user_id, *created_at;
	bool has;
};
static const struct json_field whole_volume_fields[] = {
    TEXT(whole_volume, id, JSON_REQUIRED, 1),
    TEXT(whole_volume, team_id, JSON_REQUIRED, 1),
    TEXT(whole_volume, user_id, offsetof(struct whole_volume, has), 0),
    TEXT(whole_volume, created_at, JSON_REQUIRED, 1),
};

int inventory_volume(const char *body, size_t len, struct inventory_volume *ret, struct err *err)
{
	json_t *data;
	AUTO(json_drop) json_t *json = open_envelope(body, len, &data, err);
	struct whole_volume in = {0};
	struct err why = {0};
	int64_t created_at_us;
	if (!json)
		return -1;
	if (decode(data, whole_volume_fields, N_OF(whole_volume_fields), &in, &why) < 0 ||
	    read_time(in.created_at, &created_at_us, &why) < 0)
		return refuse_whole(&why, err);
	*ret = (struct inventory_volume){
	    .json = TAKE(json),
	    .id = in.id,
	    .team_id = in.team_id,
	    .user_id = none_if_empty(in.user_id),
	    .created_at_us = created_at_us,
	};
	return 0;
}

void inventory_volume_done(struct inventory_volume *volume)
{
	json_decref(volume->json);
	*volume = (struct inventory_volume){0};
}

/* ---- what a POST made ---- */

struct made {
	const char *id, *user_id;
	bool has;
};
static const struct json_field made_fields[] = {
    TEXT(made, id, JSON_REQUIRED, 1),
    TEXT(made, user_id, offsetof(struct made, has), 0),
};

int inventory_made(const char *body, size_t len, struct inventory_made *ret, struct err *err)
{
	json_t *data;
	AUTO(json_drop) json_t *json = open_envelope(body, len, &data, err);
	struct made in = {0};
	struct err why = {0};
	if (!json)
		return -1;
	if (decode(data, made_fields, N_OF(made_fields), &in, &why) < 0)
		return refuse_whole(&why, err);
	ret->id = in.id;
	ret->user_id = none_if_empty(in.user_id);
	ret->json = TAKE(json);
	return 0;
}

void inventory_made_done(struct inventory_made *made)
{
	json_decref(made->json);
	*made = (struct inventory_made){0};
}
