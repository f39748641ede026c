/* The platform's client against a small server on the same loop that misbehaves on demand: the id
 * in the path says how. */
#include "platform/platform.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
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

#include "base/buf.h"
#include "base/macros.h"

enum {
	CONNS_MAX = 512,
	MANY = 64, /* calls at once */
	BODY_MAX = 4096,
	TIMEOUT_MS = 400,
	LONG_MS = 30000,    /* a deadline that no test waits for */
	INSTANT_MS = 500,   /* what is not to wait for anything, on a busy machine */
};

/* ---- the server ---- */

struct server;
struct conn {
	struct server *server;
	struct loop_io io;
	char in[4096];
	size_t len;
};
struct server {
	struct loop *loop;
	struct loop_io io;
	struct conn *conns[CONNS_MAX];
	int port, accepted, requests, open, open_most;
	char head[4096]; /* of the last request */
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
    {"cut-in-body", CLOSE,
     "HTTP/1.1 404 Not Found\r\nContent-Length: 67\r\n\r\n" GONE_BODY},
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

static const struct script *script_of(const char *head)
{
	const char *end = strstr(head, " HTTP/1.1\r\n");
	const char *id = end ? memrchr(head, '/', (size_t)(end - head)) : NULL;
	for (size_t i = 0; id && i < N_OF(scripts); i++)
		if (strlen(scripts[i].id) == (size_t)(end - id - 1) &&
		    strncmp(id + 1, scripts[i].id, (size_t)(end - id - 1)) == 0)
			return &scripts[i];
	return &scripts[0];
}

static void say(const struct conn *conn, const char *text)
{
	size_t len = strlen(text);
	assert_int_equal(send(conn->io.fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Answers one request; false when the connection is gone with it. */
static bool serve(struct conn *conn, size_t head_len)
{
	struct server *server = conn->server;
	(void)snprintf(server->head, sizeof(server->head), "%.*s", (int)head_len, conn->in);
	server->requests++;
	memmove(conn->in, conn->in + head_len, conn->len - head_len);
	conn->len -= head_len;
	conn->in[conn->len] = '\0';
	const struct script *script = script_of(server->head);
	if (script->reply)
		say(conn, script->reply);
	if (strcmp(script->id, "is-large") == 0)
		for (int i = 0; i <= BODY_MAX / 16; i++)
			say(conn, "xxxxxxxxxxxxxxxx");
	if (script->then != STAY)
		conn_close(conn, script->then == RESET);
	return script->then == STAY;
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
	for (char *end; (end = strstr(conn->in, "\r\n\r\n"));)
		if (!serve(conn, (size_t)(end - conn->in) + 4))
			return;
}

static void on_accept(void *arg, uint32_t events)
{
	(void)events;
	struct server *server = arg;
	int fd = accept4(server->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), at = 0;
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

/* ---- requests ---- */

static void test_request(void **state)
{
	struct fixture *f = *state;
	static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	struct shot shot = {0};
	struct platform_request request = request_of(PLATFORM_SANDBOX_DELETE, "ok", &shot);
	request.traceparent = parent;
	(void)must_send(f, &request);
	wait_for(f, &shot);
	assert_int_equal(strncmp(f->server.head, "DELETE /api/v1/sandboxes/ok HTTP/1.1\r\n", 38), 0);
	assert_string_equal(header(f, "X-Team-ID"), team);
	assert_string_equal(header(f, "Authorization"), "Bearer s0_test_token");
	assert_string_equal(header(f, "User-Agent"), "sandsweep");
	assert_string_equal(header(f, "Accept"), "application/json");
	const char *child = header(f, "traceparent");
	assert_true(trace_valid(child, strlen(child)));
	assert_memory_equal(child, parent, 36);              /* the same trace */
	assert_memory_not_equal(child + 36, parent + 36, 16); /* a span of its own */
	assert_null(strstr(f->server.head, "Content-Length"));
	assert_null(strstr(f->server.head, "Expect"));
}

/* A handle that is used again must not keep anything of the call before. */
static void test_each_call_has_its_own_lines(void **state)
{
	struct fixture *f = *state;
	static const char other[] = "ffffffff-89ab-cdef-0123-456789abcdef";
	struct shot shot = {0};
	char trace[TRACE_SIZE];
	(void)call(f, PLATFORM_SANDBOX_DELETE, "gone");
	(void)snprintf(trace, sizeof(trace), "%s", header(f, "traceparent"));
	struct platform_request request = request_of(PLATFORM_SANDBOX_GET, "ok", &shot);
	assert_int_equal(uuid_parse(other, strlen(other), &request.team_id), 0);
	(void)must_send(f, &request);
	wait_for(f, &shot);
	assert_int_equal(strncmp(f->server.head, "GET /api/v1/sandboxes/ok HTTP/1.1\r\n", 35), 0);
	assert_string_equal(header(f, "X-Team-ID"), other);
	assert_string_not_equal(header(f, "traceparent"), trace); /* none was given: a new trace */
	assert_int_equal(shot.answer.status, 200);
	assert_string_equal(shot.answer.code, "");
	assert_string_equal(shot.answer.text, "");
}

static const struct {
	enum platform_op op;
	const char *parent, *id, *want;
} paths[] = {
    {PLATFORM_SANDBOX_GET, NULL, "sb-1", "GET /api/v1/sandboxes/sb-1 "},
    {PLATFORM_VOLUME_DELETE, NULL, "v_1.2~3", "DELETE /api/v1/sandboxvolumes/v_1.2~3 "},
    {PLATFORM_VOLUME_GET, NULL, "v", "GET /api/v1/sandboxvolumes/v "},
    {PLATFORM_SNAPSHOT_DELETE, "v", "s", "DELETE /api/v1/sandboxvolumes/v/snapshots/s "},
    {PLATFORM_SNAPSHOT_DELETE, "a/b", "c?d",
     "DELETE /api/v1/sandboxvolumes/a%2Fb/snapshots/c%3Fd "},
    {PLATFORM_VOLUME_DELETE, NULL, "v?force=true",
     "DELETE /api/v1/sandboxvolumes/v%3Fforce%3Dtrue "},
    {PLATFORM_SANDBOX_DELETE, NULL, "../x", "DELETE /api/v1/sandboxes/..%2Fx "},
    {PLATFORM_SANDBOX_DELETE, NULL, "...", "DELETE /api/v1/sandboxes/... "},
    {PLATFORM_SANDBOX_DELETE, NULL, "%2e%2e", "DELETE /api/v1/sandboxes/%252e%252e "},
    {PLATFORM_SANDBOX_DELETE, NULL, "a b#c\r\nX: y",
     "DELETE /api/v1/sandboxes/a%20b%23c%0D%0AX%3A%20y "},
    {PLATFORM_SANDBOX_DELETE, NULL, "\xc3\xa9{}[]", "DELETE /api/v1/sandboxes/%C3%A9%7B%7D%5B%5D "},
};

static void test_paths(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < N_OF(paths); i++) {
		struct shot shot = {0};
		struct platform_request request = request_of(paths[i].op, paths[i].id, &shot);
		request.parent_id = paths[i].parent;
		(void)must_send(f, &request);
		wait_for(f, &shot);
		if (strncmp(f->server.head, paths[i].want, strlen(paths[i].want)) != 0)
			fail_msg("want \"%s\", got \"%.80s\"", paths[i].want, f->server.head);
	}
}

static void test_ids_that_are_no_part_of_a_path(void **state)
{
	struct fixture *f = *state;
	char fits[257], too_long[258];
	memset(fits, 'x', 256);
	memset(too_long, 'x', 257);
	fits[256] = too_long[257] = '\0';
	const char *const bad[] = {NULL, "", ".", "..", too_long};
	for (size_t i = 0; i < N_OF(bad); i++)
		for (int as_parent = 0; as_parent < 2; as_parent++) {
			struct shot shot = {0};
			struct err err = {0};
			struct platform_request request = request_of(
			    as_parent ? PLATFORM_SNAPSHOT_DELETE : PLATFORM_SANDBOX_DELETE, bad[i], &shot);
			if (as_parent) {
				request.id = "s";
				request.parent_id = bad[i];
			}
			assert_null(platform_send(f->platform, &request, &err));
			assert_int_equal(err.kind, ERR_REJECT);
			assert_string_equal(err.code, "bad_id");
		}
	assert_int_equal(platform_in_flight(f->platform), 0);
	assert_int_equal(call(f, PLATFORM_SANDBOX_DELETE, fits).status, 200);
	memset(fits, '/', 256); /* three times as long in the path */
	struct shot shot = {0};
	struct platform_request request = request_of(PLATFORM_SNAPSHOT_DELETE, fits, &shot);
	request.parent_id = fits;
	(void)must_send(f, &request);
	wait_for(f, &shot);
	assert_int_equal(f->server.requests, 2);
}

/* ---- answers ---- */

static const struct {
	const char *id;
	enum platform_fault fault;
	int status;
	const char *code;
	int64_t retry_after_ms;
} answers[] = {
    {"ok", PLATFORM_ANSWERED, 200, "", 0},
    {"chunked", PLATFORM_ANSWERED, 200, "", 0},
    {"to-the-end", PLATFORM_ANSWERED, 200, "", 0},
    {"gone", PLATFORM_ANSWERED, 404, "not_found", 0},
    {"late", PLATFORM_ANSWERED, 503, "unavailable", 3000},
    {"hang", PLATFORM_TIMEOUT, 0, "", 0},
    {"hang-in-head", PLATFORM_TIMEOUT, 0, "", 0},
    {"hang-in-body", PLATFORM_TIMEOUT, 0, "", 0},
    {"reset", PLATFORM_RESET, 0, "", 0},
    {"close", PLATFORM_RESET, 0, "", 0},
    {"cut-in-head", PLATFORM_MALFORMED, 404, "", 0}, /* libcurl takes it for an empty body */
    {"cut-in-body", PLATFORM_RESET, 0, "", 0},
    {"cut-in-chunk", PLATFORM_RESET, 0, "", 0},
    {"reset-in-body", PLATFORM_RESET, 0, "", 0},
    {"says-large", PLATFORM_TOO_LARGE, 0, "", 0},
    {"is-large", PLATFORM_TOO_LARGE, 0, "", 0},
    {"page", PLATFORM_MALFORMED, 404, "", 0},
    {"moved", PLATFORM_MALFORMED, 307, "", 0},
    {"no-http", PLATFORM_MALFORMED, 0, "", 0},
    {"bad-length", PLATFORM_MALFORMED, 0, "", 0},
};

static void test_answers(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < N_OF(answers); i++) {
		bool times_out = answers[i].fault == PLATFORM_TIMEOUT;
		client_reopen(f, times_out ? TIMEOUT_MS : LONG_MS, MANY);
		int64_t start = now_ms();
		struct platform_answer answer = call(f, PLATFORM_SANDBOX_DELETE, answers[i].id);
		int64_t took = now_ms() - start;
		if (answer.fault != answers[i].fault || answer.status != answers[i].status ||
		    strcmp(answer.code, answers[i].code) != 0 ||
		    answer.retry_after_ms != answers[i].retry_after_ms)
			fail_msg("%s: %s, status %d, code \"%s\", text \"%s\"", answers[i].id,
			         platform_fault_name(answer.fault), answer.status, answer.code, answer.text);
		assert_true(answer.status == 200 || *answer.text);
		assert_true(times_out ? took >= TIMEOUT_MS - 1 : took < LONG_MS);
		assert_in_range(answer.latency_us, 1, LONG_MS * 1000);
		/* Nothing of a bad call clings to the next one. */
		answer = call(f, PLATFORM_SANDBOX_GET, "ok");
		assert_int_equal(answer.fault, PLATFORM_ANSWERED);
		assert_int_equal(answer.status, 200);
	}
	assert_int_equal(platform_in_flight(f->platform), 0);
}

static void test_one_connection_is_kept(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(call(f, PLATFORM_SANDBOX_GET, i % 2 ? "ok" : "gone").reused, i > 0);
	assert_int_equal(f->server.accepted, 1);
	assert_int_equal(f->server.requests, 50);
}

/* The server closes an idle connection just as it is used again. */
static void test_a_connection_that_has_died(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(call(f, PLATFORM_SANDBOX_DELETE, "ok-then-close").fault,
		                 PLATFORM_ANSWERED);
	assert_int_equal(f->server.accepted, 20);
}

static void test_nobody_listens(void **state)
{
	struct fixture *f = *state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0); /* bound, not listening */
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	platform_free(f->platform);
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d", ntohs(addr.sin_port));
	client_open(f);
	struct platform_answer answer = call(f, PLATFORM_SANDBOX_DELETE, "ok");
	assert_int_equal(answer.fault, PLATFORM_CONNECT);
	assert_non_null(strstr(answer.text, "127.0.0.1"));
	(void)close(fd);
}

/* A server that speaks no TLS where TLS is expected. */
static void test_tls_that_fails(void **state)
{
	struct fixture *f = *state;
	platform_free(f->platform);
	(void)snprintf(f->url, sizeof(f->url), "https://127.0.0.1:%d", f->server.port);
	client_open(f);
	struct platform_answer answer = call(f, PLATFORM_SANDBOX_DELETE, "ok");
	assert_true(answer.fault == PLATFORM_CONNECT || answer.fault == PLATFORM_TIMEOUT);
	assert_int_equal(f->server.requests, 0);
}

static void test_no_proxy_from_the_environment(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"};
	for (size_t i = 0; i < N_OF(names); i++)
		(void)setenv(names[i], "http://127.0.0.1:1", 1);
	assert_int_equal(call(f, PLATFORM_SANDBOX_DELETE, "ok").status, 200);
	for (size_t i = 0; i < N_OF(names); i++)
		(void)unsetenv(names[i]);
}

/* ---- many at once ---- */

static void test_more_calls_than_connections(void **state)
{
	struct fixture *f = *state;
	struct shot shots[MANY] = {0};
	struct platform_call *calls[MANY];
	client_reopen(f, LONG_MS, 8);
	send_many(f, MANY, "ok", shots, calls);
	assert_int_equal(platform_in_flight(f->platform), MANY);
	for (int i = 0; i < MANY; i++) {
		wait_for(f, &shots[i]);
		assert_int_equal(shots[i].answer.status, 200);
	}
	assert_true(f->server.open_most <= 8);
	assert_int_equal(f->server.requests, MANY);
}

/* Calls that wait for a connection have the same deadline as those that have one. */
static void test_waiting_for_a_connection_has_an_end(void **state)
{
	struct fixture *f = *state;
	struct shot shots[MANY] = {0};
	struct platform_call *calls[MANY];
	client_reopen(f, TIMEOUT_MS, 2);
	int64_t start = now_ms();
	send_many(f, MANY, "hang", shots, calls);
	for (int i = 0; i < MANY; i++) {
		wait_for(f, &shots[i]);
		assert_int_equal(shots[i].answer.fault, PLATFORM_TIMEOUT);
	}
	assert_true(now_ms() - start < TIMEOUT_MS + INSTANT_MS); /* not one after the other */
	assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "ok").status, 200);
}

static void test_cancel_many_that_hang(void **state)
{
	struct fixture *f = *state;
	struct shot shots[MANY] = {0};
	struct platform_call *calls[MANY];
	send_many(f, MANY, "hang", shots, calls);
	run_until(f, &f->server.requests, MANY);
	assert_int_equal(f->server.open, MANY);
	int64_t start = now_ms();
	for (int i = 0; i < MANY; i++)
		platform_cancel(calls[i]);
	assert_true(now_ms() - start < INSTANT_MS);
	assert_int_equal(platform_in_flight(f->platform), 0);
	run_until(f, &f->server.open, 0);
	run_for(f, 20);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(shots[i].done, 0);
	assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "ok").status, 200);
}

static void test_cancel_before_anything_was_sent(void **state)
{
	struct fixture *f = *state;
	struct shot shots[MANY] = {0};
	struct platform_call *calls[MANY];
	send_many(f, MANY, "ok", shots, calls);
	for (int i = 0; i < MANY; i++)
		platform_cancel(calls[i]);
	run_for(f, 50);
	assert_int_equal(f->server.requests, 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(shots[i].done, 0);
}

static void test_free_with_many_that_hang(void **state)
{
	struct fixture *f = *state;
	struct shot shots[MANY] = {0};
	struct platform_call *calls[MANY];
	send_many(f, MANY, "hang", shots, calls);
	run_until(f, &f->server.requests, MANY);
	int64_t start = now_ms();
	platform_free(TAKE(f->platform));
	assert_true(now_ms() - start < INSTANT_MS);
	run_until(f, &f->server.open, 0);
	run_for(f, 20);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(shots[i].done, 0);
}

/* Calls whose done callbacks act on the others. */
struct group {
	struct fixture *f;
	struct member {
		struct group *group;
		struct platform_call *call; /* NULL once it is over */
	} members[MANY];
	int done, sent;
};

static void on_done_cancel_all(void *arg, const struct platform_answer *answer)
{
	struct member *member = arg;
	(void)answer;
	member->call = NULL;
	member->group->done++;
	for (int i = 0; i < MANY; i++)
		if (member->group->members[i].call)
			platform_cancel(TAKE(member->group->members[i].call));
}

static void first_done_cancels_all(struct fixture *f)
{
	struct group group = {.f = f};
	for (int i = 0; i < MANY; i++) {
		struct platform_request request = request_of(PLATFORM_SANDBOX_DELETE, "ok", NULL);
		request.done = on_done_cancel_all;
		request.arg = &group.members[i];
		group.members[i] = (struct member){&group, must_send(f, &request)};
	}
	run_until(f, &group.done, 1);
	run_for(f, 5);
	assert_int_equal(group.done, 1);
	assert_int_equal(platform_in_flight(f->platform), 0);
}

static void test_cancel_inside_done(void **state)
{
	struct fixture *f = *state;
	for (int round = 0; round < 10; round++)
		first_done_cancels_all(f);
	/* Where nobody listens many results are there at once, and a cancelled call takes its own
	 * with it. */
	platform_free(f->platform);
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:1");
	client_open(f);
	for (int round = 0; round < 10; round++)
		first_done_cancels_all(f);
}

static void on_done_send(void *arg, const struct platform_answer *answer)
{
	struct group *group = arg;
	struct err err = {0};
	assert_int_equal(answer->status, 200);
	group->done++;
	if (group->sent >= 1000)
		return;
	struct platform_request request = request_of(PLATFORM_SANDBOX_DELETE, "ok", NULL);
	request.done = on_done_send;
	request.arg = group;
	int done = group->done;
	assert_non_null(platform_send(group->f->platform, &request, &err));
	assert_int_equal(group->done, done);
	group->sent++;
}

static void test_send_inside_done(void **state)
{
	struct fixture *f = *state;
	struct group group = {.f = f};
	for (int i = 0; i < 8; i++) {
		struct platform_request request = request_of(PLATFORM_SANDBOX_DELETE, "ok", NULL);
		request.done = on_done_send;
		request.arg = &group;
		(void)must_send(f, &request);
		group.sent++;
	}
	run_until(f, &group.done, 1000);
	run_for(f, 20);
	assert_int_equal(group.done, 1000);
	assert_int_equal(f->server.requests, 1000);
	assert_true(f->server.accepted <= 16);
}

/* ---- a name server that does not answer ---- */

enum { SLOW_S = 2 };

/* In front of libc's, also for libcurl. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	if (node && strcmp(node, "slow.test") == 0) {
		(void)sleep(SLOW_S);
		return EAI_AGAIN;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, ret);
}

static void test_a_name_server_that_hangs(void **state)
{
	struct fixture *f = *state;
	struct shot shots[MANY] = {0};
	struct platform_call *calls[MANY];
	platform_free(f->platform);
	(void)snprintf(f->url, sizeof(f->url), "http://slow.test:1");
	f->config.timeout_ms = TIMEOUT_MS;
	client_open(f);
	send_many(f, MANY, "ok", shots, calls);
	run_for(f, 50);
	int64_t start = now_ms();
	for (int i = 1; i < MANY / 2; i++)
		platform_cancel(calls[i]);
	assert_true(now_ms() - start < INSTANT_MS);
	wait_for(f, &shots[0]);
	assert_int_equal(shots[0].answer.fault, PLATFORM_TIMEOUT);
	start = now_ms();
	platform_free(TAKE(f->platform));
	assert_true(now_ms() - start < INSTANT_MS);
	(void)sleep(SLOW_S); /* the resolver's threads end by themselves */
}

/* ---- configuration ---- */

static const struct {
	const char *url;
	bool fits;
} urls[] = {
    {"http://127.0.0.1:8080", true},
    {"http://127.0.0.1:8080/", true},
    {"HTTPS://Platform.Example", true},
    {"https://[::1]:8443/", true},
    {"http://localhost", true},
    {"", false},
    {"platform.example", false},
    {"//platform.example", false},
    {"ftp://platform.example", false},
    {"file:///etc/passwd", false},
    {"unix:/run/x", false},
    {"http://", false},
    {"http:///", false},
    {"http://:80", false},
    {"http://h:99999", false},
    {"http://h:x", false},
    {"http://h ", false},
    {"http://h/api", false},
    {"http://h//", false},
    {"http://h/.", false},
    {"http://h/?", false},
    {"http://h?x=1", false},
    {"http://h/#", false},
    {"http://h#x", false},
    {"http://user@h", false},
    {"http://user:secret@h", false},
    {"http://:secret@h", false},
    {"http://@h", false},
    {"http://h\r\nX: y", false},
};

/* A client made anew with what the fixture's configuration says; its error, if any. */
static bool can_open(struct fixture *f, struct err *err)
{
	*err = (struct err){0};
	platform_free(TAKE(f->platform));
	f->platform = platform_new(f->loop, &f->config, f->metrics, err);
	if (f->platform)
		return true;
	assert_int_equal(err->kind, ERR_REJECT);
	assert_string_equal(err->code, "config");
	return false;
}

static void test_urls(void **state)
{
	struct fixture *f = *state;
	struct err err;
	for (size_t i = 0; i < N_OF(urls); i++) {
		f->config.url = urls[i].url;
		if (can_open(f, &err) != urls[i].fits)
			fail_msg("\"%s\": %s", urls[i].url, urls[i].fits ? err.text : "was taken");
		assert_null(strstr(err.text, "secret"));
	}
}

static void test_tokens(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"", "two words", "t\r\nX: y", "t\n", "t\x7f", "t\xc3\xa9"};
	struct err err;
	for (size_t i = 0; i < N_OF(bad); i++) {
		f->config.token = bad[i];
		assert_false(can_open(f, &err));
	}
}

static void test_ca_files(void **state)
{
	struct fixture *f = *state;
	struct err err;
	char path[] = "/tmp/sandsweep-test-XXXXXX";
	static const char pem[] = "A comment\n-----BEGIN CERTIFICATE-----\nMIIB\n";
	f->config.ca_file = "/nonexistent/ca.pem";
	assert_false(can_open(f, &err));
	assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
	f->config.ca_file = "/"; /* a directory */
	assert_false(can_open(f, &err));
	f->config.ca_file = "/dev/null";
	assert_false(can_open(f, &err));
	int fd = mkstemp(path);
	assert_int_equal(write(fd, pem, strlen(pem)), (ssize_t)strlen(pem));
	(void)close(fd);
	f->config.ca_file = path;
	assert_true(can_open(f, &err));
	(void)unlink(path);
}

static void test_section(void **state)
{
	(void)state;
	const struct config_section *const sections[] = {&platform_section};
	static const char *const set[] = {"platform.url=http://h", "platform.token=t"};
	struct platform_config read = {0};
	struct err err = {0};
	struct config *config = config_load(NULL, sections, 1, set, 1, &err);
	assert_non_null(config);
	assert_int_equal(config_read(config, &platform_section, &read, &err), -1); /* no token */
	config_free(config);
	config = config_load(NULL, sections, 1, set, 2, NULL);
	assert_non_null(config);
	assert_int_equal(config_read(config, &platform_section, &read, NULL), 0);
	assert_string_equal(read.url, "http://h");
	assert_string_equal(read.ca_file, "");
	assert_int_equal(read.connect_timeout_ms, 2000);
	assert_int_equal(read.timeout_ms, 15000);
	assert_int_equal(read.connections_max, 256);
	assert_int_equal(read.body_max_bytes, 1048576);
	config_free(config);
}

/* ---- metrics ---- */

static void test_metrics(void **state)
{
	struct fixture *f = *state;
	static const char *const ids[] = {"ok", "gone", "late", "page", "says-large", "reset", "hang"};
	static const char *const want[] = {
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"2xx\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"404\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"5xx\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"malformed\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"too_large\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"reset\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"timeout\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"connect\"} 0\n",
	    "sandsweep_platform_calls_total{op=\"volume_get\",outcome=\"429\"} 0\n",
	    "sandsweep_platform_calls_total{op=\"sandbox_delete\",outcome=\"cancelled\"} 1\n",
	    "sandsweep_platform_call_seconds_count{op=\"volume_get\"} 7\n",
	    "sandsweep_platform_call_seconds_count{op=\"sandbox_delete\"} 0\n",
	    "sandsweep_platform_in_flight 1\n",
	};
	struct shot shots[2] = {0};
	struct platform_call *calls[2];
	struct buf out;
	client_reopen(f, TIMEOUT_MS, MANY);
	for (size_t i = 0; i < N_OF(ids); i++)
		(void)call(f, PLATFORM_VOLUME_GET, ids[i]);
	send_many(f, 2, "hang", shots, calls);
	platform_cancel(calls[0]);
	buf_init(&out, 1 << 20);
	metrics_write(f->metrics, &out);
	for (size_t i = 0; i < N_OF(want); i++)
		if (!strstr(out.data, want[i]))
			fail_msg("no %s", want[i]);
	buf_done(&out);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_request),
	    TEST(test_each_call_has_its_own_lines),
	    TEST(test_paths),
	    TEST(test_ids_that_are_no_part_of_a_path),
	    TEST(test_answers),
	    TEST(test_one_connection_is_kept),
	    TEST(test_a_connection_that_has_died),
	    TEST(test_nobody_listens),
	    TEST(test_tls_that_fails),
	    TEST(test_no_proxy_from_the_environment),
	    TEST(test_more_calls_than_connections),
	    TEST(test_waiting_for_a_connection_has_an_end),
	    TEST(test_cancel_many_that_hang),
	    TEST(test_cancel_before_anything_was_sent),
	    TEST(test_free_with_many_that_hang),
	    TEST(test_cancel_inside_done),
	    TEST(test_send_inside_done),
	    TEST(test_a_name_server_that_hangs),
	    TEST(test_urls),
	    TEST(test_tokens),
	    TEST(test_ca_files),
	    cmocka_unit_test(test_section),
	    TEST(test_metrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
