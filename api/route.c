#include "route.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "handlers.h"

const struct route routes[ROUTE_COUNT] = {
    {"GET", "/api/v1/functions/{id}/runtime", ROUTE_READ, ROUTE_BODY_IGNORED, handle_runtime_get},
    {"POST", "/api/v1/functions/{id}/runtime/restart", ROUTE_WRITE, ROUTE_BODY_IGNORED,
     handle_runtime_restart},
    {"POST", "/api/v1/functions/{id}/runtime/recycle", ROUTE_WRITE, ROUTE_BODY_IGNORED,
     handle_runtime_recycle},
    {"GET", "/api/v1/functions", ROUTE_READ, ROUTE_BODY_IGNORED, handle_function_list},
    {"POST", "/api/v1/functions", ROUTE_CREATE, ROUTE_BODY_READ, handle_function_create},
    {"GET", "/api/v1/functions/{id}", ROUTE_READ, ROUTE_BODY_IGNORED, handle_function_get},
    {"PUT", "/api/v1/functions/{id}", ROUTE_WRITE, ROUTE_BODY_READ, handle_function_update},
    {"DELETE", "/api/v1/functions/{id}", ROUTE_DELETE, ROUTE_BODY_IGNORED, handle_function_delete},
    {"GET", "/api/v1/functions/{id}/revisions", ROUTE_READ, ROUTE_BODY_IGNORED,
     handle_revision_find},
    {"POST", "/api/v1/functions/{id}/revisions", ROUTE_WRITE, ROUTE_BODY_READ,
     handle_revision_create},
    {"GET", "/api/v1/functions/{id}/revisions/{number}", ROUTE_READ, ROUTE_BODY_IGNORED,
     handle_revision_find},
    {"GET", "/api/v1/functions/{id}/aliases", ROUTE_READ, ROUTE_BODY_IGNORED, handle_alias_find},
    {"GET", "/api/v1/functions/{id}/aliases/{alias}", ROUTE_READ, ROUTE_BODY_IGNORED,
     handle_alias_find},
    {"PUT", "/api/v1/functions/{id}/aliases/{alias}", ROUTE_WRITE, ROUTE_BODY_READ,
     handle_alias_set},
    {"GET", "/api/v1/functions/{id}/cleanup", ROUTE_READ, ROUTE_BODY_IGNORED,
     handle_function_cleanup},
    {"GET", "/livez", ROUTE_PUBLIC, ROUTE_BODY_IGNORED, handle_livez},
    {"GET", "/readyz", ROUTE_PUBLIC, ROUTE_BODY_IGNORED, handle_readyz},
    {"GET", "/version", ROUTE_PUBLIC, ROUTE_BODY_IGNORED, handle_version},
    {"GET", "/openapi.yaml", ROUTE_PUBLIC, ROUTE_BODY_IGNORED, handle_openapi},
};

/* The longest path that a route can have: six segments, two of them placeholders. */
enum { SEGMENTS_MAX = 6, PLACES_MAX = 2, DECODED_MAX = PLACES_MAX * ROUTE_ID_MAX + 64 };

struct segments {
	const char *at[SEGMENTS_MAX];
	size_t count;
	char text[DECODED_MAX]; /* the segments, decoded, each with its NUL */
};

/* The byte at *path, of which an escape takes three; moves *path on. -1: no route has it. */
static int decode_byte(const char **path)
{
	uint8_t byte = (uint8_t) * *path;
	size_t taken = 1;
	if (byte == '%') {
		if (strnlen(*path, 3) < 3 || num_unhex(*path + 1, 2, &byte) < 0)
			return -1;
		taken = 3;
	}
	*path += taken;
	return byte >= 0x20 && byte < 0x7f ? byte : -1;
}

static int split(const char *path, struct segments *ret)
{
	size_t used = 0;
	ret->count = 0;
	while (*path == '/' && path[1] != '\0') {
		path++;
		if (ret->count == SEGMENTS_MAX)
			return -1;
		ret->at[ret->count++] = ret->text + used;
		while (*path && *path != '/') {
			int byte = decode_byte(&path);
			if (byte < 0 || used + 1 >= sizeof(ret->text))
				return -1;
			ret->text[used++] = (char)byte;
		}
		if (used >= sizeof(ret->text))
			return -1;
		ret->text[used++] = '\0';
	}
	return *path == '\0' || strcmp(path, "/") == 0 ? 0 : -1;
}

/* The segments in place of the pattern's placeholders, "" for those that it does not have. */
static bool fits(const char *pattern, const struct segments *segments,
                 const char *ret_places[PLACES_MAX])
{
	size_t place = 0;
	for (size_t i = 0; i < PLACES_MAX; i++)
		ret_places[i] = "";
	for (size_t i = 0; i < segments->count; i++) {
		const char *segment = segments->at[i];
		if (*pattern++ != '/')
			return false;
		size_t len = strcspn(pattern, "/"), segment_len = strlen(segment);
		if (*pattern == '{') {
			if (segment_len == 0 || segment_len > ROUTE_ID_MAX)
				return false;
			ret_places[place++] = segment;
		} else if (segment_len != len || memcmp(pattern, segment, len) != 0) {
			return false;
		}
		pattern += len;
	}
	return *pattern == '\0';
}

/* Adds a method to a list like "GET, HEAD, PUT". */
static void allow(char list[ROUTE_ALLOW_SIZE], const char *method)
{
	size_t len = strlen(list);
	(void)snprintf(list + len, ROUTE_ALLOW_SIZE - len, "%s%s", len > 0 ? ", " : "",
	               strcmp(method, "GET") == 0 ? "GET, HEAD" : method);
}

void route_find(const char *method, const char *path, struct route_match *ret)
{
	struct segments segments;
	const char *places[PLACES_MAX];
	*ret = (struct route_match){.status = 404};
	if (split(path, &segments) < 0)
		return;
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (!fits(routes[i].path, &segments, places))
			continue;
		if (strcmp(routes[i].method, wanted) == 0) {
			ret->status = 200;
			ret->route = &routes[i];
			ret->allow[0] = '\0';
			memcpy(ret->id, places[0], strlen(places[0]) + 1);
			memcpy(ret->sub, places[1], strlen(places[1]) + 1);
			return;
		}
		ret->status = 405;
		allow(ret->allow, routes[i].method);
	}
}
