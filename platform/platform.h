/* The sandbox platform's HTTP API, as far as deleting and publishing need it: the only user of libcurl.
 * Asynchronous on our loop (curl multi, keep-alive, HTTP/2 by ALPN over TLS), every call with a
 * deadline and a bound on the answer's size. What an answer means for a row is not decided here. */
#ifndef PLATFORM_PLATFORM_H
#define PLATFORM_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "base/uuid.h"

/* The [platform] section. */
struct platform_config {
	const char *url;     /* "https://platform.example:8443", required; no path, no query */
	const char *token;   /* a key of scope platform; secret, required */
	const char *ca_file; /* "" : the system's */
	int64_t connect_timeout_ms;
	int64_t timeout_ms; /* of one whole call */
	int64_t connections_max;
	int64_t body_max_bytes; /* of an answer; past it PLATFORM_TOO_LARGE */
};
extern const struct config_section platform_section;

enum platform_op {
	PLATFORM_SANDBOX_DELETE,  /* DELETE /api/v1/sandboxes/{id} */
	PLATFORM_SANDBOX_GET,     /* GET    /api/v1/sandboxes/{id} */
	PLATFORM_VOLUME_DELETE,   /* DELETE /api/v1/sandboxvolumes/{id} ; never with force */
	PLATFORM_VOLUME_GET,      /* GET    /api/v1/sandboxvolumes/{id} */
	PLATFORM_SNAPSHOT_DELETE, /* DELETE /api/v1/sandboxvolumes/{parent}/snapshots/{id} */
	PLATFORM_SANDBOX_LIST,    /* GET    /api/v1/sandboxes?limit=&offset= ; no id */
	PLATFORM_VOLUME_LIST,     /* GET    /api/v1/sandboxvolumes ; no id, no paging */
	PLATFORM_SNAPSHOT_CREATE, /* POST   /api/v1/sandboxvolumes/{parent}/snapshots ; no id */
	PLATFORM_VOLUME_CREATE,   /* POST   /api/v1/sandboxvolumes ; no id */
	PLATFORM_OP_COUNT,
};

enum { PLATFORM_REQUEST_MAX_BYTES = 64 * 1024 };

/* How a call ended short of an answer that can be trusted. */
enum platform_fault {
	PLATFORM_ANSWERED, /* a complete, well-formed answer: look at status and code */
	PLATFORM_CONNECT,  /* no connection (refused, DNS, TLS): nothing was sent */
	PLATFORM_TIMEOUT,
	PLATFORM_RESET,     /* the connection broke before the answer was complete */
	PLATFORM_MALFORMED, /* an answer that is no envelope of the contract */
	PLATFORM_TOO_LARGE,
	PLATFORM_CANCELLED, /* by us */
	PLATFORM_FAULT_COUNT,
};

struct platform_answer {
	enum platform_fault fault;
	int status;     /* HTTP; 0 without one */
	char code[32];  /* the error envelope's code; "" without one */
	char text[160]; /* one line for people: the message, or what went wrong */
	int64_t
	    retry_after_ms; /* 0: none. Seconds or an HTTP date (RFC 9110 10.2.3), at most an hour */
	int64_t latency_us;
	bool reused; /* the connection was kept alive from before */
	/* The body of a trusted 2xx to a GET or a POST, for inventory.h; borrowed until `done` returns, whatever it
	 * sends or cancels meanwhile. NULL otherwise. A listing's was not parsed yet: what inventory.h refuses
	 * of it is to be taken for PLATFORM_MALFORMED. */
	const char *body;
	size_t body_len;
};

struct platform;
struct platform_call; /* in flight */

/* NULL and *err: ERR_REJECT "config" for a URL or CA file that cannot be used; ERR_FATAL. */
struct platform *platform_new(struct loop *loop, const struct platform_config *config,
                              struct metrics *metrics, struct err *err) MUST_CHECK;
void platform_free(struct platform *platform); /* cancels everything, calling back nobody */

struct platform_request {
	enum platform_op op;
	struct uuid team_id;     /* X-Team-ID */
	const char *id;          /* percent-encoded into the path; NULL for a listing or a POST */
	const char *parent_id;   /* a snapshot's volume; else NULL */
	const char *body;        /* JSON text of a POST, up to PLATFORM_REQUEST_MAX_BYTES; else NULL */
	const char *traceparent; /* "" or a parent: the call gets a child span of it */
	int64_t limit, offset;   /* PLATFORM_SANDBOX_LIST: rows of the page, and where it begins */
	void (*done)(void *arg, const struct platform_answer *answer); /* exactly once, from the loop */
	void *arg;
};
/* Everything is copied. A POST goes out once at most, since a second one would make a second thing. It
 * made its thing after a 2xx, it made none after CONNECT or a 4xx, and after all else nobody here can
 * know. NULL and *err (done is not called): ERR_RETRY without memory; ERR_REJECT
 * "bad_id" for an id that cannot be one part of a path: NULL, empty, ".", ".." (whatever stands
 * between could resolve them and another resource would be deleted) or longer than 256 bytes;
 * "bad_page" for a limit outside 1..INVENTORY_PAGE_MAX, which the platform would change silently, or
 * an offset below 0; "bad_body" for a POST without a body, with an empty or a longer one, or any
 * other call with one. */
struct platform_call *platform_send(struct platform *platform,
                                    const struct platform_request *request,
                                    struct err *err) MUST_CHECK;
/* Drops the call at once: `done` is not called, the connection is closed. */
void platform_cancel(struct platform_call *call);
int platform_in_flight(const struct platform *platform);

const char *platform_op_name(enum platform_op op);          /* "sandbox_delete" */
const char *platform_fault_name(enum platform_fault fault); /* "timeout" */

#endif
