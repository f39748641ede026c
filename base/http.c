#include "http_priv.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PERIODS = 8, /* looks at a connection within request_ms */
	STALL_MAX_US = 20000,
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

void http_resume(struct http_req *req)
{
	req->suspended = false;
	MHD_resume_connection(req->conn);
	loop_defer(req->server->loop, &req->server->task);
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
	http_waiting_remove(req);
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

/* ---- the server ---- */

/* Takes the listening socket, also when it fails. */
static int start(struct http_server *server, int fd)
{
	const struct http_limits *limits = &server->opts.limits;
	/* Room for a request at our own limits, with one record of 64 bytes per header and query
	 * argument, and for the headers of its answer; so one just past them is ours to refuse. No
	 * more than that: libmicrohttpd clears all of it after each request. */
	size_t pool = limits->header_max_bytes + (size_t)(HTTP_FIELDS_MAX + HTTP_ARGS_MAX) * 64 + 2048;
	unsigned idle_s = (unsigned)((limits->idle_ms + 999) / 1000);
	server->daemon = MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, on_accept, server, http_on_access, server,
	    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool,
	    MHD_OPTION_CONNECTION_LIMIT, limits->conns_max + 1, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
	    limits->conns_per_ip_max, MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
	    MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, server, MHD_OPTION_UNESCAPE_CALLBACK,
	    http_on_unescape, server, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, server,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
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
	int fd = http_listen(opts, err);
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
	server->port = http_listen_port(fd);
	server->task_round_us = -1;
	server->in_place = strcmp(MHD_get_version(), "0.9.75") == 0;
	loop_timer_init(&server->timer, on_timer, server);
	loop_timer_init(&server->look_timer, on_look_timer, server);
	loop_timer_init(&server->answer_timer, http_on_answer_timer, server);
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
	for (size_t i = 0; i < HTTP_LINGER_MAX; i++)
		http_linger_stop(&server->lingers[i]);
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
