/* service_read: one whole service, of which each row changes one field; then what stands in the way of
 * publishing. */
#include "api/service_object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scarce.h"

#define D62 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd"
#define D64 D62 "ef"
#define ROUTE                                                                                    \
	"{\"id\":\"r\",\"resume\":true,\"path_prefix\":\"/\",\"methods\":[\"GET\"],"                 \
	"\"rewrite_prefix\":\"/x\",\"timeout_seconds\":30,\"rate_limit\":{\"rps\":1,\"burst\":2},"   \
	"\"auth\":{\"mode\":\"none\",\"bearer_token_sha256\":\"" D64 "\",\"header_name\":\"X-Key\"," \
	"\"header_value_sha256\":\"" D64                                                             \
	"\"},\"cors\":{\"allowed_origins\":[\"*\"],\"allowed_methods\":"                             \
	"[\"GET\"],\"allowed_headers\":[\"A\"],\"expose_headers\":[\"B\"],\"allow_credentials\":"    \
	"true,\"max_age_seconds\":60}}"
#define WHOLE                                                                                    \
	"{\"id\":\"web\",\"port\":8080,\"display_name\":\"The "                                      \
	"web\",\"health_check\":{\"path\":\"/h\"},"                                                  \
	"\"runtime\":{\"type\":\"cmd\",\"command\":[\"run\",\"it\"],\"cwd\":\"/app\",\"env_vars\":"  \
	"{\"A\":\"b\"},\"warm_process_name\":\"w\"},\"ingress\":{\"public\":true,\"routes\":[" ROUTE \
	"," ROUTE "]}}"

/* ---- changing one field ---- */

static json_t *parsed(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	if (!json)
		fail_msg("no JSON: %s", text);
	return json;
}

/* A text of JSON; "@N" is a string of N letters. */
static json_t *value_of(const char *text)
{
	if (*text != '@')
		return parsed(text);
	size_t len = (size_t)strtoul(text + 1, NULL, 10);
	char *letters = malloc(len + 1);
	assert_non_null(letters);
	memset(letters, 'x', len);
	json_t *json = json_stringn(letters, len);
	free(letters);
	return json;
}

/* One step down a path: a member, or (a digit) an element. */
static json_t *child(json_t *json, const char *name)
{
	return json_is_array(json) ? json_array_get(json, (size_t)(*name - '0'))
	                           : json_object_get(json, name);
}

/* Sets the field at "a.b.0.c"; without a value it is taken out. */
static void change(json_t *json, const char *path, const char *value)
{
	char names[128], *rest = names;
	(void)snprintf(names, sizeof(names), "%s", path);
	char *name = strsep(&rest, ".");
	for (; rest; name = strsep(&rest, "."))
		json = child(json, name);
	assert_non_null(json);
	if (json_is_array(json))
		assert_int_equal(json_array_set_new(json, (size_t)(*name - '0'), value_of(value)), 0);
	else if (value)
		assert_int_equal(json_object_set_new(json, name, value_of(value)), 0);
	else
		assert_int_equal(json_object_del(json, name), 0);
}

/* What is not written says so. */
static const struct service unwritten = {.id = "unwritten", .blocker_count = 77};

/* Reads the whole service with this field changed; what it borrows lives as long as *ret_json. */
static int read_changed(const char *path, const char *value, json_t **ret_json, struct service *ret,
                        struct err *err)
{
	*ret_json = parsed(WHOLE);
	change(*ret_json, path, value);
	*ret = unwritten;
	*err = (struct err){0};
	return service_read(*ret_json, ret, err);
}

static void check(const char *path, const char *value, const char *want)
{
	json_t *json;
	struct service service;
	struct err err;
	int rc = read_changed(path, value, &json, &service, &err);
	if (rc != (want ? -1 : 0) || strcmp(err.text, want ? want : "") != 0)
		fail_msg("%s %s: %d \"%s\"\nnot \"%s\"", path, value ? value : "absent", rc, err.text,
		         want ? want : "");
	assert_int_equal(err.kind, want ? ERR_REJECT : ERR_NONE);
	if (want)
		assert_memory_equal(&service, &unwritten, sizeof(service));
	json_decref(json);
}

/* ---- every field with every type ---- */

#define ANY32 "a whole number from 0 to 2147483647"

static const struct field_case {
	const char *where, *path;
	enum json_kind kind;
	bool required;
	const char *type;  /* what an error says that it must be */
	const char *right; /* what is said of a value that has the right type; NULL: nothing */
} field_cases[] = {
    {"service", "id", JSON_KIND_STR, true, "a string", NULL},
    {"service", "port", JSON_KIND_I64, true, "a whole number from 1 to 65535", NULL},
    {"service", "display_name", JSON_KIND_STR, false, "a string", NULL},
    {"service", "ingress", JSON_KIND_OBJ, true, "an object", "ingress: public is missing"},
    {"service", "runtime", JSON_KIND_OBJ, false, "an object", "runtime: type is missing"},
    {"service", "health_check", JSON_KIND_OBJ, false, "an object", NULL},
    {"health_check", "health_check.path", JSON_KIND_STR, false, "a string", NULL},

    {"runtime", "runtime.type", JSON_KIND_STR, true, "a string",
     "runtime.type is not one that is known"},
    {"runtime", "runtime.command", JSON_KIND_ARR, false, "an array", NULL},
    {"runtime", "runtime.cwd", JSON_KIND_STR, false, "a string", NULL},
    {"runtime", "runtime.env_vars", JSON_KIND_OBJ, false, "an object", NULL},
    {"runtime", "runtime.warm_process_name", JSON_KIND_STR, false, "a string", NULL},

    {"ingress", "ingress.public", JSON_KIND_BOOL, true, "true or false", NULL},
    {"ingress", "ingress.routes", JSON_KIND_ARR, false, "an array", NULL},
    {"ingress.routes", "ingress.routes.1.id", JSON_KIND_STR, true, "a string", NULL},
    {"ingress.routes", "ingress.routes.1.resume", JSON_KIND_BOOL, true, "true or false", NULL},
    {"ingress.routes", "ingress.routes.1.path_prefix", JSON_KIND_STR, false, "a string", NULL},
    {"ingress.routes", "ingress.routes.1.methods", JSON_KIND_ARR, false, "an array", NULL},
    {"ingress.routes", "ingress.routes.1.rewrite_prefix", JSON_KIND_STR, false, "a string", NULL},
    {"ingress.routes", "ingress.routes.1.auth", JSON_KIND_OBJ, false, "an object", NULL},
    {"ingress.routes", "ingress.routes.1.cors", JSON_KIND_OBJ, false, "an object", NULL},
    {"ingress.routes", "ingress.routes.1.rate_limit", JSON_KIND_OBJ, false, "an object",
     "route.rate_limit: rps is missing"},
    {"ingress.routes", "ingress.routes.1.timeout_seconds", JSON_KIND_I64, false, ANY32, NULL},

    {"route.auth", "ingress.routes.1.auth.mode", JSON_KIND_STR, false, "a string",
     "route.auth.mode is not one that is known"},
    {"route.auth", "ingress.routes.1.auth.bearer_token_sha256", JSON_KIND_STR, false, "a string",
     NULL},
    {"route.auth", "ingress.routes.1.auth.header_name", JSON_KIND_STR, false, "a string", NULL},
    {"route.auth", "ingress.routes.1.auth.header_value_sha256", JSON_KIND_STR, false, "a string",
     NULL},

    {"route.cors", "ingress.routes.1.cors.allowed_origins", JSON_KIND_ARR, false, "an array", NULL},
    {"route.cors", "ingress.routes.1.cors.allowed_methods", JSON_KIND_ARR, false, "an array", NULL},
    {"route.cors", "ingress.routes.1.cors.allowed_headers", JSON_KIND_ARR, false, "an array", NULL},
    {"route.cors", "ingress.routes.1.cors.expose_headers", JSON_KIND_ARR, false, "an array", NULL},
    {"route.cors", "ingress.routes.1.cors.allow_credentials", JSON_KIND_BOOL, false,
     "true or false", NULL},
    {"route.cors", "ingress.routes.1.cors.max_age_seconds", JSON_KIND_I64, false, ANY32, NULL},

    {"route.rate_limit", "ingress.routes.1.rate_limit.rps", JSON_KIND_I64, true, ANY32, NULL},
    {"route.rate_limit", "ingress.routes.1.rate_limit.burst", JSON_KIND_I64, true, ANY32, NULL},
};

/* A value of every type; JSON_KIND_UUID stands for those that fit no field. */
static const struct {
	const char *text; /* NULL: absent */
	enum json_kind kind;
} probes[] = {
    {NULL, JSON_KIND_UUID},    {"null", JSON_KIND_UUID}, {"true", JSON_KIND_BOOL},
    {"false", JSON_KIND_BOOL}, {"7", JSON_KIND_I64},     {"7.0", JSON_KIND_UUID},
    {"\"x\"", JSON_KIND_STR},  {"[]", JSON_KIND_ARR},    {"{}", JSON_KIND_OBJ},
};

static void test_every_field_with_every_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(field_cases); i++)
		for (size_t j = 0; j < N_OF(probes); j++) {
			const struct field_case *c = &field_cases[i];
			const char *dot = strrchr(c->path, '.'), *name = dot ? dot + 1 : c->path;
			bool there = j > 1, right = probes[j].kind == c->kind;
			char want[256];
			(void)snprintf(want, sizeof(want), there ? "%s: %s must be %s" : "%s: %s is missing",
			               c->where, name, c->type);
			bool wrong = there ? !right : c->required;
			check(c->path, probes[j].text, wrong ? want : right ? c->right : NULL);
		}
}

/* ---- values ---- */

#define BEARER(digest) "{\"mode\":\"bearer\",\"bearer_token_sha256\":\"" digest "\"}"

static const struct value_case {
	const char *path, *value, *want; /* NULL: it is taken */
} value_cases[] = {
    {"id", "\"a\"", NULL},
    {"id", "\"web-2\"", NULL},
    {"id", "@63", NULL},
    {"id", "@64", "service: id must have 1 to 63 bytes"},
    {"id", "\"\"", "service: id must have 1 to 63 bytes"},
    {"id", "\" \"", "service: id must be a DNS label"},
    {"id", "\"Web\"", "service: id must be a DNS label"},
    {"id", "\"-web\"", "service: id must be a DNS label"},
    {"id", "\"web-\"", "service: id must be a DNS label"},
    {"id", "\"w.b\"", "service: id must be a DNS label"},
    {"id", "\"w_b\"", "service: id must be a DNS label"},
    {"id", "\"w\\u00e9b\"", "service: id must be a DNS label"},
    {"port", "1", NULL},
    {"port", "65535", NULL},
    {"port", "0", "service: port must be a whole number from 1 to 65535"},
    {"port", "65536", "service: port must be a whole number from 1 to 65535"},
    {"port", "-1", "service: port must be a whole number from 1 to 65535"},
    {"port", "\"80\"", "service: port must be a whole number from 1 to 65535"},
    {"display_name", "\"\"", NULL},
    {"display_name", "\" \"", NULL},
    {"display_name", "@65536", NULL},
    {"display_name", "@65537", "service: display_name must have 0 to 65536 bytes"},
    {"unknown", "[{\"id\":1}]", NULL},
    {"health_check.unknown", "1", NULL},
    {"health_check.path", "@65537", "health_check: path must have 0 to 65536 bytes"},

    {"runtime.type", "\"cmd\"", NULL},
    {"runtime.type", "\"warm_process\"", NULL},
    {"runtime.type", "\"manual\"", NULL},
    {"runtime.type", "\"\"", "runtime: type must have 1 to 64 bytes"},
    {"runtime.type", "@64", "runtime.type is not one that is known"},
    {"runtime.type", "@65", "runtime: type must have 1 to 64 bytes"},
    {"runtime.type", "\"CMD\"", "runtime.type is not one that is known"},
    {"runtime.type", "\"cmd \"", "runtime.type is not one that is known"},
    {"runtime.command", "[\"\"]", NULL},
    {"runtime.command", "[1]", "runtime.command must be an array of strings"},
    {"runtime.command", "[\"a\",null]", "runtime.command must be an array of strings"},
    {"runtime.command", "[[\"a\"]]", "runtime.command must be an array of strings"},
    {"runtime.env_vars", "{\"\":\"\",\"A\":\"1\"}", NULL},
    {"runtime.env_vars", "{\"A\":1}", "runtime.env_vars must map to strings"},
    {"runtime.env_vars", "{\"A\":\"1\",\"B\":null}", "runtime.env_vars must map to strings"},
    {"runtime.env_vars", "{\"A\":{}}", "runtime.env_vars must map to strings"},
    {"runtime.cwd", "@65536", NULL},
    {"runtime.cwd", "@65537", "runtime: cwd must have 0 to 65536 bytes"},
    {"runtime.unknown", "{}", NULL},

    {"ingress.unknown", "1", NULL},
    {"ingress.routes", "[null]", "ingress.routes: a JSON object is expected"},
    {"ingress.routes", "[\"/\"]", "ingress.routes: a JSON object is expected"},
    {"ingress.routes", "[[]]", "ingress.routes: a JSON object is expected"},
    {"ingress.routes", "[{}]", "ingress.routes: id is missing"},
    {"ingress.routes.0", "{\"id\":\"r\"}", "ingress.routes: resume is missing"},
    {"ingress.routes.1", "7", "ingress.routes: a JSON object is expected"},
    {"ingress.routes.0.unknown", "[1]", NULL},
    {"ingress.routes.0.id", "@255", NULL},
    {"ingress.routes.0.id", "@256", "ingress.routes: id must have 1 to 255 bytes"},
    {"ingress.routes.0.id", "\"\"", "ingress.routes: id must have 1 to 255 bytes"},
    {"ingress.routes.0.methods", "[\"GET\",\"ANY\"]", NULL},
    {"ingress.routes.0.methods", "[null]", "route.methods must be an array of strings"},
    {"ingress.routes.0.methods", "[\"GET\",1]", "route.methods must be an array of strings"},
    {"ingress.routes.0.timeout_seconds", "0", NULL},
    {"ingress.routes.0.timeout_seconds", "2147483647", NULL},
    {"ingress.routes.0.timeout_seconds", "2147483648",
     "ingress.routes: timeout_seconds must be " ANY32},
    {"ingress.routes.0.timeout_seconds", "-1", "ingress.routes: timeout_seconds must be " ANY32},

    {"ingress.routes.0.auth", "{\"mode\":\"none\"}", NULL},
    {"ingress.routes.0.auth", "{\"unknown\":1}", NULL},
    {"ingress.routes.0.auth.mode", "\"\"", "route.auth: mode must have 1 to 64 bytes"},
    {"ingress.routes.0.auth.mode", "\"Bearer\"", "route.auth.mode is not one that is known"},
    {"ingress.routes.0.auth.mode", "\"bearer\"", NULL},
    {"ingress.routes.0.auth.mode", "\"header\"", NULL},
    {"ingress.routes.0.auth", "{\"mode\":\"bearer\"}",
     "route.auth: bearer_token_sha256 is missing"},
    {"ingress.routes.0.auth", "{\"mode\":\"bearer\",\"bearer_token_sha256\":null}",
     "route.auth: bearer_token_sha256 is missing"},
    {"ingress.routes.0.auth", BEARER(D64), NULL},
    {"ingress.routes.0.auth", "{\"mode\":\"header\"}", "route.auth: header_name is missing"},
    {"ingress.routes.0.auth", "{\"mode\":\"header\",\"header_name\":\"X\"}",
     "route.auth: header_value_sha256 is missing"},
    {"ingress.routes.0.auth", "{\"mode\":\"header\",\"header_value_sha256\":\"" D64 "\"}",
     "route.auth: header_name is missing"},
    {"ingress.routes.0.auth",
     "{\"mode\":\"header\",\"header_name\":\"X\",\"header_value_sha256\":\"" D64 "\"}", NULL},
    {"ingress.routes.0.auth",
     "{\"mode\":\"header\",\"header_name\":\"X\",\"header_value_sha256\":\"" D64 "0\"}",
     "route.auth: header_value_sha256 must have 64 hex digits"},
    {"ingress.routes.0.auth", BEARER(D62 "fF"), NULL},
    {"ingress.routes.0.auth", BEARER(""),
     "route.auth: bearer_token_sha256 must have 64 hex digits"},
    {"ingress.routes.0.auth", BEARER(D62),
     "route.auth: bearer_token_sha256 must have 64 hex digits"},
    {"ingress.routes.0.auth", BEARER(D62 "fg"),
     "route.auth: bearer_token_sha256 must have 64 hex digits"},
    {"ingress.routes.0.auth", BEARER(D64 "ff"),
     "route.auth: bearer_token_sha256 must have 64 hex digits"},
    {"ingress.routes.0.auth", "{\"mode\":\"none\",\"bearer_token_sha256\":\"\"}", NULL},

    {"ingress.routes.0.cors.unknown", "1", NULL},
    {"ingress.routes.0.cors.allowed_origins", "[null]",
     "route.cors.allowed_origins must be an array of strings"},
    {"ingress.routes.0.cors.allowed_methods", "[1]",
     "route.cors.allowed_methods must be an array of strings"},
    {"ingress.routes.0.cors.allowed_headers", "[\"A\",[]]",
     "route.cors.allowed_headers must be an array of strings"},
    {"ingress.routes.0.cors.expose_headers", "[{}]",
     "route.cors.expose_headers must be an array of strings"},
    {"ingress.routes.0.cors.max_age_seconds", "2147483647", NULL},
    {"ingress.routes.0.cors.max_age_seconds", "2147483648",
     "route.cors: max_age_seconds must be " ANY32},
    {"ingress.routes.0.cors.max_age_seconds", "-1", "route.cors: max_age_seconds must be " ANY32},

    {"ingress.routes.0.rate_limit", "{\"rps\":1}", "route.rate_limit: burst is missing"},
    {"ingress.routes.0.rate_limit.rps", "0", NULL},
    {"ingress.routes.0.rate_limit.rps", "2147483647", NULL},
    {"ingress.routes.0.rate_limit.rps", "-1", "route.rate_limit: rps must be " ANY32},
    {"ingress.routes.0.rate_limit.burst", "2147483648", "route.rate_limit: burst must be " ANY32},
};

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(value_cases); i++)
		check(value_cases[i].path, value_cases[i].value, value_cases[i].want);
}

static void test_what_is_no_object(void **state)
{
	(void)state;
	static const char *const texts[] = {"null", "true", "7", "\"x\"", "[]", "[" WHOLE "]"};
	for (size_t i = 0; i < N_OF(texts); i++) {
		json_t *json = parsed(texts[i]);
		struct service service = unwritten;
		struct err err = {0};
		assert_int_equal(service_read(json, &service, &err), -1);
		assert_int_equal(err.kind, ERR_REJECT);
		assert_string_equal(err.text, "service: a JSON object is expected");
		json_decref(json);
	}
}

/* The texts are the object's own. */
static void test_what_is_read(void **state)
{
	(void)state;
	json_t *json;
	struct service service;
	struct err err;
	assert_int_equal(read_changed("unknown", "1", &json, &service, &err), 0);
	assert_ptr_equal(service.id, json_string_value(json_object_get(json, "id")));
	assert_ptr_equal(service.display_name,
	                 json_string_value(json_object_get(json, "display_name")));
	assert_string_equal(service.display_name, "The web");
	assert_int_equal(service.blocker_count, 0);
	json_decref(json);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(read_changed("display_name", i ? "null" : NULL, &json, &service, &err), 0);
		assert_null(service.display_name);
		json_decref(json);
	}
}

static void test_the_least(void **state)
{
	(void)state;
	json_t *json = parsed("{\"id\":\"a\",\"port\":1,\"ingress\":{\"public\":false}}");
	struct service service = unwritten;
	struct err err = {0};
	assert_int_equal(service_read(json, &service, &err), 0);
	assert_string_equal(service.id, "a");
	assert_null(service.display_name);
	json_decref(json);
}

/* ---- what stands in the way ---- */

#define OPEN "{\"public\":true,\"routes\":[" ROUTE "]}"

static const struct blocker_case {
	const char *name, *ingress, *runtime; /* NULL: none */
	const char *want;
} blocker_cases[] = {
    {"nothing", OPEN, "{\"type\":\"cmd\",\"command\":[\"run\"]}", ""},
    {"nothing, warm", OPEN, "{\"type\":\"warm_process\",\"warm_process_name\":\"w\"}", ""},
    {"one empty word is a command", OPEN, "{\"type\":\"cmd\",\"command\":[\"\"]}", ""},
    {"not public", "{\"public\":false,\"routes\":[" ROUTE "]}",
     "{\"type\":\"cmd\",\"command\":[\"run\"]}", "not_public "},
    {"no routes", "{\"public\":true,\"routes\":[]}", "{\"type\":\"cmd\",\"command\":[\"run\"]}",
     "not_public "},
    {"routes absent", "{\"public\":true}", "{\"type\":\"cmd\",\"command\":[\"run\"]}",
     "not_public "},
    {"routes null", "{\"public\":true,\"routes\":null}", "{\"type\":\"cmd\",\"command\":[\"run\"]}",
     "not_public "},
    {"neither public nor routes", "{\"public\":false}", "{\"type\":\"cmd\",\"command\":[\"run\"]}",
     "not_public "},
    {"no runtime", OPEN, NULL, "missing_runtime "},
    {"runtime null", OPEN, "null", "missing_runtime "},
    {"manual", OPEN, "{\"type\":\"manual\"}", "manual_runtime "},
    {"manual with everything", OPEN,
     "{\"type\":\"manual\",\"command\":[\"run\"],\"warm_process_name\":\"w\"}", "manual_runtime "},
    {"no command", OPEN, "{\"type\":\"cmd\"}", "missing_command "},
    {"command null", OPEN, "{\"type\":\"cmd\",\"command\":null}", "missing_command "},
    {"command empty", OPEN, "{\"type\":\"cmd\",\"command\":[]}", "missing_command "},
    {"a name is no command", OPEN, "{\"type\":\"cmd\",\"warm_process_name\":\"w\"}",
     "missing_command "},
    {"no name", OPEN, "{\"type\":\"warm_process\"}", "missing_warm_process_name "},
    {"name null", OPEN, "{\"type\":\"warm_process\",\"warm_process_name\":null}",
     "missing_warm_process_name "},
    {"name empty", OPEN, "{\"type\":\"warm_process\",\"warm_process_name\":\"\"}",
     "missing_warm_process_name "},
    {"name blank", OPEN, "{\"type\":\"warm_process\",\"warm_process_name\":\" \\t\"}",
     "missing_warm_process_name "},
    {"a command is no name", OPEN, "{\"type\":\"warm_process\",\"command\":[\"run\"]}",
     "missing_warm_process_name "},
    {"two: no runtime", "{\"public\":false}", NULL, "not_public missing_runtime "},
    {"two: manual", "{\"public\":false}", "{\"type\":\"manual\"}", "not_public manual_runtime "},
    {"two: no command", "{\"public\":true}", "{\"type\":\"cmd\"}", "not_public missing_command "},
    {"two: no name", "{\"public\":false}", "{\"type\":\"warm_process\"}",
     "not_public missing_warm_process_name "},
};

static void test_blockers(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(blocker_cases); i++) {
		const struct blocker_case *c = &blocker_cases[i];
		json_t *json = parsed("{\"id\":\"web\",\"port\":80}");
		struct service service = unwritten;
		struct err err = {0};
		char got[128] = "";
		change(json, "ingress", c->ingress);
		if (c->runtime)
			change(json, "runtime", c->runtime);
		if (service_read(json, &service, &err) < 0)
			fail_msg("%s: %s", c->name, err.text);
		assert_in_range(service.blocker_count, 0, SERVICE_BLOCKERS_MAX);
		for (size_t j = 0; j < service.blocker_count; j++) {
			size_t len = strlen(got);
			(void)snprintf(got + len, sizeof(got) - len, "%s ", service.blockers[j]);
		}
		if (strcmp(got, c->want) != 0)
			fail_msg("%s: %s", c->name, got);
		json_decref(json);
	}
}

/* It borrows, and so it cannot run out of memory. */
static void test_asks_for_no_memory(void **state)
{
	(void)state;
	json_t *json = parsed(WHOLE);
	struct service service;
	struct err err = {0};
	json_set_alloc_funcs(scarce_malloc, scarce_free);
	allocations_left = 0;
	int rc = service_read(json, &service, &err);
	bool asked = allocations_left != 0;
	allocations_left = -1;
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(rc, 0);
	assert_false(asked);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_field_with_every_type),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_what_is_no_object),
	    cmocka_unit_test(test_what_is_read),
	    cmocka_unit_test(test_the_least),
	    cmocka_unit_test(test_blockers),
	    cmocka_unit_test(test_asks_for_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
