/* What the parts of the HTTP server share. Nobody else includes this. */
#ifndef BASE_HTTP_PRIV_H
#define BASE_HTTP_PRIV_H

#include <microhttpd.h>
#include <netinet/in.h>

#include "buf.h"
#include "http.h"
#include "http_guard.h"

enum {
	HTTP_FIELDS_MAX = 100, /* header fields of one request; past it 431 */
	HTTP_ARGS_MAX = 32,    /* query arguments of one request; past it 400 */
	HTTP_LINGER_MAX = 64,  /* refused connections that are drained at one time */
};

enum http_phase {
	PHASE_IDLE, /* no request line yet */
	PHASE_HEAD, /* the request line is here */
	PHASE_BODY, /* the headers were taken */
	PHASE_OPEN, /* somebody has to answer it */
	PHASE_DONE, /* answered */
	PHASE_DROP, /* to be closed without a further word */
};

/* One per connection, used again for each of its requests. Between the hand-out and a late answer
 * the connection is suspended: libmicrohttpd does not look at it, so neither it nor its texts can
 * go away under the handler. */
struct http_req {
	struct http_server *server;
	struct MHD_Connection *conn;
	int fd;
	enum http_phase phase;
	bool handed_out; /* to on_request, whose owner has not replied yet */
	bool suspended;
	bool raw;            /* the answer goes past libmicrohttpd, which would not take it any more */
	bool close_after;    /* this request is the last on its connection */
	const char *bad_uri; /* what is wrong with the request target, or NULL */
	const char *method, *path;
	const char *uri; /* as it came: path and query */
	size_t uri_len;
	struct buf body;
	int64_t start_us;
	void *state;
	int64_t answer_due_us;
	struct http_req *wait_next, *wait_prev; /* open requests, the oldest first */
	/* How long the client has been sending this request (see look_at). */
	uint64_t served, looked_served, looked_bytes;
	int64_t begun_us; /* 0: not begun */
	int64_t look_due_us;
	struct http_req *next, *prev; /* all connections, the next to look at first */
	char peer[INET6_ADDRSTRLEN];
};

/* A refused connection whose client may still be sending: closing it at once would send a reset,
 * and the reset would overtake the answer. */
struct http_linger {
	struct http_server *server;
	struct loop_io io;
	struct loop_timer timer;
	int64_t left;
};

struct http_req_list {
	struct http_req *first, *last;
};

struct http_server {
	struct loop *loop;
	struct http_opts opts;
	struct MHD_Daemon *daemon;
	int port;
	bool draining;
	bool in_place; /* see left_no_gap */
	unsigned open_count, conn_count;
	struct loop_io io;       /* libmicrohttpd's epoll descriptor */
	struct loop_timer timer; /* when libmicrohttpd wants to run next */
	int64_t stall_us;        /* see on_timer */
	uint64_t progress;       /* callbacks so far */
	struct loop_task task;   /* runs it after late answers */
	int64_t task_round_us;   /* the round in which `task` ran last */
	struct loop_timer look_timer, answer_timer;
	struct http_req_list conns, waiting;
	struct http_field fields[HTTP_FIELDS_MAX]; /* of the request whose headers are being checked */
	size_t field_count;
	struct http_linger lingers[HTTP_LINGER_MAX];
};

/* http_listen.c: a socket that listens, or -1 and *err as http_server_new() says. */
int http_listen(const struct http_opts *opts, struct err *err) MUST_CHECK;
int http_listen_port(int fd);

/* http_take.c: libmicrohttpd's callbacks from the request line to the end of the request. */
void *http_on_uri(void *arg, const char *uri, struct MHD_Connection *conn);
size_t http_on_unescape(void *arg, struct MHD_Connection *conn, char *text);
enum MHD_Result http_on_access(void *arg, struct MHD_Connection *conn, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_len, void **context);
void http_on_completed(void *arg, struct MHD_Connection *conn, void **context,
                       enum MHD_RequestTerminationCode code);

/* http_answer.c. Before the body: libmicrohttpd takes the answer, and closes after it. */
enum MHD_Result http_refuse(struct http_req *req, int status, const char *why);
/* Later: the answer goes to the socket as it is. */
void http_refuse_raw(struct http_req *req, int status, const char *why);
/* Open requests and their deadline. */
void http_waiting_add(struct http_req *req);
void http_waiting_remove(struct http_req *req);
void http_on_answer_timer(void *arg);
/* Keeps the socket for a moment after libmicrohttpd has closed its descriptor. */
void http_linger_start(struct http_server *server, int fd);
void http_linger_stop(struct http_linger *linger);

/* http.c: lets libmicrohttpd look at a suspended connection again. */
void http_resume(struct http_req *req);

#endif
