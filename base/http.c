#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "http_guard.h"
#include "num.h"

enum {
	FIELDS_MAX = 100,         /* header fields of one request; past it 431 */
	ARGS_MAX = 32,            /* query arguments of one request; past it 400 */
	BACKLOG = 1024,           /* the kernel cuts it to net.core.somaxconn */
	BODY_KEEP = 16 * 1024,    /* a body buffer up to this size stays for the next request */
	RAW_HEAD_MAX = 16 * 1024, /* headers of an answer that we write ourselves */
	PERIODS = 8,              /* looks at a connection within request_ms */
	LINGER_MAX = 64,          /* refused connections that are drained at one time */
	LINGER_US = 1000000,
	STALL_MAX_US = 20000,
	LINGER_BYTES = 4 * 1024 * 1024,
};

enum phase {
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
	enum phase phase;
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
struct lingerer {
	struct http_server *server;
	struct loop_io io;
	struct loop_timer timer;
	int64_t left;
};

struct req_list {
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
	struct req_list conns, waiting;
	struct http_field fields[FIELDS_MAX]; /* of the request whose headers are being checked */
	size_t field_count;
	struct lingerer lingers[LINGER_MAX];
};

/* ---- running libmicrohttpd ---- */

/* Keeps the earlier time when one is set: idle timeouts move with every byte, and running once too
 * often is cheaper than moving a timer on every request. */
static void schedule(struct http_server *server)
{
	MHD_UNSIGNED_LONG_LONG ms;
	if (MHD_get_timeout(server->daemon, &ms) != MHD_YES)
		return;
	if (ms > 0)
		server->stall_us = 0;
	int64_t delay_us = ms < 3600000 ? (int64_t)ms * 1000 + server->stall_us : 3600000000;
	if (server->timer.armed && server->timer.due_us <= loop_now_us(server->loop) + delay_us)
		return;
	loop_timer_set(server->loop, &server->timer, delay_us);
}

static void run(struct http_server *server)
{
	(void)MHD_run(server->daemon);
	schedule(server);
}

static void on_ready(void *arg, uint32_t events)
{
	(void)events;
	run(arg);
}

/* A chunk line longer than libmicrohttpd's buffer makes it ask to be run again at once, for ever.
 * A run that it asked for and that got nowhere is therefore followed by a pause; the connection
 * falls to request_ms. */
static void on_timer(void *arg)
{
	struct http_server *server = arg;
	uint64_t before = server->progress;
	(void)MHD_run(server->daemon);
	if (server->progress != before)
		server->stall_us = 0;
	else
		server->stall_us =
		    server->stall_us < STALL_MAX_US ? server->stall_us * 2 + 500 : STALL_MAX_US;
	schedule(server);
}

/* Once a round: fast clients would keep a round going for ever. */
static void on_task(void *arg)
{
	struct http_server *server = arg;
	if (server->task_round_us == loop_now_us(server->loop)) {
		loop_timer_set(server->loop, &server->timer, 0);
		return;
	}
	server->task_round_us = loop_now_us(server->loop);
	run(server);
}

static void resume(struct http_req *req)
{
	req->suspended = false;
	MHD_resume_connection(req->conn);
	loop_defer(req->server->loop, &req->server->task);
}

/* ---- lingering ---- */

static void linger_stop(struct lingerer *linger)
{
	if (!linger->io.added)
		return;
	loop_timer_stop(linger->server->loop, &linger->timer);
	loop_io_del(linger->server->loop, &linger->io);
	(void)close(linger->io.fd);
}

static void on_linger_timer(void *arg)
{
	linger_stop(arg);
}

static void on_linger_io(void *arg, uint32_t events)
{
	(void)events;
	struct lingerer *linger = arg;
	char away[16 * 1024];
	ssize_t n = recv(linger->io.fd, away, sizeof(away), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	linger->left -= n;
	if (n <= 0 || linger->left <= 0)
		linger_stop(linger);
}

/* Keeps the socket for a moment after libmicrohttpd has closed its descriptor. */
static void linger_start(struct http_server *server, int fd)
{
	for (size_t i = 0; i < LINGER_MAX; i++) {
		struct lingerer *linger = &server->lingers[i];
		if (linger->io.added)
			continue;
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (copy < 0)
			return;
		linger->server = server;
		linger->left = LINGER_BYTES;
		loop_timer_init(&linger->timer, on_linger_timer, linger);
		if (loop_io_add(server->loop, &linger->io, copy, EPOLLIN, on_linger_io, linger, NULL) < 0)
			(void)close(copy);
		else
			loop_timer_set(server->loop, &linger->timer, LINGER_US);
		return;
	}
}

/* ---- answers ---- */

static void waiting_add(struct http_req *req)
{
	struct http_server *server = req->server;
	if (server->opts.limits.answer_ms <= 0)
		return;
	req->answer_due_us = loop_now_us(server->loop) + server->opts.limits.answer_ms * 1000;
	req->wait_next = NULL;
	req->wait_prev = server->waiting.last;
	if (req->wait_prev)
		req->wait_prev->wait_next = req;
	else
		server->waiting.first = req;
	server->waiting.last = req;
	if (!server->answer_timer.armed)
		loop_timer_set(server->loop, &server->answer_timer, server->opts.limits.answer_ms * 1000);
}

static void waiting_remove(struct http_req *req)
{
	struct http_server *server = req->server;
	if (!req->wait_prev && server->waiting.first != req)
		return;
	if (req->wait_prev)
		req->wait_prev->wait_next = req->wait_next;
	else
		server->waiting.first = req->wait_next;
	if (req->wait_next)
		req->wait_next->wait_prev = req->wait_prev;
	else
		server->waiting.last = req->wait_prev;
	req->wait_next = req->wait_prev = NULL;
}

struct answer {
	int status;
	const char *type;
	const void *body;
	size_t len;
	const struct http_header *headers;
	size_t header_count;
};

static struct MHD_Response *response_new(const struct answer *answer, bool close_after)
{
	/* MHD_RESPMEM_MUST_COPY: it does not write to the body. */
	struct MHD_Response *res = MHD_create_response_from_buffer(
	    answer->len, (void *)(uintptr_t)answer->body, MHD_RESPMEM_MUST_COPY);
	if (!res)
		return NULL;
	if (answer->type)
		(void)MHD_add_response_header(res, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
	for (size_t i = 0; i < answer->header_count; i++)
		(void)MHD_add_response_header(res, answer->headers[i].name, answer->headers[i].value);
	if (close_after)
		(void)MHD_add_response_header(res, MHD_HTTP_HEADER_CONNECTION, "close");
	return res;
}

static void answer_queued(struct http_req *req, const struct answer *answer)
{
	struct MHD_Response *res = response_new(answer, req->close_after || req->server->draining);
	bool queued = res && MHD_queue_response(req->conn, (unsigned)answer->status, res) == MHD_YES;
	if (res)
		MHD_destroy_response(res);
	req->phase = queued ? PHASE_DONE : PHASE_DROP;
}

/* Writes the answer to the socket ourselves, in one go: what the socket does not take is lost with
 * the connection, which ends here. */
static void answer_raw(struct http_req *req, const struct answer *answer)
{
	char date[40] = "";
	time_t now = (time_t)(loop_wall_us(req->server->loop) / 1000000);
	struct tm tm;
	if (gmtime_r(&now, &tm))
		(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	struct buf AUTO(buf_done) out;
	buf_init(&out, RAW_HEAD_MAX + answer->len);
	const char *reason = MHD_get_reason_phrase_for((unsigned)answer->status);
	(void)buf_printf(&out, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n", answer->status,
	                 reason ? reason : "Unknown", date);
	if (answer->type)
		(void)buf_printf(&out, "Content-Type: %s\r\n", answer->type);
	for (size_t i = 0; i < answer->header_count; i++)
		(void)buf_printf(&out, "%s: %s\r\n", answer->headers[i].name, answer->headers[i].value);
	(void)buf_printf(&out, "Content-Length: %zu\r\n\r\n", answer->len);
	if (strcmp(req->method, "HEAD") != 0)
		(void)buf_add(&out, answer->body, answer->len);
	if (!out.failed)
		(void)send(req->fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	req->phase = PHASE_DROP;
}

/* The handler is done with a request that was open, in time or not. */
static void release(struct http_req *req)
{
	if (req->handed_out)
		req->server->open_count--;
	req->handed_out = false;
	waiting_remove(req);
	if (req->suspended)
		resume(req);
}

void http_reply(struct http_req *req, int status, const char *content_type, const void *body,
                size_t len, const struct http_header *headers, size_t header_count)
{
	const struct answer answer = {status, content_type, body, len, headers, header_count};
	if (req->raw)
		answer_raw(req, &answer);
	else if (req->phase == PHASE_OPEN)
		answer_queued(req, &answer);
	if (!req->raw)
		release(req);
}

void http_abort(struct http_req *req)
{
	/* Dissolving the association of a TCP socket sends a reset at once. */
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	if (req->phase <= PHASE_OPEN)
		(void)connect(req->fd, &nowhere, sizeof(nowhere));
	req->phase = PHASE_DROP;
	if (!req->raw)
		release(req);
}

/* ---- refusing ---- */

/* Before the body: libmicrohttpd takes the answer, and closes the connection after it. */
static enum MHD_Result refuse(struct http_req *req, int status, const char *why)
{
	req->phase = PHASE_OPEN;
	req->server->opts.on_refused(req->server->opts.arg, req, status, why);
	linger_start(req->server, req->fd);
	return req->phase == PHASE_DONE ? MHD_YES : MHD_NO;
}

static void refuse_raw(struct http_req *req, int status, const char *why)
{
	req->raw = true;
	req->server->opts.on_refused(req->server->opts.arg, req, status, why);
	req->raw = false;
	req->phase = PHASE_DROP;
}

/* The client has its 503 and the end of the connection; the handler keeps its request, texts and
 * all, until it calls http_reply(), which then changes nothing. */
static void on_answer_timer(void *arg)
{
	struct http_server *server = arg;
	struct http_req *req;
	while ((req = server->waiting.first) && req->answer_due_us <= loop_now_us(server->loop)) {
		waiting_remove(req);
		refuse_raw(req, 503, "no answer in time");
		(void)shutdown(req->fd, SHUT_WR);
	}
	if (req)
		loop_timer_set(server->loop, &server->answer_timer,
		               req->answer_due_us - loop_now_us(server->loop));
}

/* ---- taking requests in ---- */

static struct http_req *req_of(struct MHD_Connection *conn)
{
	return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static enum MHD_Result on_field(void *arg, enum MHD_ValueKind kind, const char *name,
                                size_t name_len, const char *value, size_t value_len)
{
	(void)kind;
	struct http_server *server = arg;
	if (server->field_count < FIELDS_MAX)
		server->fields[server->field_count] =
		    (struct http_field){name, value ? value : "", name_len, value ? value_len : 0};
	server->field_count++;
	return MHD_YES;
}

static bool is_field(const struct http_field *field, const char *name, size_t name_len)
{
	return field->name_len == name_len && strncasecmp(field->name, name, name_len) == 0;
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

/* True where a line ended with CR LF: libmicrohttpd has put two NULs there. */
static bool line_end(const char *at)
{
	return at[0] == '\0' && at[1] == '\0';
}

/* libmicrohttpd repairs what it should refuse: a bare LF, a folded line, a NUL in a value, spaces
 * in the request line. But 0.9.75 parses in place, so that a clean request leaves its parts one
 * behind the other without a gap, and a repaired one does not. Later versions can be told to be
 * strict (see start). What this cannot see are the two bytes NUL LF for a line end and the line
 * ":" LF, which end up as the two NULs of CR LF, and lines that begin with NUL in front of the
 * request. */
static bool left_no_gap(const struct http_req *req, const char *version, size_t header_size)
{
	const struct http_server *server = req->server;
	const char *end = req->method + header_size;
	if (req->uri != req->method + strlen(req->method) + 1 ||
	    version != req->uri + req->uri_len + 1 || !line_end(version + 8))
		return false;
	const char *at = version + 10;
	for (size_t i = 0; i < server->field_count; i++) {
		const struct http_field *field = &server->fields[i];
		if (field->name != at || field->value <= at || field->value >= end)
			return false;
		for (at += field->name_len + 1; at < field->value; at++)
			if (*at != ' ' && *at != '\t')
				return false;
		at = field->value + field->value_len;
		if (!line_end(at))
			return false;
		at += 2;
	}
	return line_end(at) && at + 2 == end;
}

static enum MHD_Result take_head(struct http_req *req, size_t max)
{
	struct http_server *server = req->server;
	for (size_t i = 0; i < server->field_count; i++) {
		const struct http_field *field = &server->fields[i];
		int64_t length = 0;
		if (is_field(field, "content-length", 14) &&
		    num_i64(field->value, field->value_len, 0, INT64_MAX, &length) == 0 &&
		    (uint64_t)length > max)
			return refuse(req, 413, "body too long");
		/* libmicrohttpd reads chunk lines leniently. Whatever somebody in front of us may have
		 * read differently there must not become a request of its own. */
		if (is_field(field, "transfer-encoding", 17))
			req->close_after = true;
	}
	req->body.max = max;
	req->phase = PHASE_BODY;
	return MHD_YES;
}

static enum MHD_Result on_head(struct http_req *req, const char *version)
{
	struct http_server *server = req->server;
	size_t size =
	    MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
	req->start_us = loop_now_us(server->loop);
	server->field_count = 0;
	(void)MHD_get_connection_values_n(req->conn, MHD_HEADER_KIND, on_field, server);
	if (size > server->opts.limits.header_max_bytes)
		return refuse(req, 431, "headers too long");
	if (server->field_count > FIELDS_MAX)
		return refuse(req, 431, "too many headers");
	const char *why = printable(req->method) ? req->bad_uri : "malformed method";
	if (!why)
		why = http_guard(version, server->fields, server->field_count);
	if (!why && server->in_place && !left_no_gap(req, version, size))
		why = "malformed line";
	if (why)
		return refuse(req, 400, why);
	return take_head(req, server->opts.body_max
	                          ? server->opts.body_max(server->opts.arg, req->method, req->path)
	                          : 0);
}

static enum MHD_Result on_body(struct http_req *req, const char *data, size_t len)
{
	bool too_long = len > req->body.max - req->body.len;
	if (buf_add(&req->body, data, len) == 0)
		return MHD_YES;
	if (too_long)
		refuse_raw(req, 413, "body too long");
	else
		refuse_raw(req, 503, "out of memory");
	linger_start(req->server, req->fd);
	return MHD_NO;
}

static enum MHD_Result on_complete(struct http_req *req)
{
	struct http_server *server = req->server;
	req->phase = PHASE_OPEN;
	req->handed_out = true;
	server->open_count++;
	server->opts.on_request(server->opts.arg, req);
	if (req->phase == PHASE_OPEN) {
		MHD_suspend_connection(req->conn);
		req->suspended = true;
		waiting_add(req);
	}
	return req->phase == PHASE_DROP ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *conn, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **context)
{
	(void)conn;
	((struct http_server *)arg)->progress++;
	struct http_req *req = *context;
	if (!req)
		return MHD_NO;
	if (req->phase == PHASE_HEAD) {
		req->method = method;
		req->path = url;
		return on_head(req, version);
	}
	if (req->phase != PHASE_BODY)
		return MHD_NO;
	if (*data_len == 0)
		return on_complete(req);
	size_t len = *data_len;
	*data_len = 0;
	return on_body(req, data, len);
}

/* The request target is printable ASCII without spaces (RFC 3986), its query a bounded list. */
static const char *check_uri(const char *uri)
{
	size_t args = 1;
	for (const char *at = uri; *at; at++)
		args += *at == '&';
	if (args > ARGS_MAX)
		return "too many query arguments";
	return printable(uri) ? NULL : "malformed request target";
}

/* With more arguments than its memory holds, libmicrohttpd goes on reading without a buffer and the
 * connection hangs. The text is in its own writable buffer, and it will look for arguments behind
 * the question mark. */
static void hide_query(const char *uri)
{
	const char *mark = strchr(uri, '?');
	if (mark)
		*(char *)(uintptr_t)(mark + 1) = '\0';
}

/* Called with the request line, before anything is taken apart. What it returns becomes the
 * request's context. */
static void *on_uri(void *arg, const char *uri, struct MHD_Connection *conn)
{
	struct http_server *server = arg;
	struct http_req *req = req_of(conn);
	server->progress++;
	if (!req || !uri)
		return NULL;
	req->phase = PHASE_HEAD;
	req->uri = uri;
	req->uri_len = strlen(uri);
	req->bad_uri = check_uri(uri);
	if (req->bad_uri)
		hide_query(uri);
	req->close_after = false;
	req->state = NULL;
	buf_clear(&req->body);
	if (req->begun_us == 0)
		req->begun_us = loop_now_us(server->loop);
	return req;
}

/* Percent-decodes the query's names and values in place; the path stays as it came. */
static size_t on_unescape(void *arg, struct MHD_Connection *conn, char *text)
{
	(void)arg;
	struct http_req *req = req_of(conn);
	if (!req || text == req->uri)
		return strlen(text);
	char *to = text;
	for (const char *from = text; *from; from++) {
		uint8_t byte = (uint8_t)*from;
		if (*from == '%') {
			/* A NUL would end the value for one reader and not for another. */
			if (strnlen(from, 3) < 3 || num_unhex(from + 1, 2, &byte) < 0 || byte == 0) {
				req->bad_uri = "malformed query";
				byte = '?';
			} else {
				from += 2;
			}
		}
		*to++ = (char)byte;
	}
	*to = '\0';
	return (size_t)(to - text);
}

/* A request is over, answered or not, its socket still open. */
static void on_completed(void *arg, struct MHD_Connection *conn, void **context,
                         enum MHD_RequestTerminationCode code)
{
	(void)conn;
	((struct http_server *)arg)->progress++;
	struct http_req *req = *context;
	if (!req)
		return;
	if (code == MHD_REQUEST_TERMINATED_WITH_ERROR && req->phase <= PHASE_BODY)
		linger_start(req->server, req->fd); /* libmicrohttpd has refused it by itself */
	if (req->body.cap > BODY_KEEP)
		buf_done(&req->body);
	req->phase = PHASE_IDLE;
	req->begun_us = 0;
	req->served++;
}

/* ---- connections ---- */

static void conns_remove(struct http_server *server, struct http_req *req)
{
	if (req->prev)
		req->prev->next = req->next;
	else
		server->conns.first = req->next;
	if (req->next)
		req->next->prev = req->prev;
	else
		server->conns.last = req->prev;
}

static void conns_append(struct http_server *server, struct http_req *req)
{
	req->next = NULL;
	req->prev = server->conns.last;
	if (req->prev)
		req->prev->next = req;
	else
		server->conns.first = req;
	server->conns.last = req;
}

/* At least a microsecond, so that looking never goes round in one moment. */
static int64_t look_period_us(const struct http_server *server)
{
	return server->opts.limits.request_ms * 1000 / PERIODS + 1;
}

static uint64_t bytes_received(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_bytes_received;
}

/* libmicrohttpd tells when a request line is complete, not when its first byte came. So a request
 * that has none yet begins when the socket has counted bytes that no request before it can have
 * brought. */
static void look_at(struct http_server *server, struct http_req *req)
{
	if (req->phase == PHASE_IDLE && req->begun_us == 0) {
		uint64_t bytes = bytes_received(req->fd);
		if (req->looked_served != req->served)
			req->looked_bytes = bytes;
		req->looked_served = req->served;
		if (bytes > req->looked_bytes)
			req->begun_us = loop_now_us(server->loop);
	}
	if (req->phase <= PHASE_BODY && req->begun_us != 0 &&
	    loop_now_us(server->loop) - req->begun_us >= server->opts.limits.request_ms * 1000)
		(void)shutdown(req->fd, SHUT_RDWR); /* libmicrohttpd sees it and closes */
}

static void on_look_timer(void *arg)
{
	struct http_server *server = arg;
	int64_t now_us = loop_now_us(server->loop);
	struct http_req *req;
	while ((req = server->conns.first) && req->look_due_us <= now_us) {
		look_at(server, req);
		conns_remove(server, req);
		req->look_due_us = now_us + look_period_us(server);
		conns_append(server, req);
	}
	if (req)
		loop_timer_set(server->loop, &server->look_timer, req->look_due_us - now_us);
}

static void peer_text(const struct sockaddr *addr, char out[INET6_ADDRSTRLEN])
{
	out[0] = '\0';
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;
		(void)inet_ntop(AF_INET, &in->sin_addr, out, INET6_ADDRSTRLEN);
	} else if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
		(void)inet_ntop(mapped ? AF_INET : AF_INET6, &in6->sin6_addr.s6_addr[mapped ? 12 : 0], out,
		                INET6_ADDRSTRLEN);
	}
}

static struct http_req *conn_new(struct http_server *server, struct MHD_Connection *conn)
{
	struct http_req *req = calloc(1, sizeof(*req));
	if (!req)
		return NULL;
	req->server = server;
	req->conn = conn;
	req->fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	peer_text(MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
	          req->peer);
	req->look_due_us = loop_now_us(server->loop) + look_period_us(server);
	conns_append(server, req);
	if (server->opts.limits.request_ms > 0 && !server->look_timer.armed)
		loop_timer_set(server->loop, &server->look_timer, look_period_us(server));
	return req;
}

static void on_connection(void *arg, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = arg;
	server->progress++;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		server->conn_count++;
		*context = conn_new(server, conn);
		return;
	}
	server->conn_count--;
	struct http_req *req = *context;
	if (!req)
		return;
	waiting_remove(req);
	conns_remove(server, req);
	buf_done(&req->body);
	free(req);
}

/* libmicrohttpd would leave a connection past the limit in the backlog, unanswered. */
static enum MHD_Result on_accept(void *arg, const struct sockaddr *addr, socklen_t len)
{
	(void)addr;
	(void)len;
	const struct http_server *server = arg;
	return server->conn_count < server->opts.limits.conns_max ? MHD_YES : MHD_NO;
}

/* ---- the listening socket ---- */

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa;
	socklen_t len;
};

static int fill_address(const char *host, int port, struct address *ret)
{
	struct address address = {0};
	if (inet_pton(AF_INET, host, &address.sa.in.sin_addr) == 1) {
		address.sa.in.sin_family = AF_INET;
		address.sa.in.sin_port = htons((uint16_t)port);
		address.len = sizeof(address.sa.in);
	} else if (inet_pton(AF_INET6, host, &address.sa.in6.sin6_addr) == 1) {
		address.sa.in6.sin6_family = AF_INET6;
		address.sa.in6.sin6_port = htons((uint16_t)port);
		address.len = sizeof(address.sa.in6);
	} else {
		return -1;
	}
	*ret = address;
	return 0;
}

static bool have_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

/* "HOST:PORT" with a numeric host, an IPv6 one in brackets; no host: every address. */
static int parse_listen(const char *text, struct address *ret, struct err *err)
{
	int64_t port;
	const char *colon = strrchr(text, ':');
	if (!colon || num_i64(colon + 1, strlen(colon + 1), 0, 65535, &port) < 0)
		return err_set(err, ERR_REJECT, "config", "\"%s\" is not HOST:PORT", text);
	size_t len = (size_t)(colon - text);
	bool all = len == 0, bracket = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	size_t edge = bracket ? 1 : 0;
	char host[INET6_ADDRSTRLEN] = "";
	if (len - 2 * edge < sizeof(host))
		memcpy(host, text + edge, len - 2 * edge);
	if (!all && bracket != (strchr(host, ':') != NULL))
		host[0] = '\0';
	const char *any = have_ipv6() ? "::" : "0.0.0.0";
	if (fill_address(all ? any : host, (int)port, ret) < 0)
		return err_set(err, ERR_REJECT, "config", "\"%s\" has no numeric address", text);
	return 0;
}

static int set_flag(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int bind_and_listen(int fd, const struct address *address, bool reuse_port)
{
	if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
	    (reuse_port && set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0))
		return -1;
	if (address->sa.any.sa_family == AF_INET6) {
		bool all = IN6_IS_ADDR_UNSPECIFIED(&address->sa.in6.sin6_addr);
		if (set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, !all) < 0)
			return -1;
	}
	return bind(fd, &address->sa.any, address->len) < 0 ? -1 : listen(fd, BACKLOG);
}

static int listen_on(const struct http_opts *opts, struct err *err)
{
	struct address address;
	if (parse_listen(opts->listen, &address, err) < 0)
		return -1;
	int fd = socket(address.sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind_and_listen(fd, &address, opts->reuse_port) == 0)
		return fd;
	(void)err_errno(err, ERR_FATAL, errno, "cannot listen on %s", opts->listen);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

static int port_of(int fd)
{
	struct address address = {.len = sizeof(address.sa)};
	if (getsockname(fd, &address.sa.any, &address.len) < 0)
		return 0;
	/* At the same place in both families. */
	return ntohs(address.sa.in.sin_port);
}

/* ---- the server ---- */

/* Takes the listening socket, also when it fails. */
static int start(struct http_server *server, int fd)
{
	const struct http_limits *limits = &server->opts.limits;
	/* Room for a request at our own limits, with one record of 64 bytes per header and query
	 * argument, and for the headers of its answer; so one just past them is ours to refuse. No
	 * more than that: libmicrohttpd clears all of it after each request. */
	size_t pool = limits->header_max_bytes + (size_t)(FIELDS_MAX + ARGS_MAX) * 64 + 2048;
	unsigned idle_s = (unsigned)((limits->idle_ms + 999) / 1000);
	server->daemon = MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, on_accept, server, on_access, server,
	    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool,
	    MHD_OPTION_CONNECTION_LIMIT, limits->conns_max + 1, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
	    limits->conns_per_ip_max, MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
	    MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape,
	    server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
	    on_connection, server,
#if MHD_VERSION >= 0x00097601
	    MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
#endif
	    MHD_OPTION_END);
	if (!server->daemon)
		(void)close(fd);
	return server->daemon ? 0 : -1;
}

struct http_server *http_server_new(struct loop *loop, const struct http_opts *opts,
                                    struct err *err)
{
	int fd = listen_on(opts, err);
	if (fd < 0)
		return NULL;
	struct http_server *server = calloc(1, sizeof(*server));
	if (!server) {
		(void)err_oom(err);
		(void)close(fd);
		return NULL;
	}
	server->loop = loop;
	server->opts = *opts;
	server->opts.listen = NULL; /* borrowed until here */
	server->port = port_of(fd);
	server->task_round_us = -1;
	server->in_place = strcmp(MHD_get_version(), "0.9.75") == 0;
	loop_timer_init(&server->timer, on_timer, server);
	loop_timer_init(&server->look_timer, on_look_timer, server);
	loop_timer_init(&server->answer_timer, on_answer_timer, server);
	loop_task_init(&server->task, on_task, server);
	if (start(server, fd) < 0) {
		(void)err_set(err, ERR_FATAL, "http", "cannot start the HTTP server on %s", opts->listen);
		free(server);
		return NULL;
	}
	int epoll_fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	if (loop_io_add(loop, &server->io, epoll_fd, EPOLLIN, on_ready, server, err) < 0) {
		http_server_free(server);
		return NULL;
	}
	return server;
}

void http_server_drain(struct http_server *server)
{
	if (server->draining)
		return;
	server->draining = true;
	MHD_socket fd = MHD_quiesce_daemon(server->daemon);
	if (fd != MHD_INVALID_SOCKET)
		(void)close(fd);
	/* Answers close their connections from now on; those that wait for a next request that is not
	 * under way can go at once. */
	for (struct http_req *req = server->conns.first; req; req = req->next) {
		int unread = 0;
		if (req->phase == PHASE_IDLE && ioctl(req->fd, FIONREAD, &unread) == 0 && unread == 0)
			(void)shutdown(req->fd, SHUT_RDWR);
	}
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	loop_io_del(server->loop, &server->io);
	loop_timer_stop(server->loop, &server->look_timer);
	loop_timer_stop(server->loop, &server->answer_timer);
	/* libmicrohttpd panics when it is stopped with suspended connections. */
	for (struct http_req *req = server->conns.first; req; req = req->next)
		if (req->suspended)
			MHD_resume_connection(req->conn);
	MHD_stop_daemon(server->daemon);
	loop_timer_stop(server->loop, &server->timer);
	loop_task_cancel(server->loop, &server->task);
	for (size_t i = 0; i < LINGER_MAX; i++)
		linger_stop(&server->lingers[i]);
	free(server);
}

unsigned http_server_open_requests(const struct http_server *server)
{
	return server->open_count;
}

unsigned http_server_connections(const struct http_server *server)
{
	return server->conn_count;
}

int http_server_port(const struct http_server *server)
{
	return server->port;
}

/* ---- what a request brings ---- */

const char *http_req_method(const struct http_req *req)
{
	return req->method;
}

const char *http_req_path(const struct http_req *req)
{
	return req->path;
}

struct query {
	const char *name, *value;
};

static enum MHD_Result on_arg(void *arg, enum MHD_ValueKind kind, const char *name,
                              const char *value)
{
	(void)kind;
	struct query *query = arg;
	if (strcmp(name, query->name) != 0)
		return MHD_YES;
	query->value = value ? value : "";
	return MHD_NO; /* the first one */
}

const char *http_req_query(const struct http_req *req, const char *name)
{
	struct query query = {.name = name};
	(void)MHD_get_connection_values(req->conn, MHD_GET_ARGUMENT_KIND, on_arg, &query);
	return query.value;
}

const char *http_req_header(const struct http_req *req, const char *name)
{
	return MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name);
}

const char *http_req_body(const struct http_req *req, size_t *ret_len)
{
	*ret_len = req->body.len;
	return req->body.data ? req->body.data : "";
}

const char *http_req_peer(const struct http_req *req)
{
	return req->peer;
}

int64_t http_req_start_us(const struct http_req *req)
{
	return req->start_us;
}

void http_req_set_state(struct http_req *req, void *state)
{
	req->state = state;
}

void *http_req_state(const struct http_req *req)
{
	return req->state;
}
