/* What the tests of the client stand on: a small HTTP server that misbehaves on demand (the last part
 * of the path is the id of a script) and a client, both on the loop of the test. */
#ifndef TESTS_UNIT_PLATFORM_FIXTURE_H
#define TESTS_UNIT_PLATFORM_FIXTURE_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/macros.h"
#include "base/num.h"
#include "platform/platform.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

enum {
	CONNS_MAX = 512,
	BODY_MAX = 4096,
	IN_MAX = PLATFORM_REQUEST_MAX_BYTES + 4096,
	REPLY_MAX = 160 * 1024,
	MANY = 64, /* calls at once */
	TIMEOUT_MS = 400,
	LONG_MS = 30000,  /* a deadline that no test waits for */
	INSTANT_MS = 500, /* what is not to wait for anything, on a busy machine */
};

/* ---- the server ---- */

struct server;
struct conn {
	struct server *server;
	struct loop_io io;
	char in[IN_MAX];
	size_t len;
};
struct server {
	struct loop *loop;
	struct loop_io io;
	struct conn *conns[CONNS_MAX];
	int port, accepted, requests, open, open_most;
	char head[4096], body[IN_MAX]; /* of the last request */
	const char *reply;             /* to every request, whatever its path; NULL: the script's */
	const char *script;            /* for every request, whatever its path; NULL: the path's */
};

static void conn_close(struct conn *conn, bool reset)
{
	struct linger linger = {.l_onoff = reset};
	(void)setsockopt(conn->io.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	loop_io_del(conn->server->loop, &conn->io);
	(void)close(conn->io.fd);
	conn->server->open--;
	for (int i = 0; i < CONNS_MAX; i++)
		if (conn->server->conns[i] == conn)
			conn->server->conns[i] = NULL;
	free(conn);
}

#define JSON "Content-Type: application/json\r\n"
#define OK_BODY "{\"success\":true,\"data\":{}}"
#define GONE_BODY "{\"success\":false,\"error\":{\"code\":\"not_found\",\"message\":\"no such\"}}"

static const struct script {
	const char *id;
	enum { STAY, CLOSE, RESET } then;
	const char *reply; /* NULL: none */
} scripts[] = {
    {"ok", STAY, "HTTP/1.1 200 OK\r\n" JSON "Content-Length: 26\r\n\r\n" OK_BODY},
    {"chunked", STAY,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n" OK_BODY "\r\n0\r\n\r\n"},
    {"to-the-end", CLOSE, "HTTP/1.1 200 OK\r\n\r\n" OK_BODY},
    {"gone", STAY, "HTTP/1.1 404 Not Found\r\n" JSON "Content-Length: 66\r\n\r\n" GONE_BODY},
    {"late", STAY,
     "HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 70\r\n\r\n"
     "{\"success\":false,\"error\":{\"code\":\"unavailable\",\"message\":\"not ready\"}}"},
    {"ok-then-close", CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n" OK_BODY},
    {"hang", STAY, NULL},
    {"hang-in-head", STAY, "HTTP/1.1 200 OK\r\nContent-Le"},
    {"hang-in-body", STAY, "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"success\":tr"},
    {"reset", RESET, NULL},
    {"close", CLOSE, NULL},
    {"cut-in-head", CLOSE, "HTTP/1.1 404 Not Found\r\nContent-Le"},
    {"cut-in-body", CLOSE, "HTTP/1.1 404 Not Found\r\nContent-Length: 67\r\n\r\n" GONE_BODY},
    {"cut-in-chunk", CLOSE,
     "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n42\r\n" GONE_BODY},
    {"reset-in-body", RESET, "HTTP/1.1 404 Not Found\r\nContent-Length: 67\r\n\r\n" GONE_BODY},
    {"says-large", STAY, "HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n" OK_BODY},
    {"is-large", STAY, "HTTP/1.1 200 OK\r\n\r\n"}, /* and x without an end: see serve() */
    {"page", STAY, "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>"},
    {"moved", STAY,
     "HTTP/1.1 307 Go\r\nLocation: /api/v1/sandboxes/ok\r\nContent-Length: 0\r\n\r\n"},
    {"no-http", CLOSE, "hello, who is there?\r\n\r\n"},
    {"bad-length", CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" OK_BODY},
};

static const struct script *script_of(const struct server *server)
{
	const char *end = strstr(server->head, " HTTP/1.1\r\n");
	const char *id = end ? memrchr(server->head, '/', (size_t)(end - server->head)) : NULL;
	size_t len = id ? (size_t)(end - ++id) : 0;
	if (server->script) {
		id = server->script;
		len = strlen(id);
	}
	for (size_t i = 0; id && i < N_OF(scripts); i++)
		if (strlen(scripts[i].id) == len && strncmp(id, scripts[i].id, len) == 0)
			return &scripts[i];
	return &scripts[0];
}

static void say(const struct conn *conn, const char *text)
{
	size_t len = strlen(text);
	assert_int_equal(send(conn->io.fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Answers one request; false when the connection is gone with it. */
static bool serve(struct conn *conn, size_t head_len, size_t body_len)
{
	struct server *server = conn->server;
	(void)snprintf(server->head, sizeof(server->head), "%.*s", (int)head_len, conn->in);
	(void)snprintf(server->body, sizeof(server->body), "%.*s", (int)body_len, conn->in + head_len);
	server->requests++;
	conn->len -= head_len + body_len;
	memmove(conn->in, conn->in + head_len + body_len, conn->len);
	conn->in[conn->len] = '\0';
	const struct script *script = server->reply ? &scripts[0] : script_of(server);
	if (server->reply)
		say(conn, server->reply);
	else if (script->reply)
		say(conn, script->reply);
	if (strcmp(script->id, "is-large") == 0)
		for (int i = 0; i <= BODY_MAX / 16; i++)
			say(conn, "xxxxxxxxxxxxxxxx");
	if (script->then != STAY)
		conn_close(conn, script->then == RESET);
	return script->then == STAY;
}

static size_t body_len_of(const char *head)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = strstr(head, name);
	int64_t len = 0;
	if (at) {
		at += sizeof(name) - 1;
		assert_int_equal(num_i64(at, strcspn(at, "\r"), 0, IN_MAX, &len), 0);
	}
	return (size_t)len;
}

static void on_conn(void *arg, uint32_t events)
{
	(void)events;
	struct conn *conn = arg;
	ssize_t n = recv(conn->io.fd, conn->in + conn->len, sizeof(conn->in) - 1 - conn->len, 0);
	if (n <= 0) {
		conn_close(conn, false);
		return;
	}
	conn->len += (size_t)n;
	conn->in[conn->len] = '\0';
	if (conn->in[0] == 0x16) { /* a TLS handshake: we speak no TLS */
		say(conn, "HTTP/1.1 400 Bad Request\r\n\r\n");
		conn_close(conn, false);
		return;
	}
	for (char *end; (end = strstr(conn->in, "\r\n\r\n"));) {
		size_t head_len = (size_t)(end - conn->in) + 4, body_len = body_len_of(conn->in);
		if (conn->len < head_len + body_len || !serve(conn, head_len, body_len))
			return;
	}
}

static void on_accept(void *arg, uint32_t events)
{
	(void)events;
	struct server *server = arg;
	int fd = accept4(server->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), at = 0;
	int room = REPLY_MAX; /* say() waits for nobody */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	struct conn *conn = calloc(1, sizeof(*conn));
	assert_true(fd >= 0 && conn);
	while (server->conns[at])
		assert_true(++at < CONNS_MAX);
	server->conns[at] = conn;
	conn->server = server;
	assert_int_equal(loop_io_add(server->loop, &conn->io, fd, EPOLLIN, on_conn, conn, NULL), 0);
	server->accepted++;
	if (++server->open > server->open_most)
		server->open_most = server->open;
}

static void server_init(struct server *server, struct loop *loop)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	*server = (struct server){.loop = loop};
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(fd, CONNS_MAX), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	server->port = ntohs(addr.sin_port);
	assert_int_equal(loop_io_add(loop, &server->io, fd, EPOLLIN, on_accept, server, NULL), 0);
}

static void server_done(struct server *server)
{
	for (int i = 0; i < CONNS_MAX; i++)
		if (server->conns[i])
			conn_close(server->conns[i], false);
	loop_io_del(server->loop, &server->io);
	(void)close(server->io.fd);
}

/* ---- a client with everything around it ---- */

struct fixture {
	struct loop *loop;
	struct metrics *metrics;
	struct server server;
	struct platform *platform;
	struct platform_config config;
	char url[64];
};

static void client_open(struct fixture *f)
{
	struct err err = {0};
	f->platform = platform_new(f->loop, &f->config, f->metrics, &err);
	if (!f->platform)
		fail_msg("%s", err.text);
}

/* The same client with another limit, or where a test must not race with a deadline. */
static void client_reopen(struct fixture *f, int64_t timeout_ms, int64_t connections_max)
{
	platform_free(f->platform);
	f->config.timeout_ms = timeout_ms;
	f->config.connections_max = connections_max;
	client_open(f);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->loop = loop_new(clock_system(), NULL);
	f->metrics = metrics_new(NULL);
	assert_true(f->loop && f->metrics);
	server_init(&f->server, f->loop);
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d/", f->server.port);
	f->config = (struct platform_config){
	    .url = f->url,
	    .token = "s0_test_token",
	    .ca_file = "",
	    .connect_timeout_ms = LONG_MS,
	    .timeout_ms = LONG_MS,
	    .connections_max = MANY,
	    .body_max_bytes = BODY_MAX,
	};
	client_open(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	platform_free(f->platform);
	server_done(&f->server);
	metrics_free(f->metrics);
	loop_free(f->loop);
	free(f);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until a count of the server's has come to `want`; long enough for a busy machine. */
static void run_until(struct fixture *f, const int *count, int want)
{
	for (int64_t end = now_ms() + 20000; *count != want && now_ms() < end;)
		assert_int_equal(loop_once(f->loop, 1000, NULL), 0);
	assert_int_equal(*count, want);
}

static void run_for(struct fixture *f, int64_t ms)
{
	int64_t end = now_ms() + ms;
	while (now_ms() < end)
		assert_int_equal(loop_once(f->loop, 1000, NULL), 0);
}

/* One call and what came of it. */
struct shot {
	int done;
	struct platform_answer answer;
};

static void on_shot(void *arg, const struct platform_answer *answer)
{
	struct shot *shot = arg;
	shot->done++;
	shot->answer = *answer;
}

static const char team[] = "01234567-89ab-cdef-0123-456789abcdef";

static struct platform_request request_of(enum platform_op op, const char *id, struct shot *shot)
{
	struct platform_request request = {
	    .op = op, .id = id, .traceparent = "", .done = on_shot, .arg = shot};
	assert_int_equal(uuid_parse(team, strlen(team), &request.team_id), 0);
	return request;
}

static struct platform_call *must_send(struct fixture *f, const struct platform_request *request)
{
	struct err err = {0};
	struct platform_call *call = platform_send(f->platform, request, &err);
	if (!call)
		fail_msg("%s", err.text);
	return call;
}

static void wait_for(struct fixture *f, const struct shot *shot)
{
	int64_t end = now_ms() + 20000;
	while (shot->done == 0 && now_ms() < end)
		assert_int_equal(loop_once(f->loop, 10000, NULL), 0);
	assert_int_equal(shot->done, 1);
}

static struct platform_answer call(struct fixture *f, enum platform_op op, const char *id)
{
	struct shot shot = {0};
	const struct platform_request request = request_of(op, id, &shot);
	assert_int_equal(loop_once(f->loop, 0, NULL), 0); /* deadlines count from a round's start */
	(void)must_send(f, &request);
	assert_int_equal(shot.done, 0); /* never from inside platform_send */
	wait_for(f, &shot);
	return shot.answer;
}

static void send_many(struct fixture *f, int n, const char *id, struct shot *shots,
                      struct platform_call **calls)
{
	for (int i = 0; i < n; i++) {
		const struct platform_request request = request_of(PLATFORM_SANDBOX_DELETE, id, &shots[i]);
		calls[i] = must_send(f, &request);
	}
}

static const char *header(const struct fixture *f, const char *name)
{
	static char value[512];
	char start[64];
	(void)snprintf(start, sizeof(start), "\r\n%s: ", name);
	const char *at = strstr(f->server.head, start);
	assert_non_null(at);
	at += strlen(start);
	(void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
	return value;
}

#endif
