#include "service_object.h"

#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "naming.h"

/* clang-format off */
#define FIELD(type, name, kind, min, max) \
	{#name, kind, offsetof(struct type, name), offsetof(struct type, has), min, max}
#define REQUIRED(type, name, kind, min, max) \
	{#name, kind, offsetof(struct type, name), JSON_REQUIRED, min, max}
#define TEXT(type, name) FIELD(type, name, JSON_KIND_STR, 0, SERVICE_TEXT_MAX)
#define OBJECT(type, name) FIELD(type, name, JSON_KIND_OBJ, 0, 0)
#define ARRAY(type, name) FIELD(type, name, JSON_KIND_ARR, 0, 0)
/* clang-format on */

/* Decodes one object; an error says where it is. */
static int decode(const char *where, json_t *object, const struct json_field *fields, size_t count,
                  void *ret, struct err *err)
{
	struct err why = {0};
	if (json_decode(object, fields, count, ret, &why) == 0)
		return 0;
	return err_set(err, why.kind, why.code, "%s: %s", where, why.text);
}

static int check_texts(const char *where, json_t *array, struct err *err)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		if (!json_is_string(json_array_get(array, i)))
			return err_set(err, ERR_REJECT, "bad_json", "%s must be an array of strings", where);
	return 0;
}

static int one_of(const char *where, const char *word, const char *const *words, struct err *err)
{
	for (; word && *words; words++)
		if (strcmp(word, *words) == 0)
			return 0;
	return word ? err_set(err, ERR_REJECT, "bad_json", "%s is not one that is known", where) : 0;
}

/* ---- runtime ---- */

struct runtime {
	bool has;
	const char *type, *cwd, *warm_process_name;
	json_t *command, *env_vars;
};
static const struct json_field runtime_fields[] = {
    REQUIRED(runtime, type, JSON_KIND_STR, 1, 64),
    TEXT(runtime, cwd),
    TEXT(runtime, warm_process_name),
    ARRAY(runtime, command),
    OBJECT(runtime, env_vars),
};

static int read_runtime(json_t *object, struct runtime *ret, struct err *err)
{
	static const char *const types[] = {"warm_process", "cmd", "manual", NULL};
	const char *name;
	json_t *value;
	if (decode("runtime", object, runtime_fields, N_OF(runtime_fields), ret, err) < 0 ||
	    one_of("runtime.type", ret->type, types, err) < 0 ||
	    check_texts("runtime.command", ret->command, err) < 0)
		return -1;
	json_object_foreach (ret->env_vars, name, value)
		if (!json_is_string(value))
			return err_set(err, ERR_REJECT, "bad_json", "runtime.env_vars must map to strings");
	return 0;
}

/* ---- ingress ---- */

struct ingress {
	bool has, public;
	json_t *routes;
};
static const struct json_field ingress_fields[] = {
    REQUIRED(ingress, public, JSON_KIND_BOOL, 0, 0),
    ARRAY(ingress, routes),
};

struct route_object {
	bool has, resume;
	const char *id, *path_prefix, *rewrite_prefix;
	json_t *methods, *auth, *cors, *rate_limit;
	int64_t timeout_seconds;
};
static const struct json_field route_fields[] = {
    REQUIRED(route_object, id, JSON_KIND_STR, 1, 255),
    REQUIRED(route_object, resume, JSON_KIND_BOOL, 0, 0),
    TEXT(route_object, path_prefix),
    TEXT(route_object, rewrite_prefix),
    ARRAY(route_object, methods),
    OBJECT(route_object, auth),
    OBJECT(route_object, cors),
    OBJECT(route_object, rate_limit),
    FIELD(route_object, timeout_seconds, JSON_KIND_I64, 0, INT32_MAX),
};

struct auth_object {
	bool has;
	const char *mode, *bearer_token_sha256, *header_name, *header_value_sha256;
};
static const struct json_field auth_fields[] = {
    FIELD(auth_object, mode, JSON_KIND_STR, 1, 64),
    TEXT(auth_object, bearer_token_sha256),
    TEXT(auth_object, header_name),
    TEXT(auth_object, header_value_sha256),
};

struct cors_object {
	bool has, allow_credentials;
	json_t *allowed_origins, *allowed_methods, *allowed_headers, *expose_headers;
	int64_t max_age_seconds;
};
static const struct json_field cors_fields[] = {
    ARRAY(cors_object, allowed_origins),
    ARRAY(cors_object, allowed_methods),
    ARRAY(cors_object, allowed_headers),
    ARRAY(cors_object, expose_headers),
    FIELD(cors_object, allow_credentials, JSON_KIND_BOOL, 0, 0),
    FIELD(cors_object, max_age_seconds, JSON_KIND_I64, 0, INT32_MAX),
};

struct rate_object {
	int64_t rps, burst;
};
static const struct json_field rate_fields[] = {
    REQUIRED(rate_object, rps, JSON_KIND_I64, 0, INT32_MAX),
    REQUIRED(rate_object, burst, JSON_KIND_I64, 0, INT32_MAX),
};

/* What whoever asks is compared with: of another form, it would let nobody in. NULL: absent. */
static int check_digest(const char *name, const char *text, struct err *err)
{
	uint8_t digest[HASH_SIZE];
	if (!text)
		return err_set(err, ERR_REJECT, "bad_json", "route.auth: %s is missing", name);
	if (strlen(text) != 2 * sizeof(digest) || num_unhex(text, 2 * sizeof(digest), digest) < 0)
		return err_set(err, ERR_REJECT, "bad_json", "route.auth: %s must have 64 hex digits", name);
	return 0;
}

static int check_auth(json_t *object, struct err *err)
{
	static const char *const modes[] = {"none", "bearer", "header", NULL};
	struct auth_object auth = {0};
	if (decode("route.auth", object, auth_fields, N_OF(auth_fields), &auth, err) < 0)
		return -1;
	const char *mode = auth.mode ? auth.mode : "none";
	bool bearer = strcmp(mode, "bearer") == 0, header = strcmp(mode, "header") == 0;
	if (header && !auth.header_name)
		return err_set(err, ERR_REJECT, "bad_json", "route.auth: header_name is missing");
	if ((bearer && check_digest("bearer_token_sha256", auth.bearer_token_sha256, err) < 0) ||
	    (header && check_digest("header_value_sha256", auth.header_value_sha256, err) < 0))
		return -1;
	if (!auth.mode && json_object_set_new(object, "mode", json_string(mode)) < 0)
		return err_oom(err);
	return one_of("route.auth.mode", mode, modes, err);
}

static int check_cors(json_t *object, struct err *err)
{
	struct cors_object cors = {0};
	if (decode("route.cors", object, cors_fields, N_OF(cors_fields), &cors, err) < 0 ||
	    check_texts("route.cors.allowed_origins", cors.allowed_origins, err) < 0 ||
	    check_texts("route.cors.allowed_methods", cors.allowed_methods, err) < 0 ||
	    check_texts("route.cors.allowed_headers", cors.allowed_headers, err) < 0)
		return -1;
	return check_texts("route.cors.expose_headers", cors.expose_headers, err);
}

static int check_route(json_t *object, struct err *err)
{
	struct route_object route = {0};
	struct rate_object rate;
	if (decode("ingress.routes", object, route_fields, N_OF(route_fields), &route, err) < 0 ||
	    check_texts("route.methods", route.methods, err) < 0 ||
	    (route.auth && check_auth(route.auth, err) < 0) ||
	    (route.cors && check_cors(route.cors, err) < 0))
		return -1;
	if (!route.rate_limit)
		return 0;
	return decode("route.rate_limit", route.rate_limit, rate_fields, N_OF(rate_fields), &rate, err);
}

static int read_ingress(json_t *object, struct ingress *ret, struct err *err)
{
	if (decode("ingress", object, ingress_fields, N_OF(ingress_fields), ret, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(ret->routes); i++)
		if (check_route(json_array_get(ret->routes, i), err) < 0)
			return -1;
	return 0;
}

/* ---- the whole ---- */

struct whole {
	bool has;
	const char *id, *display_name;
	int64_t port;
	json_t *ingress, *runtime, *health_check;
};
static const struct json_field whole_fields[] = {
    REQUIRED(whole, id, JSON_KIND_STR, 1, 63),
    REQUIRED(whole, port, JSON_KIND_I64, 1, 65535),
    REQUIRED(whole, ingress, JSON_KIND_OBJ, 0, 0),
    TEXT(whole, display_name),
    OBJECT(whole, runtime),
    OBJECT(whole, health_check),
};

struct health_object {
	bool has;
	const char *path;
};
static const struct json_field health_fields[] = {TEXT(health_object, path)};

static void block(struct service *service, const char *why)
{
	service->blockers[service->blocker_count++] = why;
}

static void find_blockers(const struct ingress *ingress, const struct runtime *runtime,
                          struct service *ret)
{
	const char *type = runtime->type;
	if (!ingress->public || json_array_size(ingress->routes) == 0)
		block(ret, "not_public");
	if (!type)
		block(ret, "missing_runtime");
	else if (strcmp(type, "manual") == 0)
		block(ret, "manual_runtime");
	else if (strcmp(type, "cmd") == 0 && json_array_size(runtime->command) == 0)
		block(ret, "missing_command");
	else if (strcmp(type, "warm_process") == 0 && naming_is_blank(runtime->warm_process_name))
		block(ret, "missing_warm_process_name");
}

int service_read(json_t *object, struct service *ret, struct err *err)
{
	struct whole whole = {0};
	struct ingress ingress = {0};
	struct runtime runtime = {0};
	struct health_object health = {0};
	if (decode("service", object, whole_fields, N_OF(whole_fields), &whole, err) < 0 ||
	    read_ingress(whole.ingress, &ingress, err) < 0 ||
	    (whole.runtime && read_runtime(whole.runtime, &runtime, err) < 0) ||
	    (whole.health_check && decode("health_check", whole.health_check, health_fields,
	                                  N_OF(health_fields), &health, err) < 0))
		return -1;
	if (!naming_is_label(whole.id))
		return err_set(err, ERR_REJECT, "bad_json", "service: id must be a DNS label");
	*ret = (struct service){.id = whole.id, .display_name = whole.display_name};
	find_blockers(&ingress, &runtime, ret);
	return 0;
}
