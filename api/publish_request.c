#include "publish_request.h"

#include <string.h>

#include "function_update.h"
#include "naming.h"

/* clang-format off */
#define FIELD(type, name, kind, max) \
	{#name, kind, offsetof(struct type, name), offsetof(struct type, has), 0, max}
#define REQUIRED(type, name, kind, min, max) \
	{#name, kind, offsetof(struct type, name), JSON_REQUIRED, min, max}
/* clang-format on */

struct body {
	bool has, has_promote, promote;
	const char *name;
	json_t *source, *autoscaling;
};
static const struct json_field function_fields[] = {
    FIELD(body, name, JSON_KIND_STR, FUNCTION_NAME_MAX),
    REQUIRED(body, source, JSON_KIND_OBJ, 0, 0),
    FIELD(body, autoscaling, JSON_KIND_OBJ, 0),
};
static const struct json_field revision_fields[] = {
    REQUIRED(body, source, JSON_KIND_OBJ, 0, 0),
    {"promote", JSON_KIND_BOOL, offsetof(struct body, promote), offsetof(struct body, has_promote),
     0, 0},
};

struct source {
	bool has;
	const char *type, *sandbox_id, *service_id;
	json_t *sandbox_service, *revision_spec, *provenance;
};
static const struct json_field source_fields[] = {
    FIELD(source, type, JSON_KIND_STR, 64),
    FIELD(source, sandbox_id, JSON_KIND_STR, PUBLISH_ID_MAX),
    FIELD(source, service_id, JSON_KIND_STR, PUBLISH_ID_MAX),
    FIELD(source, sandbox_service, JSON_KIND_OBJ, 0),
    FIELD(source, revision_spec, JSON_KIND_OBJ, 0),
    FIELD(source, provenance, JSON_KIND_OBJ, 0),
};
/* The nested form has the two ids alone. */
enum { NESTED_FIELD_AT = 1, NESTED_FIELD_COUNT = 2 };

struct spec {
	bool has;
	const char *template_id;
	json_t *runtime_service, *mounts, *static_assets, *env_refs;
};
static const struct json_field spec_fields[] = {
    REQUIRED(spec, template_id, JSON_KIND_STR, 1, PUBLISH_ID_MAX),
    REQUIRED(spec, runtime_service, JSON_KIND_OBJ, 0, 0),
    FIELD(spec, mounts, JSON_KIND_ARR, 0),
    FIELD(spec, static_assets, JSON_KIND_ARR, 0),
    FIELD(spec, env_refs, JSON_KIND_ARR, 0),
};

struct mount {
	bool has;
	const char *mount_point, *name, *mode, *materialization;
	json_t *source;
};
static const struct json_field mount_fields[] = {
    REQUIRED(mount, mount_point, JSON_KIND_STR, 2, 1024),
    REQUIRED(mount, source, JSON_KIND_OBJ, 0, 0),
    FIELD(mount, name, JSON_KIND_STR, PUBLISH_ID_MAX),
    FIELD(mount, mode, JSON_KIND_STR, 64),
    FIELD(mount, materialization, JSON_KIND_STR, PUBLISH_ID_MAX),
};

/* What follows the first two is not used here, but kept and shown: it must be what clients can read. */
struct mount_source {
	bool has;
	const char *type, *sandboxvolume_id;
	const char *source_sandboxvolume_id, *snapshot_id, *artifact_id, *digest;
};
static const struct json_field mount_source_fields[] = {
    REQUIRED(mount_source, type, JSON_KIND_STR, 1, 64),
    FIELD(mount_source, sandboxvolume_id, JSON_KIND_STR, PUBLISH_ID_MAX),
    FIELD(mount_source, source_sandboxvolume_id, JSON_KIND_STR, PUBLISH_ID_MAX),
    FIELD(mount_source, snapshot_id, JSON_KIND_STR, PUBLISH_ID_MAX),
    FIELD(mount_source, artifact_id, JSON_KIND_STR, PUBLISH_ID_MAX),
    FIELD(mount_source, digest, JSON_KIND_STR, PUBLISH_ID_MAX),
};

static int refuse(struct err *err, const char *text)
{
	return err_set(err, ERR_REJECT, "bad_request", "%s", text);
}

/* What the client sent is not of the form that is asked for. */
static int invalid(struct err *err, const char *where, const struct err *why)
{
	if (why->kind != ERR_REJECT) {
		*err = *why;
		return -1;
	}
	return err_set(err, ERR_REJECT, "bad_request", "invalid request: %s%s", where, why->text);
}

/* ---- a specification ---- */

/* The next name of a path, behind slashes and behind "." that lead nowhere; *ret_len 0: there is none. */
static const char *next_name(const char *at, size_t *ret_len)
{
	for (;; at += *ret_len) {
		at += strspn(at, "/");
		*ret_len = strcspn(at, "/");
		if (*ret_len != 1 || *at != '.')
			return at;
	}
}

/* Absolute, below the root, without a step up. */
static bool is_mount_point(const char *path)
{
	size_t len;
	const char *at = next_name(path, &len);
	if (path[0] != '/' || len == 0)
		return false;
	for (; len > 0; at = next_name(at + len, &len))
		if (len == 2 && at[0] == '.' && at[1] == '.')
			return false;
	return true;
}

/* True when both paths lead to one place, however they are written. */
static bool same_place(const char *a, const char *b)
{
	size_t a_len, b_len;
	do {
		a = next_name(a, &a_len);
		b = next_name(b, &b_len);
		if (a_len != b_len || memcmp(a, b, a_len) != 0)
			return false;
		a += a_len;
		b += b_len;
	} while (a_len > 0);
	return true;
}

static bool mounted_before(json_t *mounts, const char *volume_id, const char *mount_point)
{
	for (size_t i = 0; i < json_array_size(mounts); i++) {
		json_t *mount = json_array_get(mounts, i);
		const char *volume = json_string_value(json_object_get(mount, "sandboxvolume_id"));
		const char *place = json_string_value(json_object_get(mount, "mount_point"));
		if (strcmp(volume, volume_id) == 0 || same_place(place, mount_point))
			return true;
	}
	return false;
}

static int read_mount(json_t *object, json_t *mounts, struct err *err)
{
	struct mount mount = {0};
	struct mount_source source = {0};
	struct err why = {0};
	if (json_decode(object, mount_fields, N_OF(mount_fields), &mount, &why) < 0)
		return invalid(err, "revision_spec.mounts: ", &why);
	if (json_decode(mount.source, mount_source_fields, N_OF(mount_source_fields), &source, &why) <
	    0)
		return invalid(err, "revision_spec.mounts.source: ", &why);
	if (mount.mode && strcmp(mount.mode, "read_only") != 0 && strcmp(mount.mode, "read_write") != 0)
		return refuse(err,
		              "invalid request: revision_spec.mounts: mode is read_only or read_write");
	if (strcmp(source.type, "sandbox_volume") != 0)
		return refuse(err, "invalid request: revision_spec.mounts.source: only the type "
		                   "sandbox_volume can be mounted here");
	if (naming_is_blank(source.sandboxvolume_id))
		return refuse(err, "invalid request: revision_spec.mounts.source: sandboxvolume_id is "
		                   "missing");
	if (!is_mount_point(mount.mount_point))
		return refuse(err, "invalid request: revision_spec.mounts: mount_point must be an absolute "
		                   "path below the root");
	if (mounted_before(mounts, source.sandboxvolume_id, mount.mount_point))
		return refuse(err, "invalid request: revision_spec.mounts: a mount point or a volume comes "
		                   "twice");
	json_t *kept = json_pack("{s:s,s:s}", "sandboxvolume_id", source.sandboxvolume_id,
	                         "mount_point", mount.mount_point);
	return json_array_append_new(mounts, kept) < 0 ? err_oom(err) : 0;
}

static int read_mounts(json_t *array, json_t *mounts, struct err *err)
{
	if (json_array_size(array) > PUBLISH_MOUNTS_MAX)
		return refuse(err, "invalid request: revision_spec.mounts: more than 64");
	for (size_t i = 0; i < json_array_size(array); i++)
		if (read_mount(json_array_get(array, i), mounts, err) < 0)
			return -1;
	return 0;
}

/* Where the body keeps what is made of it; no client's field has this name. */
static const char own_mounts[] = " mounts";

static int read_spec(json_t *object, struct publish_request *ret, struct err *err)
{
	struct spec spec = {0};
	struct err why = {0};
	ret->mounts = json_array();
	if (json_object_set_new(ret->body, own_mounts, ret->mounts) < 0)
		return err_oom(err);
	if (json_decode(object, spec_fields, N_OF(spec_fields), &spec, &why) < 0)
		return invalid(err, "revision_spec: ", &why);
	if (naming_is_blank(spec.template_id))
		return refuse(err, "invalid request: revision_spec: template_id is blank");
	if (service_read(spec.runtime_service, &ret->service, &why) < 0)
		return invalid(err, "revision_spec.runtime_service: ", &why);
	if (json_array_size(spec.static_assets) > 0 || json_array_size(spec.env_refs) > 0)
		return refuse(err, "invalid request: revision_spec: static_assets and env_refs cannot be "
		                   "restored here");
	ret->spec = object;
	ret->template_id = spec.template_id;
	ret->service_object = spec.runtime_service;
	return read_mounts(spec.mounts, ret->mounts, err);
}

/* ---- where it comes from ---- */

static int read_service_ids(const struct source *source, struct publish_request *ret,
                            struct err *err)
{
	struct source nested = *source;
	struct err why = {0};
	if (source->sandbox_service &&
	    json_decode(source->sandbox_service, source_fields + NESTED_FIELD_AT, NESTED_FIELD_COUNT,
	                &nested, &why) < 0)
		return invalid(err, "source.sandbox_service: ", &why);
	if (naming_is_blank(nested.sandbox_id))
		return refuse(err, "source.sandbox_id is required");
	if (naming_is_blank(nested.service_id))
		return refuse(err, "source.service_id is required");
	ret->sandbox_id = nested.sandbox_id;
	ret->service_id = nested.service_id;
	return 0;
}

static int read_source(json_t *object, struct publish_request *ret, struct err *err)
{
	struct source source = {0};
	struct err why = {0};
	if (json_decode(object, source_fields, N_OF(source_fields), &source, &why) < 0)
		return invalid(err, "source: ", &why);
	const char *type = source.type            ? source.type
	                   : source.revision_spec ? "revision_spec"
	                                          : "sandbox_service";
	ret->provenance = source.provenance;
	if (strcmp(type, "sandbox_service") == 0)
		return read_service_ids(&source, ret, err);
	if (strcmp(type, "revision_spec") != 0)
		return refuse(err, "invalid request: source: type is sandbox_service or revision_spec");
	if (!source.revision_spec)
		return refuse(err, "source.revision_spec is required");
	return read_spec(source.revision_spec, ret, err);
}

/* What the other of the two routes takes is unknown here, and ignored like everything that is. */
static int read_body(bool creates, struct publish_request *ret, struct err *err)
{
	struct body body = {0};
	struct err why = {0};
	if (json_decode(ret->body, creates ? function_fields : revision_fields,
	                creates ? N_OF(function_fields) : N_OF(revision_fields), &body, &why) < 0)
		return invalid(err, "", &why);
	if (function_autoscaling_decode(body.autoscaling, &ret->change, &why) < 0)
		return invalid(err, "autoscaling: ", &why);
	ret->change.name = naming_is_blank(body.name) ? NULL : body.name;
	ret->promote = !body.has_promote || body.promote;
	return read_source(body.source, ret, err);
}

int publish_request_decode(const char *text, size_t len, bool creates, struct publish_request *ret,
                           struct err *err)
{
	struct err why = {0};
	*ret = (struct publish_request){0};
	if (len == 0)
		return refuse(err, "invalid request: the body is empty");
	ret->body = json_parse(text, len, &why);
	if (!ret->body)
		return invalid(err, "", &why);
	return read_body(creates, ret, err);
}

void publish_request_done(struct publish_request *request)
{
	json_decref(request->body);
	*request = (struct publish_request){0};
}
