/* Which handler answers a request: one table of method, path, permission and body limit. 404, 405
 * and its Allow header fall out of the look-up. */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include <stddef.h>

struct exchange; /* handlers.h */

enum {
	ROUTE_ID_MAX = 255,        /* bytes of a placeholder, decoded */
	ROUTE_BODY_IGNORED = 4096, /* for a route that reads no body: what clients send all the same */
	ROUTE_ALLOW_SIZE = 64,
};
/* The body is read; the configuration says how long it may be. */
#define ROUTE_BODY_READ ((size_t)-1)

enum route_permission {
	ROUTE_PUBLIC, /* no key is asked for */
	ROUTE_READ,   /* function:read */
	ROUTE_CREATE, /* function:create */
	ROUTE_WRITE,  /* function:write */
	ROUTE_DELETE, /* function:delete */
};

struct route {
	const char *method; /* GET answers HEAD too */
	const char *path;   /* "{id}" stands for any one segment; two at most */
	enum route_permission permission;
	size_t body_max; /* bytes, or ROUTE_BODY_READ */
	void (*handle)(struct exchange *exchange);
};
enum { ROUTE_COUNT = 19 };
extern const struct route routes[ROUTE_COUNT];

struct route_match {
	int status;                 /* 200, 404 or 405 */
	const struct route *route;  /* with 200, otherwise NULL */
	char id[ROUTE_ID_MAX + 1];  /* with 200: the first placeholder's segment, decoded; "" without */
	char sub[ROUTE_ID_MAX + 1]; /* the second one's */
	char allow[ROUTE_ALLOW_SIZE]; /* with 405: "GET, HEAD, PUT" */
};

/* Looks up `method` and a raw path (not percent-decoded, without the query). The path is split at
 * its slashes first and decoded after, so that %2F stays inside its segment; one slash at the end
 * is ignored. A bad escape, or a byte that no id or slug can have (control, NUL, not ASCII), is
 * an unknown path. Pure; allocates nothing. */
void route_find(const char *method, const char *path, struct route_match *ret);

#endif
