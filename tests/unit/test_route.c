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
    {"get", "GET", F "/fn-1", 200, handle_function_get, "fn-1"},
    {"get with a slash", "GET", F "/fn-1/", 200, handle_function_get, "fn-1"},
    {"get by HEAD", "HEAD", F "/fn-1", 200, handle_function_get, "fn-1"},
    {"put", "PUT", F "/fn-1", 200, handle_function_update, "fn-1"},
    {"delete", "DELETE", F "/fn-1", 200, handle_function_delete, "fn-1"},
    {"runtime", "GET", F "/fn-1/runtime", 200, handle_runtime_get, "fn-1"},
    {"restart", "POST", F "/fn-1/runtime/restart", 200, handle_runtime_restart, "fn-1"},
    {"recycle", "POST", F "/fn-1/runtime/recycle", 200, handle_runtime_recycle, "fn-1"},
    {"a function called runtime", "GET", F "/runtime", 200, handle_function_get, "runtime"},
    {"its runtime", "GET", F "/runtime/runtime", 200, handle_runtime_get, "runtime"},
    {"livez", "GET", "/livez", 200, handle_livez, ""},
    {"readyz", "HEAD", "/readyz", 200, handle_readyz, ""},
    {"version", "GET", "/version", 200, handle_version, ""},

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
    {"unknown below a function", "GET", F "/fn-1/revisions", 404, NULL, ""},
    {"more segments than any route", "GET", F "/a/runtime/restart/x/y/z", 404, NULL, ""},
    {"slashes in front", "GET", "//livez", 404, NULL, ""},

    {"post to the list", "POST", F, 405, NULL, "GET, HEAD"},
    {"patch a function", "PATCH", F "/fn-1", 405, NULL, "GET, HEAD, PUT, DELETE"},
    {"options", "OPTIONS", F "/fn-1", 405, NULL, "GET, HEAD, PUT, DELETE"},
    {"get a recycle", "GET", F "/fn-1/runtime/recycle", 405, NULL, "POST"},
    {"head a recycle", "HEAD", F "/fn-1/runtime/recycle", 405, NULL, "POST"},
    {"put a runtime", "PUT", F "/fn-1/runtime", 405, NULL, "GET, HEAD"},
    {"post livez", "POST", "/livez", 405, NULL, "GET, HEAD"},
    {"methods are in upper case", "get", F, 405, NULL, "GET, HEAD"},
    {"no method", "", F, 405, NULL, "GET, HEAD"},
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
			assert_string_equal(match.allow, row->status == 405 ? row->more : "");
			continue;
		}
		if (match.route->handle != row->handle)
			fail_msg("%s: found %s %s", row->name, match.route->method, match.route->path);
		assert_string_equal(match.id, row->more);
		assert_string_equal(match.allow, "");
	}
}

static void test_every_route_is_in_a_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		bool seen = false;
		for (size_t j = 0; j < N_OF(rows); j++)
			seen |= rows[j].handle == routes[i].handle;
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
		                                                                    : ROUTE_WRITE;
		assert_int_equal(route->permission, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_every_route_is_in_a_row),
	    cmocka_unit_test(test_permissions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
