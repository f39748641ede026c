/* What the server is tested on: a real one on a real loop, spoken to through raw sockets in the same
 * thread. Only the loop's clock is ours: it runs, and a test can push it forward. */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/http.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

enum {
	HEADER_MAX = 2048,
	BODY_MAX = 20000,
	CONNS_MAX = 8,
	REQUEST_MS = 10000,
	ANSWER_MS = 5000,
	HELD_MAX = 16,
	PATIENCE_US = 20000000, /* before a condition that does not come fails the test */
};

/* ---- requests, and the beginnings of some ---- */

#define LINE "GET /x HTTP/1.1\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
static const char get[] = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/* ---- the server's side ---- */

enum mode { MODE_ECHO, MODE_HOLD, MODE_ABORT, MODE_BIG };

struct rig {
	int64_t offset_us;
	struct clock clock;
	struct loop *loop;
	struct http_server *server;
	enum mode mode;
	struct http_req *held[HELD_MAX];
	size_t held_count;
	unsigned requests, refusals;
	int refused_status;
	char refused_why[100];
	char big[300000];
};

static int64_t mono_us(void *arg)
{
	return clock_system()->mono_us(NULL) + ((struct rig *)arg)->offset_us;
}

static int64_t wall_us(void *arg)
{
	return clock_system()->wall_us(NULL) + ((struct rig *)arg)->offset_us;
}

static size_t body_max(void *arg, const char *method, const char *path)
{
	(void)arg;
	(void)method;
	return strcmp(path, "/nobody") == 0 ? 0 : BODY_MAX;
}

static const char *or_none(const char *text)
{
	return text ? text : "(none)";
}

/* Answers with all that the request brought. */
static void echo(struct http_req *req)
{
	struct buf out;
	buf_init(&out, (size_t)BODY_MAX * 2);
	size_t len;
	const char *body = http_req_body(req, &len);
	(void)buf_printf(&out, "%s %s %s a=%s b=%s x=%s body=", http_req_peer(req),
	                 http_req_method(req), http_req_path(req), or_none(http_req_query(req, "a")),
	                 or_none(http_req_query(req, "b")), or_none(http_req_header(req, "X-Test")));
	(void)buf_add(&out, body, len);
	const struct http_header headers[] = {{"X-One", "1"}, {"X-Two", "2"}};
	http_reply(req, 200, "text/plain", out.data, out.len, headers, N_OF(headers));
	buf_done(&out);
}

static void on_request(void *arg, struct http_req *req)
{
	struct rig *rig = arg;
	rig->requests++;
	assert_true(http_req_start_us(req) <= loop_now_us(rig->loop));
	assert_null(http_req_state(req));
	http_req_set_state(req, rig);
	if (rig->mode == MODE_ECHO)
		echo(req);
	else if (rig->mode == MODE_ABORT)
		http_abort(req);
	else if (rig->mode == MODE_BIG)
		http_reply(req, 200, "text/plain", rig->big, sizeof(rig->big), NULL, 0);
	else if (rig->held_count < HELD_MAX)
		rig->held[rig->held_count++] = req;
}

static void on_refused(void *arg, struct http_req *req, int status, const char *why)
{
	struct rig *rig = arg;
	rig->refusals++;
	rig->refused_status = status;
	(void)snprintf(rig->refused_why, sizeof(rig->refused_why), "%s", why);
	const struct http_header header = {"X-Refused", "yes"};
	http_reply(req, status, "text/plain", why, strlen(why), &header, 1);
}

static struct http_opts options(struct rig *rig)
{
	return (struct http_opts){
	    .listen = "127.0.0.1:0",
	    .limits = {.header_max_bytes = HEADER_MAX,
	               .conns_max = CONNS_MAX,
	               .idle_ms = 60000,
	               .request_ms = REQUEST_MS,
	               .answer_ms = ANSWER_MS},
	    .body_max = body_max,
	    .on_request = on_request,
	    .on_refused = on_refused,
	    .arg = rig,
	};
}

static void serve(struct rig *rig, const struct http_opts *opts)
{
	struct err err = {0};
	rig->server = http_server_new(rig->loop, opts, &err);
	if (!rig->server)
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	struct rig *rig = test_calloc(1, sizeof(*rig));
	rig->clock = (struct clock){mono_us, wall_us, rig};
	memset(rig->big, 'b', sizeof(rig->big));
	struct err err = {0};
	rig->loop = loop_new(&rig->clock, &err);
	if (!rig->loop)
		return -1;
	struct http_opts opts = options(rig);
	serve(rig, &opts);
	*state = rig;
	return 0;
}

/* A server with other options in place of the usual one. */
static void serve_again(struct rig *rig, const struct http_opts *opts)
{
	http_server_free(rig->server);
	serve(rig, opts);
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	http_server_free(rig->server);
	loop_free(rig->loop);
	test_free(rig);
	return 0;
}

static void round_once(struct rig *rig, int64_t max_wait_us)
{
	struct err err = {0};
	if (loop_once(rig->loop, max_wait_us, &err) < 0)
		fail_msg("%s", err.text);
}

/* Takes in what the kernel has (see until_received). */
static void settle(struct rig *rig)
{
	for (int i = 0; i < 10; i++)
		round_once(rig, 0);
}

static void pass(struct rig *rig, int64_t ms)
{
	rig->offset_us += ms * 1000;
	settle(rig);
}

/* ---- the client's side ---- */

struct client {
	struct rig *rig;
	int fd;
	char in[400000];
	size_t in_len;
	bool over; /* the server has closed */
	int error; /* with this errno */
};

static int dial(const struct rig *rig, const char *source)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = {.sin_family = AF_INET};
	(void)inet_pton(AF_INET, source, &addr.sin_addr);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		fail_msg("no socket: %s", strerror(errno));
	(void)inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
	addr.sin_port = htons((uint16_t)http_server_port(rig->server));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static void until_connections(struct rig *rig, unsigned want)
{
	int64_t start = clock_system()->mono_us(NULL);
	for (; http_server_connections(rig->server) != want; round_once(rig, 1000))
		if (clock_system()->mono_us(NULL) - start > PATIENCE_US)
			fail_msg("%u connections, not %u", http_server_connections(rig->server), want);
}

/* For a client that the server is going to turn away. */
static struct client *client_past(struct rig *rig)
{
	struct client *c = test_calloc(1, sizeof(*c));
	c->rig = rig;
	c->fd = dial(rig, "127.0.0.1");
	assert_true(c->fd >= 0);
	return c;
}

static struct client *client_from(struct rig *rig, const char *source)
{
	unsigned before = http_server_connections(rig->server);
	struct client *c = test_calloc(1, sizeof(*c));
	c->rig = rig;
	c->fd = dial(rig, source);
	assert_true(c->fd >= 0);
	until_connections(rig, before + 1);
	return c;
}

static struct client *client_new(struct rig *rig)
{
	return client_from(rig, "127.0.0.1");
}

static void client_free(struct client *c)
{
	(void)close(c->fd);
	settle(c->rig);
	test_free(c);
}

static void client_read(struct client *c)
{
	while (!c->over) {
		ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		c->over = n <= 0;
		c->error = n < 0 ? errno : 0;
		c->in_len += n > 0 ? (size_t)n : 0;
	}
}

static void pump(struct client *c)
{
	round_once(c->rig, 1000);
	client_read(c);
}

/* False when the server has closed and refuses the rest. */
static bool client_send(struct client *c, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			pump(c);
		data += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* Sent is not received, not even over loopback on a busy machine: this waits until the server's
 * kernel has acknowledged everything, unless the connection is gone. */
static void until_received(struct client *c)
{
	int64_t start = clock_system()->mono_us(NULL);
	for (int unsent = 1; unsent > 0; round_once(c->rig, 1000)) {
		struct tcp_info info = {0};
		socklen_t len = sizeof(info);
		if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
		    info.tcpi_state == TCP_CLOSE || ioctl(c->fd, SIOCOUTQ, &unsent) < 0)
			return;
		if (clock_system()->mono_us(NULL) - start > PATIENCE_US)
			fail_msg("%d bytes are not taken in", unsent);
	}
}

static void client_say(struct client *c, const char *text)
{
	(void)client_send(c, text, strlen(text));
	until_received(c);
	settle(c->rig);
}

/* The end of the answer that begins at `at`, NULL while it is not all here. */
static const char *answer_end(const struct client *c, const char *at)
{
	const char *head_end = strstr(at, "\r\n\r\n");
	if (!head_end)
		return NULL;
	const char *length = strstr(at, "Content-Length: ");
	long body = length && length < head_end ? strtol(length + 16, NULL, 10) : 0;
	const char *end = head_end + 4 + body;
	return end <= c->in + c->in_len ? end : NULL;
}

static unsigned answers(const struct client *c)
{
	unsigned n = 0;
	for (const char *at = c->in; *at && (at = answer_end(c, at)); n++)
		;
	return n;
}

static int status_of(const struct client *c)
{
	return strncmp(c->in, "HTTP/1.1 ", 9) == 0 ? (int)strtol(c->in + 9, NULL, 10) : 0;
}

static void until_answers(struct client *c, unsigned want)
{
	int64_t start = clock_system()->mono_us(NULL);
	for (client_read(c); answers(c) < want; pump(c))
		if (c->over || clock_system()->mono_us(NULL) - start > PATIENCE_US)
			fail_msg("%u answers of %u: %s", answers(c), want, c->in);
}

static void until_over(struct client *c)
{
	int64_t start = clock_system()->mono_us(NULL);
	for (client_read(c); !c->over; pump(c))
		if (clock_system()->mono_us(NULL) - start > PATIENCE_US)
			fail_msg("the server does not close: %s", c->in);
}

static void until_held(struct rig *rig, size_t want)
{
	int64_t start = clock_system()->mono_us(NULL);
	for (; rig->held_count < want; round_once(rig, 1000))
		if (clock_system()->mono_us(NULL) - start > PATIENCE_US)
			fail_msg("%zu requests of %zu", rig->held_count, want);
}

static void until_refusals(struct rig *rig, unsigned want)
{
	int64_t start = clock_system()->mono_us(NULL);
	for (; rig->refusals < want; round_once(rig, 1000))
		if (clock_system()->mono_us(NULL) - start > PATIENCE_US)
			fail_msg("%u refusals of %u", rig->refusals, want);
}

static bool client_over(struct client *c)
{
	settle(c->rig);
	client_read(c);
	return c->over;
}

static void expect_in(const struct client *c, const char *text)
{
	if (!strstr(c->in, text))
		fail_msg("no \"%s\" in: %s", text, c->in);
}

/* The connection is still good for a request, and nothing is left over on it. */
static void expect_alive(struct client *c)
{
	unsigned before = answers(c), requests = c->rig->requests;
	client_say(c, get);
	until_answers(c, before + 1);
	assert_int_equal(c->rig->requests, requests + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
