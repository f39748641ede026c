/* An HTTP/1.1 server on our loop: the one place that knows libmicrohttpd, so that it can be
 * replaced. It reads a whole request within limits, refuses what could be smuggled past a proxy
 * (http_guard.h), hands it to one function, and waits as long as that takes for the answer. */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"

struct http_server;
struct http_req;

struct http_limits {
	size_t header_max_bytes;   /* request line and headers together; past it (or 100 fields) 431 */
	unsigned conns_max;        /* connections in all; past it accepted and closed */
	unsigned conns_per_ip_max; /* per client address; 0: no limit of its own */
	int64_t idle_ms;           /* a connection without a byte moving is closed; whole seconds */
	int64_t request_ms;        /* from the first byte of a request to its last; then closed */
	int64_t answer_ms;         /* from its last byte to http_reply; then 503 in its place */
};

struct http_opts {
	/* "127.0.0.1:8080", "[::1]:0", ":8080" (both families); port 0: the kernel picks one */
	const char *listen;
	bool reuse_port; /* SO_REUSEPORT: several processes share the port */
	struct http_limits limits;
	/* Called when the headers are complete. Returns the largest body taken for this request, in
	 * bytes; a longer one is answered with on_refused(413) without being read. */
	size_t (*body_max)(void *arg, const char *method, const char *path);
	/* The whole request is here. Answer with http_reply(), now or later, exactly once. */
	void (*on_request)(void *arg, struct http_req *req);
	/* The server refuses a request by itself: 400 (guard, `why` says what), 413, 431, 503 (no
	 * answer in time). Reply with http_reply() at once; the connection closes after it. After a
	 * 503 the handler still owns its `req`, whose texts live on until it replies, into nothing. */
	void (*on_refused)(void *arg, struct http_req *req, int status, const char *why);
	void *arg;
};

/* Listens at once. NULL and *err: ERR_REJECT for a listen text that cannot be read, ERR_FATAL
 * when the address cannot be bound (with the address in the text). `loop` must outlive it. */
struct http_server *http_server_new(struct loop *loop, const struct http_opts *opts,
                                    struct err *err) MUST_CHECK;
/* Stops accepting; requests in work are still answered. */
void http_server_drain(struct http_server *server);
/* Requests that were handed out and not yet answered. */
unsigned http_server_open_requests(const struct http_server *server);
/* Open connections. */
unsigned http_server_connections(const struct http_server *server);
/* Closes everything, the open requests included (their http_req is gone after this). */
void http_server_free(struct http_server *server);
/* The port that it listens on, 1 to 65535. */
int http_server_port(const struct http_server *server);

/* What a request brings. All texts are borrowed and live until http_reply(). */
const char *http_req_method(const struct http_req *req);
const char *http_req_path(const struct http_req *req); /* raw: not percent-decoded, no query */
/* The value of ?name=..., percent-decoded; NULL when absent, "" when it has no value. */
const char *http_req_query(const struct http_req *req, const char *name);
const char *http_req_header(const struct http_req *req, const char *name); /* NULL when absent */
const char *http_req_body(const struct http_req *req, size_t *ret_len);    /* never NULL */
const char *http_req_peer(const struct http_req *req); /* the client's address, no port */
int64_t
http_req_start_us(const struct http_req *req); /* loop time when its headers were complete */
/* A slot for the handler's own state. */
void http_req_set_state(struct http_req *req, void *state);
void *http_req_state(const struct http_req *req);

struct http_header {
	const char *name, *value;
};
/* Answers with `len` bytes of `body` (copied) and these headers. Content-Length and Date are added.
 * `content_type` may be NULL for an empty body. `req` must not be used after it. A request with a
 * chunked body is the last one on its connection. */
void http_reply(struct http_req *req, int status, const char *content_type, const void *body,
                size_t len, const struct http_header *headers, size_t header_count);
/* For a simulator that misbehaves: closes the connection without an answer (reset). */
void http_abort(struct http_req *req);

#endif
