/* route_find: one row per request line, and what it must find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/handlers.h"
#include "base/macros.h"

#define F "/api/v1/functions"
#define X16 "xxxxxxxxxxxxxxxx"
#define X255 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 "xxxxxxxxxxxxxxx"

struct row {
	const char *name, *method, *path;
	int status;
	void (*handle)(struct exchange *exchange);
	const char *more; /* the id; the Allow header with 405 */
};

static const struct row rows[] = {
    {"list", "GET", F, 200, handle_function_list, ""},
    {"list with a slash", "GET", F "/", 200, handle_function_list, ""},
    {"list by HEAD", "HEAD", F, 200, handle_function_list, ""},
    {"list with two slashes", "GET", F "//", 404, NULL, ""},
    {"create", "POST", F, 200, handle_function_create, ""},
    {"create with a slash", "POST", F "/", 200, handle_function_create, ""},
    {"get", "GET", F "/fn-1", 200, handle_function_get, "fn-1"},
    {"get with a slash", "GET", F "/fn-1/", 200, handle_function_get, "fn-1"},
    {"get by HEAD", "HEAD", F "/fn-1", 200, handle_function_get, "fn-1"},
    {"put", "PUT", F "/fn-1", 200, handle_function_update, "fn-1"},
    {"delete", "DELETE", F "/fn-1", 200, handle_function_delete, "fn-1"},
    {"runtime", "GET", F "/fn-1/runtime", 200, handle_runtime_get, "fn-1"},
    {"restart", "POST", F "/fn-1/runtime/restart", 200, handle_runtime_restart, "fn-1"},
    {"recycle", "POST", F "/fn-1/runtime/recycle", 200, handle_runtime_recycle, "fn-1"},
    {"revisions", "GET", F "/fn-1/revisions", 200, handle_revision_find, "fn-1"},
    {"revisions with a slash", "GET", F "/fn-1/revisions/", 200, handle_revision_find, "fn-1"},
    {"revisions by HEAD", "HEAD", F "/fn-1/revisions", 200, handle_revision_find, "fn-1"},
    {"publish", "POST", F "/fn-1/revisions", 200, handle_revision_create, "fn-1"},
    {"aliases", "GET", F "/fn-1/aliases", 200, handle_alias_find, "fn-1"},
    {"cleanup", "GET", F "/fn-1/cleanup", 200, handle_function_cleanup, "fn-1"},
    {"cleanup by HEAD", "HEAD", F "/fn-1/cleanup", 200, handle_function_cleanup, "fn-1"},
    {"a function called revisions", "GET", F "/revisions", 200, handle_function_get, "revisions"},
    {"its revisions", "GET", F "/revisions/revisions", 200, handle_revision_find, "revisions"},
    {"a function called runtime", "GET", F "/runtime", 200, handle_function_get, "runtime"},
    {"its runtime", "GET", F "/runtime/runtime", 200, handle_runtime_get, "runtime"},
    {"livez", "GET", "/livez", 200, handle_livez, ""},
    {"readyz", "HEAD", "/readyz", 200, handle_readyz, ""},
    {"version", "GET", "/version", 200, handle_version, ""},
    {"openapi", "GET", "/openapi.yaml", 200, handle_openapi, ""},

    {"a decoded id", "GET", F "/%66n%2d1", 200, handle_function_get, "fn-1"},
    {"braces", "GET", F "/%7Babc%7d", 200, handle_function_get, "{abc}"},
    {"a slash stays inside its segment", "GET", F "/a%2Fruntime", 200, handle_function_get,
     "a/runtime"},
    {"literals are decoded too", "GET", "/api/v1/%66unctions/a", 200, handle_function_get, "a"},
    {"a plus is a plus", "GET", F "/a+b", 200, handle_function_get, "a+b"},
    {"decoded once only", "GET", F "/%2566", 200, handle_function_get, "%66"},
    {"dots are an id like another", "GET", F "/..", 200, handle_function_get, ".."},
    {"a placeholder", "GET", F "/%7Bid%7D", 200, handle_function_get, "{id}"},
    {"longest id", "GET", F "/" X255, 200, handle_function_get, X255},
    {"longest id, longest path", "POST", F "/" X255 "/runtime/recycle", 200, handle_runtime_recycle,
     X255},
    {"an id too long", "GET", F "/" X255 "x", 404, NULL, ""},
    {"far too long", "GET", F "/" X255 X255, 404, NULL, ""},

    {"escaped NUL", "GET", F "/a%00", 404, NULL, ""},
    {"escaped control", "GET", F "/a%0a", 404, NULL, ""},
    {"escaped DEL", "GET", F "/a%7f", 404, NULL, ""},
    {"escaped non-ASCII", "GET", F "/%c3%bc", 404, NULL, ""},
    {"raw non-ASCII", "GET", F "/\xc3\xbc", 404, NULL, ""},
    {"not hex", "GET", F "/%zz", 404, NULL, ""},
    {"half an escape", "GET", F "/%4", 404, NULL, ""},
    {"an escape cut by a slash", "GET", F "/%/runtime", 404, NULL, ""},
    {"a lone percent", "GET", F "/a%", 404, NULL, ""},

    {"root", "GET", "/", 404, NULL, ""},
    {"empty", "GET", "", 404, NULL, ""},
    {"asterisk", "OPTIONS", "*", 404, NULL, ""},
    {"no slash", "GET", "livez", 404, NULL, ""},
    {"another case", "GET", "/api/v1/Functions", 404, NULL, ""},
    {"a prefix", "GET", "/api/v1/function", 404, NULL, ""},
    {"more than a route", "GET", "/livezz", 404, NULL, ""},
    {"less than a route", "GET", "/api/v1", 404, NULL, ""},
    {"below a route", "GET", "/livez/x", 404, NULL, ""},
    {"no id", "GET", F "//runtime", 404, NULL, ""},
    {"unknown below a function", "GET", F "/fn-1/revision", 404, NULL, ""},
    {"unknown below a runtime", "POST", F "/fn-1/runtime/stop", 404, NULL, ""},
    {"below cleanup", "GET", F "/fn-1/cleanup/1", 404, NULL, ""},
    {"below a revision", "GET", F "/fn-1/revisions/1/runtime", 404, NULL, ""},
    {"below an alias", "GET", F "/fn-1/aliases/a/b", 404, NULL, ""},
    {"no number", "GET", F "/fn-1/revisions//", 404, NULL, ""},
    {"no alias", "PUT", F "/fn-1/aliases//", 404, NULL, ""},
    {"neither id nor number", "GET", F "//revisions//", 404, NULL, ""},
    {"a number, but no id", "GET", F "//revisions/1", 404, NULL, ""},
    {"an alias too long", "GET", F "/fn-1/aliases/" X255 "x", 404, NULL, ""},
    {"an alias far too long", "GET", F "/fn-1/aliases/" X255 X255 X255 X255, 404, NULL, ""},
    {"both far too long", "GET", F "/" X255 X255 "/aliases/" X255 X255, 404, NULL, ""},
    {"too long behind the longest", "GET", F "/" X255 "/aliases/" X255 "x", 404, NULL, ""},
    {"the longest behind too long", "GET", F "/" X255 "x/aliases/" X255, 404, NULL, ""},
    {"escaped NUL in a number", "GET", F "/fn-1/revisions/1%00", 404, NULL, ""},
    {"not ASCII in an alias", "GET", F "/fn-1/aliases/%c3%bc", 404, NULL, ""},
    {"half an escape in an alias", "GET", F "/fn-1/aliases/a%4", 404, NULL, ""},
    {"more segments than any route", "GET", F "/a/runtime/restart/x/y/z", 404, NULL, ""},
    {"slashes in front", "GET", "//livez", 404, NULL, ""},

    {"put a list", "PUT", F, 405, NULL, "GET, HEAD, POST"},
    {"delete a list with a slash", "DELETE", F "/", 405, NULL, "GET, HEAD, POST"},
    {"post to a function", "POST", F "/fn-1", 405, NULL, "GET, HEAD, PUT, DELETE"},
    {"delete revisions", "DELETE", F "/fn-1/revisions", 405, NULL, "GET, HEAD, POST"},
    {"put a revision", "PUT", F "/fn-1/revisions/1", 405, NULL, "GET, HEAD"},
    {"delete a revision", "DELETE", F "/fn-1/revisions/1/", 405, NULL, "GET, HEAD"},
    {"post to aliases", "POST", F "/fn-1/aliases", 405, NULL, "GET, HEAD"},
    {"delete an alias", "DELETE", F "/fn-1/aliases/a", 405, NULL, "GET, HEAD, PUT"},
    {"post to an alias", "POST", F "/fn-1/aliases/" X255, 405, NULL, "GET, HEAD, PUT"},
    {"post to cleanup", "POST", F "/fn-1/cleanup", 405, NULL, "GET, HEAD"},
    {"patch a function", "PATCH", F "/fn-1", 405, NULL, "GET, HEAD, PUT, DELETE"},
    {"options", "OPTIONS", F "/fn-1", 405, NULL, "GET, HEAD, PUT, DELETE"},
    {"get a recycle", "GET", F "/fn-1/runtime/recycle", 405, NULL, "POST"},
    {"head a recycle", "HEAD", F "/fn-1/runtime/recycle", 405, NULL, "POST"},
    {"put a runtime", "PUT", F "/fn-1/runtime", 405, NULL, "GET, HEAD"},
    {"post livez", "POST", "/livez", 405, NULL, "GET, HEAD"},
    {"methods are in upper case", "get", F, 405, NULL, "GET, HEAD, POST"},
    {"no method", "", F, 405, NULL, "GET, HEAD, POST"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct row *row = &rows[i];
		struct route_match match;
		memset(&match, 0xa5, sizeof(match));
		route_find(row->method, row->path, &match);
		if (match.status != row->status)
			fail_msg("%s: %d, not %d", row->name, match.status, row->status);
		if (row->status != 200) {
			assert_null(match.route);
			assert_string_equal(match.id, "");
			assert_string_equal(match.sub, "");
			assert_string_equal(match.allow, row->status == 405 ? row->more : "");
			continue;
		}
		if (match.route->handle != row->handle)
			fail_msg("%s: found %s %s", row->name, match.route->method, match.route->path);
		assert_string_equal(match.id, row->more);
		assert_string_equal(match.sub, "");
		assert_string_equal(match.allow, "");
	}
}

/* Paths with two placeholders. */
static const struct pair_row {
	const char *name, *method, *path;
	void (*handle)(struct exchange *exchange);
	const char *id, *sub;
} pairs[] = {
    {"revision", "GET", F "/fn-1/revisions/7", handle_revision_find, "fn-1", "7"},
    {"revision with a slash", "GET", F "/fn-1/revisions/7/", handle_revision_find, "fn-1", "7"},
    {"revision by HEAD", "HEAD", F "/fn-1/revisions/7", handle_revision_find, "fn-1", "7"},
    {"what a number is, is not asked here", "GET", F "/fn-1/revisions/-x", handle_revision_find,
     "fn-1", "-x"},
    {"alias", "GET", F "/fn-1/aliases/production", handle_alias_find, "fn-1", "production"},
    {"alias by HEAD", "HEAD", F "/fn-1/aliases/production", handle_alias_find, "fn-1",
     "production"},
    {"put an alias", "PUT", F "/fn-1/aliases/canary", handle_alias_set, "fn-1", "canary"},
    {"names like the route's own", "GET", F "/aliases/aliases/aliases", handle_alias_find,
     "aliases", "aliases"},
    {"placeholders", "GET", F "/%7Bid%7D/revisions/{number}", handle_revision_find, "{id}",
     "{number}"},
    {"decoded", "GET", F "/%66n/aliases/%61%2Db", handle_alias_find, "fn", "a-b"},
    {"slashes stay inside", "PUT", F "/a%2fb/aliases/c%2F", handle_alias_set, "a/b", "c/"},
    {"decoded once only", "GET", F "/%2566/aliases/%2541", handle_alias_find, "%66", "%41"},
    {"dots", "GET", F "/./aliases/..", handle_alias_find, ".", ".."},
    {"one byte each", "GET", F "/a/revisions/1", handle_revision_find, "a", "1"},
    {"the longest", "PUT", F "/" X255 "/aliases/" X255, handle_alias_set, X255, X255},
    {"the longest with a slash", "GET", F "/" X255 "/revisions/" X255 "/", handle_revision_find,
     X255, X255},
};

static void test_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(pairs); i++) {
		const struct pair_row *row = &pairs[i];
		struct route_match match;
		memset(&match, 0xa5, sizeof(match));
		route_find(row->method, row->path, &match);
		if (match.status != 200 || match.route->handle != row->handle)
			fail_msg("%s: %d", row->name, match.status);
		assert_string_equal(match.id, row->id);
		assert_string_equal(match.sub, row->sub);
		assert_string_equal(match.allow, "");
	}
}

/* Escapes are three bytes for one: the longest path of all. */
static void test_the_longest_path(void **state)
{
	(void)state;
	char path[4096] = F "/";
	struct route_match match;
	for (int i = 0; i < ROUTE_ID_MAX; i++)
		strcat(path, "%78");
	strcat(path, "/aliases/");
	for (int i = 0; i < ROUTE_ID_MAX; i++)
		strcat(path, "%78");
	route_find("GET", path, &match);
	assert_int_equal(match.status, 200);
	assert_string_equal(match.id, X255);
	assert_string_equal(match.sub, X255);
	strcat(path, "%78");
	route_find("GET", path, &match);
	assert_int_equal(match.status, 404);
}

static void test_every_route_is_in_a_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		bool seen = false;
		for (size_t j = 0; j < N_OF(rows); j++)
			seen |= rows[j].handle == routes[i].handle;
		for (size_t j = 0; j < N_OF(pairs); j++)
			seen |= pairs[j].handle == routes[i].handle;
		if (!seen)
			fail_msg("no row finds %s %s", routes[i].method, routes[i].path);
	}
}

/* What may be done with which permission is the table's, and nobody else's. */
static void test_permissions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		const struct route *route = &routes[i];
		bool function = strncmp(route->path, F, strlen(F)) == 0;
		enum route_permission want = !function                              ? ROUTE_PUBLIC
		                             : strcmp(route->method, "GET") == 0    ? ROUTE_READ
		                             : strcmp(route->method, "DELETE") == 0 ? ROUTE_DELETE
		                             : strcmp(route->path, F) == 0          ? ROUTE_CREATE
		                                                                    : ROUTE_WRITE;
		if (route->permission != want)
			fail_msg("%s %s", route->method, route->path);
	}
}

static void test_who_reads_a_body(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path;
	} readers[] = {
	    {"POST", F},
	    {"PUT", F "/{id}"},
	    {"POST", F "/{id}/revisions"},
	    {"PUT", F "/{id}/aliases/{alias}"},
	};
	size_t seen = 0;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		bool reads = false;
		for (size_t j = 0; j < N_OF(readers); j++)
			reads |= strcmp(routes[i].method, readers[j].method) == 0 &&
			         strcmp(routes[i].path, readers[j].path) == 0;
		seen += reads;
		if (routes[i].body_max != (reads ? ROUTE_BODY_READ : (size_t)ROUTE_BODY_IGNORED))
			fail_msg("%s %s", routes[i].method, routes[i].path);
	}
	assert_int_equal(seen, N_OF(readers));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_pairs),
	    cmocka_unit_test(test_the_longest_path),
	    cmocka_unit_test(test_every_route_is_in_a_row),
	    cmocka_unit_test(test_permissions),
	    cmocka_unit_test(test_who_reads_a_body),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
