/* A real server on a real loop, spoken to through raw sockets in the same thread. Only the loop's
 * clock is ours: it runs, and a test can push it forward. */
#include "base/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

enum {
	HEADER_MAX = 2048,
	BODY_MAX = 20000,
	CONNS_MAX = 8,
	REQUEST_MS = 10000,
	ANSWER_MS = 5000,
	HELD_MAX = 16,
	PATIENCE_US = 20000000, /* before a condition that does not come fails the test */
};

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

static const char get[] = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/* The connection is still good for a request, and nothing is left over on it. */
static void expect_alive(struct client *c)
{
	unsigned before = answers(c), requests = c->rig->requests;
	client_say(c, get);
	until_answers(c, before + 1);
	assert_int_equal(c->rig->requests, requests + 1);
}

/* ---- what could be smuggled ---- */

#define BYTES(text) text, sizeof(text) - 1
#define LINE "GET /x HTTP/1.1\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
/* What follows a request that is refused; it must never be answered. */
#define SMUGGLED "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct wire_case {
	const char *name, *input;
	size_t len;
	int status;      /* 200: answered, and the connection lives; others close it */
	const char *why; /* what on_refused is told; NULL: libmicrohttpd answers by itself */
} wire_cases[] = {
    {"plain", BYTES(LINE "Host: a\r\n\r\n"), 200, NULL},
    {"empty lines first", BYTES("\r\n\r\n" LINE "Host: a\r\n\r\n"), 200, NULL},
    {"no space behind the colon", BYTES(LINE "Host:a\r\n\r\n"), 200, NULL},
    {"spaces and tabs around", BYTES(LINE "Host: \t a\r\nX: \t b \r\nY:\r\nZ: \r\n\r\n"), 200,
     NULL},
    {"query", BYTES("GET /x?a=1&b&c=+%2b HTTP/1.1\r\nHost: a\r\n\r\n"), 200, NULL},
    {"cookies", BYTES(LINE "Host: a\r\nCookie: a=b; c=\"d\"; e\r\n\r\n"), 200, NULL},
    {"body", BYTES(POST "Content-Length: 5\r\n\r\nhello"), 200, NULL},
    {"no body", BYTES(POST "Content-Length: 0\r\n\r\n"), 200, NULL},

    {"length and chunked",
     BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "Content-Length with Transfer-Encoding"},
    {"chunked and length",
     BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "Content-Length with Transfer-Encoding"},
    {"two lengths", BYTES(POST "Content-Length: 0\r\nContent-Length: 36\r\n\r\n" SMUGGLED), 400,
     "more than one Content-Length"},
    {"the same length twice", BYTES(POST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" SMUGGLED),
     400, "more than one Content-Length"},
    {"list of lengths", BYTES(POST "Content-Length: 0, 0\r\n\r\n" SMUGGLED), 400, NULL},
    {"length with a plus", BYTES(POST "Content-Length: +0\r\n\r\n" SMUGGLED), 400, NULL},
    {"negative length", BYTES(POST "Content-Length: -1\r\n\r\n" SMUGGLED), 400, NULL},
    {"length in hex", BYTES(POST "Content-Length: 0x0\r\n\r\n" SMUGGLED), 400, NULL},
    {"length without digits", BYTES(POST "Content-Length: \r\n\r\n" SMUGGLED), 400, NULL},
    {"length past 2^64", BYTES(POST "Content-Length: 18446744073709551616\r\n\r\n" SMUGGLED), 413,
     NULL},
    {"length of 19 digits", BYTES(POST "Content-Length: 1000000000000000000\r\n\r\n"), 400,
     "malformed Content-Length"},
    {"xchunked", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n" SMUGGLED), 400,
     "Transfer-Encoding is not \"chunked\""},
    {"gzip, chunked", BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "Transfer-Encoding is not \"chunked\""},
    {"chunked and a space", BYTES(POST "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n" SMUGGLED),
     400, "Transfer-Encoding is not \"chunked\""},
    {"chunked twice",
     BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
     "more than one Transfer-Encoding"},
    {"chunked on 1.0",
     BYTES("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
     "Transfer-Encoding on HTTP/1.0"},

    {"no host", BYTES(LINE "\r\n"), 400, "no Host"},
    {"two hosts", BYTES(LINE "Host: a\r\nHost: b\r\n\r\n"), 400, "more than one Host"},
    {"host with a path", BYTES(LINE "Host: a/b\r\n\r\n"), 400, "malformed Host"},
    {"space before the colon", BYTES(LINE "Host: a\r\nContent-Length : 36\r\n\r\n" SMUGGLED), 400,
     "malformed field name"},
    {"tab before the colon", BYTES(LINE "Host: a\r\nX\t: b\r\n\r\n"), 400, "malformed field name"},
    {"space before the first field", BYTES(LINE " X: y\r\nHost: a\r\n\r\n"), 400,
     "malformed field name"},
    {"control byte in a name", BYTES(LINE "Host: a\r\nX\x01: y\r\n\r\n"), 400,
     "malformed field name"},
    {"no name", BYTES(LINE "Host: a\r\n: y\r\n\r\n"), 400, "malformed line"},
    {"colon alone", BYTES(LINE "Host: a\r\n:\r\n" SMUGGLED), 400, "malformed line"},
    {"no colon", BYTES(LINE "Host: a\r\nX\r\n\r\n"), 400, NULL},
    {"bare CR in a value", BYTES(LINE "Host: a\r\nX: y\rContent-Length: 36\r\n\r\n" SMUGGLED), 400,
     "control byte in a field value"},
    {"control byte in a value", BYTES(LINE "Host: a\r\nX: y\x0b\r\n\r\n"), 400,
     "control byte in a field value"},

    {"bare LF behind the request line", BYTES("GET /x HTTP/1.1\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"bare LF behind a field", BYTES(LINE "Host: a\nX: y\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"bare LF behind the last field", BYTES(LINE "Host: a\r\nX: y\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"bare LF at the end", BYTES(LINE "Host: a\r\n\n" SMUGGLED), 400, "malformed line"},
    {"bare LFs", BYTES("GET /x HTTP/1.1\nHost: a\n\n" SMUGGLED), 400, "malformed line"},
    {"folded", BYTES(LINE "Host: a\r\nX: y\r\n z\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"folded with a tab", BYTES(LINE "Host: a\r\nX: y\r\n\tz\r\nY: z\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"folded twice", BYTES(LINE "Host: a\r\nX: y\r\n z\r\n z\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"folded, empty", BYTES(LINE "Host: a\r\nX: y\r\n \r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"folded coding", BYTES(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in a value", BYTES(LINE "Host: a\r\nX: y\0z\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"NUL behind a value", BYTES(LINE "Host: a\r\nX: y\0\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"NUL in a name", BYTES(LINE "Host: a\r\nX\0: y\r\n\r\n" SMUGGLED), 400, NULL},
    {"NUL in front of a name", BYTES(LINE "Host: a\r\n\0X: y\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in the target", BYTES("GET /x\0y HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in the query", BYTES("GET /x?a=\0y HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in the method", BYTES("GE\0T /x HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},

    {"two spaces", BYTES("GET  /x HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "malformed line"},
    {"space in the target", BYTES("GET /x y HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"two spaces before the version", BYTES("GET /x  HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"tab in the target", BYTES("GET /x\ty HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"high byte in the target", BYTES("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"control byte in the method", BYTES("G\x01T /x HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed method"},
    {"space behind the version", BYTES("GET /x HTTP/1.1 \r\nHost: a\r\n\r\n"), 400, NULL},
    {"no version", BYTES("GET /x\r\nHost: a\r\n\r\n"), 400, NULL},
    {"1.2", BYTES("GET /x HTTP/1.2\r\nHost: a\r\n\r\n"), 400, "neither HTTP/1.1 nor HTTP/1.0"},
    {"2.0", BYTES("GET /x HTTP/2.0\r\nHost: a\r\n\r\n"), 505, NULL},
    {"0.9", BYTES("GET /x HTTP/0.9\r\nHost: a\r\n\r\n"), 505, NULL},
    {"lower-case version", BYTES("GET /x http/1.1\r\nHost: a\r\n\r\n"), 400, NULL},
    {"NUL escaped in the query", BYTES("GET /x?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed query"},
    {"half an escape in the query", BYTES("GET /x?a=%4 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed query"},
    {"bad escape in a query's name", BYTES("GET /x?%zz=1 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed query"},

    {"chunk size is no number", BYTES(CHUNKED "x\r\nhello\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
    {"chunk size with 0x", BYTES(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
    {"negative chunk size", BYTES(CHUNKED "-5\r\nhello\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
    {"chunk size past 2^64", BYTES(CHUNKED "10000000000000000\r\nhello\r\n"), 413, NULL},
    {"no line end behind a chunk", BYTES(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
};

static void check_wire(struct rig *rig, struct client *c, const struct wire_case *want)
{
	until_answers(c, 1);
	if (status_of(c) != want->status)
		fail_msg("status %d, not %d", status_of(c), want->status);
	if (want->status == 200) {
		expect_alive(c);
		assert_int_equal(rig->refusals, 0);
		return;
	}
	until_over(c);
	if (strstr(c->in, "/smuggled") || rig->requests > 0)
		fail_msg("something got through: %s", c->in);
	assert_string_equal(rig->refused_why, want->why ? want->why : "");
	assert_int_equal(rig->refused_status, want->why ? want->status : 0);
}

static void run_wire(struct rig *rig, const struct wire_case *want, size_t step)
{
	print_message("%s, %s\n", want->name, step ? "byte by byte" : "at once");
	rig->requests = rig->refusals = 0;
	rig->refused_why[0] = '\0';
	rig->refused_status = 0;
	struct client *c = client_new(rig);
	for (size_t at = 0; at < want->len; at += step ? step : want->len) {
		(void)client_send(c, want->input + at, step ? step : want->len);
		round_once(rig, 0);
		round_once(rig, 0);
	}
	check_wire(rig, c, want);
	client_free(c);
}

static void test_wire(void **state)
{
	for (size_t i = 0; i < N_OF(wire_cases); i++) {
		run_wire(*state, &wire_cases[i], 0);
		run_wire(*state, &wire_cases[i], 1);
	}
}

/* What libmicrohttpd reads leniently between chunks cannot become a request: a chunked request is
 * the last one on its connection. */
static void test_nothing_follows_chunks(void **state)
{
	static const char *const inputs[] = {
	    CHUNKED "5\r\nhello\r\n0\r\n\r\n" SMUGGLED,
	    CHUNKED "5\nhello\n0\n\n" SMUGGLED,
	    CHUNKED "5;a=b\r\nhello\r\n0;c\r\n\r\n" SMUGGLED,
	    CHUNKED "5;\nhello\r\n0\r\n\r\n" SMUGGLED,
	    CHUNKED "005\r\nhello\r\n0\r\nTrailer: x\r\n\r\n" SMUGGLED,
	};
	for (size_t i = 0; i < N_OF(inputs); i++) {
		struct client *c = client_new(*state);
		client_say(c, inputs[i]);
		until_over(c);
		assert_int_equal(answers(c), 1);
		expect_in(c, "POST /x a=(none) b=(none) x=(none) body=hello");
		expect_in(c, "\r\nConnection: close\r\n");
		client_free(c);
	}
}

/* ---- what a request brings and an answer takes ---- */

static void test_request_parts(void **state)
{
	static const struct {
		const char *input, *want;
	} cases[] = {
	    {"GET /a%2Fb%zz/../c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%2Fb%zz/../c a=(none) b=(none)"},
	    {"GET /x?a=%41%2f+1&b=&a=2 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x a=A/ 1 b= x="},
	    {"GET /x?A=1&b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x a=(none) b= x="},
	    {"GET /x? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x a=(none) b=(none)"},
	    {"GET /x HTTP/1.1\r\nHost: a\r\nx-TEST: some text\r\n\r\n", " x=some text body="},
	    {"BREW * HTTP/1.1\r\nHost: a\r\n\r\n", "127.0.0.1 BREW * a="},
	    {"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", " body=abc"},
	};
	struct client *c = client_new(*state);
	for (size_t i = 0; i < N_OF(cases); i++) {
		c->in_len = 0;
		memset(c->in, 0, sizeof(c->in));
		client_say(c, cases[i].input);
		until_answers(c, 1);
		expect_in(c, cases[i].want);
		expect_in(c, "\r\nContent-Type: text/plain\r\n");
		expect_in(c, "\r\nX-One: 1\r\nX-Two: 2\r\n");
		expect_in(c, "\r\nDate: ");
	}
	client_free(c);
}

static void test_body_is_bytes(void **state)
{
	static const char input[] = POST "Content-Length: 5\r\n\r\n\0\r\n\0\xff";
	struct client *c = client_new(*state);
	(void)client_send(c, input, sizeof(input) - 1);
	until_answers(c, 1);
	assert_memory_equal(c->in + c->in_len - 10, "body=\0\r\n\0\xff", 10);
	client_free(c);
}

static void test_answer_without_body(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *c = client_new(rig);
	client_say(c, get);
	until_held(rig, 1);
	http_reply(rig->held[0], 204, NULL, NULL, 0, NULL, 0);
	until_answers(c, 1);
	assert_int_equal(status_of(c), 204);
	assert_null(strstr(c->in, "Content-Type"));
	rig->mode = MODE_ECHO;
	expect_alive(c);
	client_free(c);
}

static void test_head(void **state)
{
	struct client *c = client_new(*state);
	client_say(c, "HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	until_over(c);
	expect_in(c, "HTTP/1.1 200 ");
	assert_string_equal(c->in + c->in_len - 4, "\r\n\r\n");
	client_free(c);
}

static void test_keep_alive_rules(void **state)
{
	struct client *c = client_new(*state);
	client_say(c, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	until_answers(c, 1);
	expect_in(c, "Connection: Keep-Alive");
	client_say(c, "GET /x HTTP/1.0\r\n\r\n");
	until_over(c);
	assert_int_equal(answers(c), 2);
	client_free(c);
}

static void test_big_answer(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_BIG;
	struct client *c = client_new(rig);
	client_say(c, get);
	until_answers(c, 1);
	assert_int_equal(c->in[c->in_len - 1], 'b');
	rig->mode = MODE_HOLD;
	c->in_len = 0;
	memset(c->in, 0, sizeof(c->in));
	client_say(c, get);
	until_held(rig, 1);
	http_reply(rig->held[0], 200, "text/plain", rig->big, sizeof(rig->big), NULL, 0);
	until_answers(c, 1);
	client_free(c);
}

static void test_continue(void **state)
{
	struct client *c = client_new(*state);
	client_say(c, POST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	until_answers(c, 1);
	assert_int_equal(status_of(c), 100);
	client_say(c, "hello");
	until_answers(c, 2);
	expect_in(c, "body=hello");
	expect_alive(c);
	client_free(c);
}

static void test_continue_refused(void **state)
{
	struct client *c = client_new(*state);
	client_say(c, POST "Expect: 100-continue\r\nContent-Length: 20001\r\n\r\n");
	until_over(c);
	assert_int_equal(status_of(c), 413);
	assert_int_equal(answers(c), 1);
	client_free(c);
}

/* ---- limits, at the bound and one past it ---- */

/* A request whose request line and headers have exactly `size` bytes. */
static void send_head(struct client *c, size_t size)
{
	char head[HEADER_MAX * 4];
	int len = snprintf(head, sizeof(head), LINE "Host: a\r\nX-Test: ");
	memset(head + len, 'x', size - (size_t)len - 4);
	memcpy(head + size - 4, "\r\n\r\n", 5);
	(void)client_send(c, head, size);
}

static void test_header_bytes(void **state)
{
	struct rig *rig = *state;
	struct client *c = client_new(rig);
	send_head(c, HEADER_MAX);
	until_answers(c, 1);
	assert_int_equal(status_of(c), 200);
	expect_alive(c);
	client_free(c);
	c = client_new(rig);
	send_head(c, HEADER_MAX + 1);
	until_over(c);
	assert_int_equal(status_of(c), 431);
	assert_string_equal(rig->refused_why, "headers too long");
	client_free(c);
}

/* Far past every limit, libmicrohttpd's own memory ends it. */
static void test_endless_head(void **state)
{
	static const char *const starts[] = {"GET /",
	                                     LINE "Host: a\r\nX: ", LINE "Host: a\r\nCookie: "};
	static const int statuses[] = {414, 431, 431};
	for (size_t i = 0; i < N_OF(starts); i++) {
		struct client *c = client_new(*state);
		client_say(c, starts[i]);
		for (int k = 0; k < 1000 && !client_over(c); k++)
			(void)client_send(c, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			                  63);
		until_over(c);
		assert_int_equal(status_of(c), statuses[i]);
		client_free(c);
	}
}

static void send_fields(struct client *c, int count)
{
	client_say(c, LINE "Host: a\r\n");
	for (int i = 1; i < count; i++)
		client_say(c, "X:y\r\n");
	client_say(c, "\r\n");
}

static void test_field_count(void **state)
{
	struct rig *rig = *state;
	struct client *c = client_new(rig);
	send_fields(c, 100);
	until_answers(c, 1);
	assert_int_equal(status_of(c), 200);
	client_free(c);
	c = client_new(rig);
	send_fields(c, 101);
	until_over(c);
	assert_int_equal(status_of(c), 431);
	assert_string_equal(rig->refused_why, "too many headers");
	client_free(c);
}

static void send_args(struct client *c, int count)
{
	client_say(c, "GET /x?a=1");
	for (int i = 1; i < count; i++)
		client_say(c, "&b");
	client_say(c, " HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void test_argument_count(void **state)
{
	static const struct {
		int count, status;
	} cases[] = {{32, 200}, {33, 400}, {900, 400}};
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct client *c = client_new(rig);
		send_args(c, cases[i].count);
		until_answers(c, 1);
		assert_int_equal(status_of(c), cases[i].status);
		client_free(c);
	}
	assert_string_equal(rig->refused_why, "too many query arguments");
	assert_int_equal(rig->refusals, 2);
}

static void send_body(struct client *c, const char *path, bool chunked, size_t len)
{
	char text[BODY_MAX * 2] = "";
	char body[BODY_MAX + 2];
	memset(body, 'x', sizeof(body));
	if (chunked) /* in two chunks */
		(void)snprintf(text, sizeof(text),
		               "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		               "1\r\nx\r\n%zx\r\n%.*s\r\n0\r\n\r\n",
		               path, len - 1, (int)len - 1, body);
	else
		(void)snprintf(text, sizeof(text),
		               "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%.*s", path, len,
		               (int)len, body);
	client_say(c, text);
}

static void test_body_bytes(void **state)
{
	static const struct {
		const char *path;
		size_t len;
		int status;
		bool chunked;
	} cases[] = {
	    {"/x", BODY_MAX, 200, false}, {"/x", BODY_MAX + 1, 413, false},
	    {"/x", BODY_MAX, 200, true},  {"/x", BODY_MAX + 1, 413, true},
	    {"/nobody", 0, 200, false},   {"/nobody", 1, 413, false},
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		rig->refused_status = 0;
		struct client *c = client_new(rig);
		send_body(c, cases[i].path, cases[i].chunked, cases[i].len);
		until_answers(c, 1);
		if (status_of(c) != cases[i].status)
			fail_msg("case %zu: %s", i, c->in);
		assert_int_equal(rig->refused_status, cases[i].status == 413 ? 413 : 0);
		if (cases[i].status == 413) {
			until_over(c);
			expect_in(c, "\r\nConnection: close\r\n");
			expect_in(c, "\r\nX-Refused: yes\r\n");
			expect_in(c, "\r\nDate: ");
			assert_int_equal(c->error, 0);
		}
		client_free(c);
	}
}

/* Refused from its headers alone: the client has not sent a byte of the body. */
static void test_body_refused_unread(void **state)
{
	struct client *c = client_new(*state);
	client_say(c, POST "Content-Length: 20001\r\n\r\n");
	until_over(c);
	assert_int_equal(status_of(c), 413);
	client_free(c);
}

/* The answer reaches a client that goes on sending, and is not overtaken by a reset. */
static void test_refusal_outruns_no_reset(void **state)
{
	static const char *const heads[] = {POST "Content-Length: 500000\r\n\r\n",
	                                    CHUNKED "7a120\r\n" /* the same */,
	                                    LINE "Content-Length: 500000\r\n\r\n" /* no Host */};
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(heads); i++) {
		struct client *c = client_new(rig);
		(void)client_send(c, heads[i], strlen(heads[i]));
		for (int k = 0; k < 30; k++) {
			assert_true(client_send(c, rig->big, 10000));
			settle(rig);
		}
		until_over(c);
		assert_int_equal(c->error, 0);
		assert_int_equal(status_of(c), i == 2 ? 400 : 413);
		client_free(c);
	}
	until_connections(rig, 0);
}

static int open_descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The socket of a refused client that neither sends nor closes goes after a second, and no more
 * than 64 of them wait for that at one time. */
static void test_lingering_is_bounded(void **state)
{
	struct rig *rig = *state;
	int fds[70], before = open_descriptors();
	for (size_t i = 0; i < N_OF(fds); i++) {
		fds[i] = dial(rig, "127.0.0.1");
		assert_true(fds[i] >= 0);
		assert_int_equal(send(fds[i], "GET /x HTTP/1.1\r\n\r\n", 19, 0), 19);
		until_refusals(rig, (unsigned)i + 1);
	}
	until_connections(rig, 0);
	assert_int_equal(open_descriptors(), before + (int)N_OF(fds) + 64);
	pass(rig, 1100);
	assert_int_equal(open_descriptors(), before + (int)N_OF(fds));
	for (size_t i = 0; i < N_OF(fds); i++)
		(void)close(fds[i]);
}

static void test_buffer_is_kept_within_bounds(void **state)
{
	struct client *c = client_new(*state);
	for (int i = 1; i <= 5; i++) {
		send_body(c, "/x", false, i % 2 ? BODY_MAX : 1);
		until_answers(c, (unsigned)i);
	}
	client_free(c);
}

static void test_connections_in_all(void **state)
{
	struct rig *rig = *state;
	struct client *c[CONNS_MAX], *past;
	for (int i = 0; i < CONNS_MAX; i++)
		c[i] = client_new(rig);
	assert_int_equal(http_server_connections(rig->server), CONNS_MAX);
	past = client_past(rig);
	until_over(past);
	assert_int_equal(past->in_len, 0);
	client_free(past);
	for (int i = 0; i < CONNS_MAX; i++)
		expect_alive(c[i]);
	client_free(c[0]);
	until_connections(rig, CONNS_MAX - 1);
	c[0] = client_new(rig);
	expect_alive(c[0]);
	for (int i = 0; i < CONNS_MAX; i++)
		client_free(c[i]);
	until_connections(rig, 0);
}

static void test_connections_per_ip(void **state)
{
	struct rig *rig = *state;
	struct http_opts opts = options(rig);
	opts.limits.conns_per_ip_max = 2;
	serve_again(rig, &opts);
	struct client *a = client_new(rig), *b = client_new(rig), *past = client_past(rig);
	struct client *other = client_from(rig, "127.0.0.2");
	until_over(past);
	expect_alive(a);
	expect_alive(b);
	assert_false(client_over(other));
	assert_int_equal(http_server_connections(rig->server), 3);
	client_free(past);
	client_free(a);
	until_connections(rig, 2);
	a = client_new(rig);
	expect_alive(a);
	client_free(a);
	client_free(b);
	client_free(other);
}

/* ---- slow clients ---- */

static void test_slow_requests(void **state)
{
	static const struct {
		const char *name, *input;
	} cases[] = {
	    {"nothing but a line end", "\r\n"},
	    {"half a request line", "GET /"},
	    {"a request line", LINE},
	    {"half of the headers", LINE "Host: a\r\nX"},
	    {"no body yet", POST "Content-Length: 5\r\n\r\n"},
	    {"half a body", POST "Content-Length: 5\r\n\r\nhe"},
	    {"half a chunk", CHUNKED "5\r\nhe"},
	    {"no last chunk", CHUNKED "5\r\nhello\r\n"},
	    {"no end of the trailers", CHUNKED "0\r\nX: y\r\n"},
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		print_message("%s\n", cases[i].name);
		struct client *c = client_new(rig);
		client_say(c, cases[i].input);
		pass(rig, REQUEST_MS / 2); /* by now it is known to have begun */
		assert_false(client_over(c));
		pass(rig, REQUEST_MS / 4);
		assert_false(client_over(c));
		pass(rig, REQUEST_MS);
		until_over(c);
		assert_int_equal(c->in_len, 0);
		client_free(c);
	}
	until_connections(rig, 0);
}

/* One byte a second is movement, and no request within the time. */
static void test_dribble(void **state)
{
	static const char text[] = "GET /a-long-way-to-go HTTP/1.1\r\nHost: a\r\n\r\n";
	struct rig *rig = *state;
	struct client *c = client_new(rig);
	size_t sent = 0;
	while (!client_over(c) && sent < sizeof(text) - 1) {
		(void)client_send(c, text + sent++, 1);
		pass(rig, 1000);
	}
	assert_true(c->over);
	assert_in_range(sent, REQUEST_MS / 1000, REQUEST_MS / 1000 * 3 / 2);
	client_free(c);
}

static void test_slow_second_request(void **state)
{
	struct rig *rig = *state;
	struct client *c = client_new(rig);
	expect_alive(c);
	pass(rig, REQUEST_MS * 5L);
	client_say(c, "GET");
	pass(rig, REQUEST_MS / 2);
	assert_false(client_over(c));
	pass(rig, REQUEST_MS);
	until_over(c);
	client_free(c);
}

/* Waiting between requests, or for an answer, is not slow. */
static void test_idle_is_not_slow(void **state)
{
	struct rig *rig = *state;
	struct http_opts opts = options(rig);
	opts.limits.answer_ms = 0;
	serve_again(rig, &opts);
	struct client *fresh = client_new(rig), *used = client_new(rig), *open = client_new(rig);
	expect_alive(used);
	rig->mode = MODE_HOLD;
	client_say(open, get);
	until_held(rig, 1);
	for (int i = 0; i < 10; i++)
		pass(rig, REQUEST_MS);
	http_reply(rig->held[0], 200, NULL, NULL, 0, NULL, 0);
	until_answers(open, 1);
	rig->mode = MODE_ECHO;
	expect_alive(fresh);
	expect_alive(used);
	expect_alive(open);
	client_free(fresh);
	client_free(used);
	client_free(open);
}

/* libmicrohttpd counts this one in whole seconds of its own clock: the shortest is one. */
static void test_idle(void **state)
{
	struct rig *rig = *state;
	struct http_opts opts = options(rig);
	opts.limits.idle_ms = 1;
	serve_again(rig, &opts);
	struct client *c = client_new(rig), *half = client_new(rig);
	client_say(half, LINE "Host:");
	expect_alive(c);
	until_over(c);
	until_over(half);
	assert_int_equal(answers(c), 1);
	client_free(c);
	client_free(half);
}

/* A chunk line that fills libmicrohttpd's buffer makes it ask for the processor and do nothing. */
static void test_stalled_connection_does_not_spin(void **state)
{
	struct rig *rig = *state;
	struct client *c = client_new(rig), *other = client_new(rig);
	client_say(c, CHUNKED "5;");
	for (int i = 0; i < 40; i++) {
		ssize_t n = send(c->fd, rig->big, 1000, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)n; /* what is in the buffers is enough */
		settle(rig);
	}
	int64_t start = clock_system()->mono_us(NULL);
	for (int i = 0; i < 20; i++)
		round_once(rig, 2000);
	assert_true(clock_system()->mono_us(NULL) - start > 20000);
	expect_alive(other);
	pass(rig, REQUEST_MS * 2L);
	until_over(c);
	client_free(c);
	client_free(other);
}

/* ---- late answers ---- */

static void test_pipelined(void **state)
{
	struct rig *rig = *state;
	struct client *c = client_new(rig);
	char text[64];
	for (int i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
		(void)client_send(c, text, strlen(text));
	}
	until_answers(c, 50);
	const char *at = c->in;
	for (int i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof(text), "GET /%d a=", i);
		at = strstr(at, text);
		assert_non_null(at);
	}
	client_free(c);
}

static void test_pipelined_late(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *c = client_new(rig);
	for (int i = 0; i < 10; i++)
		(void)client_send(c, get, sizeof(get) - 1);
	for (unsigned i = 1; i <= 10; i++) {
		until_held(rig, i);
		settle(rig);
		assert_int_equal(rig->held_count, i); /* one at a time */
		echo(rig->held[i - 1]);
		until_answers(c, i);
	}
	client_free(c);
}

static void test_late(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *c[3];
	for (unsigned i = 0; i < 3; i++) {
		c[i] = client_new(rig);
		client_say(c[i], get);
		until_held(rig, i + 1);
		assert_int_equal(http_server_open_requests(rig->server), i + 1);
	}
	for (int i = 2; i >= 0; i--) {
		echo(rig->held[i]);
		assert_int_equal(http_server_open_requests(rig->server), i);
		until_answers(c[i], 1);
		expect_in(c[i], "GET /next a=");
	}
	rig->mode = MODE_ECHO;
	for (int i = 0; i < 3; i++) {
		expect_alive(c[i]);
		client_free(c[i]);
	}
}

/* Two answers from two tasks of one round, the second too late for this round's run of
 * libmicrohttpd. */
struct two_tasks {
	struct rig *rig;
	struct loop_task first, second;
};

static void on_first(void *arg)
{
	struct two_tasks *two = arg;
	echo(two->rig->held[0]);
	loop_defer(two->rig->loop, &two->second);
}

static void on_second(void *arg)
{
	struct two_tasks *two = arg;
	echo(two->rig->held[1]);
}

static void test_answers_from_tasks(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *a = client_new(rig), *b = client_new(rig);
	client_say(a, get);
	until_held(rig, 1);
	client_say(b, get);
	until_held(rig, 2);
	client_free(a);
	struct two_tasks two = {.rig = rig};
	loop_task_init(&two.first, on_first, &two);
	loop_task_init(&two.second, on_second, &two);
	loop_defer(rig->loop, &two.first);
	round_once(rig, 0);
	assert_int_equal(http_server_open_requests(rig->server), 0);
	until_answers(b, 1);
	client_free(b);
}

/* One answer may be given inside the hand-out of another request. */
static void on_request_answer_previous(void *arg, struct http_req *req)
{
	struct rig *rig = arg;
	if (rig->held[0])
		echo(rig->held[0]);
	rig->held[0] = req;
}

static void test_answer_inside_another(void **state)
{
	struct rig *rig = *state;
	struct http_opts opts = options(rig);
	opts.on_request = on_request_answer_previous;
	serve_again(rig, &opts);
	struct client *a = client_new(rig), *b = client_new(rig);
	client_say(a, get);
	client_say(b, get);
	until_answers(a, 1);
	client_say(a, get);
	until_answers(b, 1);
	client_free(a);
	client_free(b);
}

static void test_client_leaves(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *polite = client_new(rig), *rude = client_new(rig);
	client_say(polite, "POST /polite?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
	client_say(rude, get);
	until_held(rig, 2);
	client_free(polite);
	const struct linger reset = {1, 0};
	(void)setsockopt(rude->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	client_free(rude);
	settle(rig);
	size_t len;
	assert_string_equal(http_req_path(rig->held[0]), "/polite");
	assert_string_equal(http_req_query(rig->held[0], "a"), "1");
	assert_string_equal(http_req_body(rig->held[0], &len), "hi");
	echo(rig->held[0]);
	http_reply(rig->held[1], 200, NULL, NULL, 0, NULL, 0);
	until_connections(rig, 0);
	assert_int_equal(http_server_open_requests(rig->server), 0);
}

static void test_no_answer_in_time(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *a = client_new(rig), *b = client_new(rig);
	client_say(a, "GET /first?a=1 HTTP/1.1\r\nHost: a\r\nX-Test: t\r\n\r\n");
	until_held(rig, 1);
	pass(rig, ANSWER_MS / 2);
	client_say(b, get);
	until_held(rig, 2);
	pass(rig, ANSWER_MS / 2 - 100);
	assert_int_equal(rig->refusals, 0);
	pass(rig, 200);
	until_over(a);
	assert_int_equal(status_of(a), 503);
	assert_int_equal(a->error, 0);
	expect_in(a, "\r\nConnection: close\r\n");
	expect_in(a, "no answer in time");
	assert_int_equal(rig->refusals, 1);
	/* The handler still has its request, and whatever it does with it goes nowhere. */
	assert_string_equal(http_req_path(rig->held[0]), "/first");
	assert_string_equal(http_req_query(rig->held[0], "a"), "1");
	assert_string_equal(http_req_header(rig->held[0], "x-test"), "t");
	assert_ptr_equal(http_req_state(rig->held[0]), rig);
	assert_int_equal(http_server_open_requests(rig->server), 2);
	echo(rig->held[0]);
	until_connections(rig, 1);
	echo(rig->held[1]);
	until_answers(b, 1);
	assert_int_equal(status_of(b), 200);
	assert_int_equal(http_server_open_requests(rig->server), 0);
	client_free(a);
	client_free(b);
}

static void test_abort(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_ABORT;
	struct client *now = client_new(rig);
	client_say(now, get);
	until_over(now);
	assert_int_equal(now->error, ECONNRESET);
	rig->mode = MODE_HOLD;
	struct client *late = client_new(rig);
	client_say(late, get);
	until_held(rig, 1);
	http_abort(rig->held[0]);
	until_over(late);
	assert_int_equal(late->error, ECONNRESET);
	assert_int_equal(now->in_len + late->in_len, 0);
	until_connections(rig, 0);
	client_free(now);
	client_free(late);
}

/* ---- the end ---- */

static void test_drain(void **state)
{
	struct rig *rig = *state;
	struct client *idle = client_new(rig), *open = client_new(rig), *half = client_new(rig);
	expect_alive(idle);
	client_say(half, POST "Content-Length: 5\r\n\r\nhe");
	rig->mode = MODE_HOLD;
	client_say(open, get);
	until_held(rig, 1);
	http_server_drain(rig->server);
	http_server_drain(rig->server);
	until_over(idle);
	assert_int_equal(dial(rig, "127.0.0.1"), -1);
	echo(rig->held[0]);
	until_over(open);
	assert_int_equal(status_of(open), 200);
	expect_in(open, "\r\nConnection: close\r\n");
	rig->mode = MODE_ECHO;
	client_say(half, "llo");
	until_over(half);
	expect_in(half, "body=hello");
	assert_int_equal(http_server_connections(rig->server), 0);
	client_free(idle);
	client_free(open);
	client_free(half);
}

static void test_free_with_everything_open(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *fresh = client_new(rig), *half = client_new(rig), *open = client_new(rig),
	              *gone = client_new(rig), *expired = client_new(rig), *refused = client_new(rig);
	client_say(half, POST "Content-Length: 5\r\n\r\nhe");
	client_say(expired, get);
	until_held(rig, 1);
	pass(rig, ANSWER_MS + 1);
	client_say(open, get);
	client_say(gone, get);
	until_held(rig, 3);
	client_free(gone);
	client_say(refused, "GET /x y HTTP/1.1\r\n\r\n");
	http_server_free(rig->server);
	rig->server = NULL;
	settle(rig);
	struct client *all[] = {fresh, half, open, expired, refused};
	for (size_t i = 0; i < N_OF(all); i++) {
		until_over(all[i]);
		client_free(all[i]);
	}
	http_server_free(NULL);
}

static void test_free_between_reply_and_round(void **state)
{
	struct rig *rig = *state;
	rig->mode = MODE_HOLD;
	struct client *c = client_new(rig);
	client_say(c, get);
	until_held(rig, 1);
	echo(rig->held[0]);
	http_server_free(rig->server);
	rig->server = NULL;
	settle(rig);
	client_free(c);
}

static void test_listen(void **state)
{
	static const struct {
		const char *listen;
		enum err_kind kind;
	} cases[] = {
	    {"127.0.0.1:0", ERR_NONE},
	    {":0", ERR_NONE},
	    {"0.0.0.0:0", ERR_NONE},
	    {"", ERR_REJECT},
	    {"127.0.0.1", ERR_REJECT},
	    {"127.0.0.1:", ERR_REJECT},
	    {"127.0.0.1:x", ERR_REJECT},
	    {"127.0.0.1:-1", ERR_REJECT},
	    {"127.0.0.1:65536", ERR_REJECT},
	    {"localhost:0", ERR_REJECT},
	    {"::1:0", ERR_REJECT},
	    {"[::1:0", ERR_REJECT},
	    {"[]:0", ERR_REJECT},
	    {"[127.0.0.1]:0", ERR_REJECT},
	    {"1.2.3:0", ERR_REJECT},
	    {"[::1]0", ERR_REJECT},
	    {"0123456789012345678901234567890123456789012345678901234567890123:0", ERR_REJECT},
	    {"192.0.2.1:0", ERR_FATAL},
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct http_opts opts = options(rig);
		opts.listen = cases[i].listen;
		struct err err = {0};
		struct http_server *server = http_server_new(rig->loop, &opts, &err);
		if ((server != NULL) != (cases[i].kind == ERR_NONE) || err.kind != cases[i].kind)
			fail_msg("\"%s\": %s %s", cases[i].listen, err_kind_name(err.kind), err.text);
		if (server)
			assert_in_range(http_server_port(server), 1, 65535);
		http_server_free(server);
	}
}

/* No host in the text: both families, and a peer of the old one looks like it always did. */
static void test_dual_stack(void **state)
{
	struct rig *rig = *state;
	struct http_opts opts = options(rig);
	opts.listen = ":0";
	serve_again(rig, &opts);
	struct client *c = client_new(rig);
	client_say(c, get);
	until_answers(c, 1);
	expect_in(c, "\r\n\r\n127.0.0.1 GET /next");
	client_free(c);
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6,
	                            .sin6_port = htons((uint16_t)http_server_port(rig->server)),
	                            .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	c = test_calloc(1, sizeof(*c));
	c->rig = rig;
	c->fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		client_free(c);
		skip(); /* a machine without IPv6 */
	}
	client_say(c, get);
	until_answers(c, 1);
	expect_in(c, "\r\n\r\n::1 GET /next");
	client_free(c);
}

static void test_port_is_taken(void **state)
{
	struct rig *rig = *state;
	char listen_text[32];
	(void)snprintf(listen_text, sizeof(listen_text), "127.0.0.1:%d", http_server_port(rig->server));
	struct http_opts opts = options(rig);
	opts.listen = listen_text;
	struct err err = {0};
	assert_null(http_server_new(rig->loop, &opts, &err));
	assert_int_equal(err.kind, ERR_FATAL);
	assert_string_equal(err.code, "EADDRINUSE");
	assert_non_null(strstr(err.text, listen_text));
}

static void test_port_is_shared(void **state)
{
	struct rig *rig = *state;
	struct http_opts opts = options(rig);
	opts.reuse_port = true;
	serve_again(rig, &opts);
	char listen_text[32];
	(void)snprintf(listen_text, sizeof(listen_text), "127.0.0.1:%d", http_server_port(rig->server));
	opts.listen = listen_text;
	struct err err = {0};
	struct http_server *second = http_server_new(rig->loop, &opts, &err);
	assert_non_null(second);
	http_server_free(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_wire),
	    TEST(test_nothing_follows_chunks),
	    TEST(test_request_parts),
	    TEST(test_body_is_bytes),
	    TEST(test_answer_without_body),
	    TEST(test_head),
	    TEST(test_keep_alive_rules),
	    TEST(test_big_answer),
	    TEST(test_continue),
	    TEST(test_continue_refused),
	    TEST(test_header_bytes),
	    TEST(test_endless_head),
	    TEST(test_field_count),
	    TEST(test_argument_count),
	    TEST(test_body_bytes),
	    TEST(test_body_refused_unread),
	    TEST(test_refusal_outruns_no_reset),
	    TEST(test_lingering_is_bounded),
	    TEST(test_buffer_is_kept_within_bounds),
	    TEST(test_connections_in_all),
	    TEST(test_connections_per_ip),
	    TEST(test_slow_requests),
	    TEST(test_dribble),
	    TEST(test_slow_second_request),
	    TEST(test_idle_is_not_slow),
	    TEST(test_idle),
	    TEST(test_stalled_connection_does_not_spin),
	    TEST(test_pipelined),
	    TEST(test_pipelined_late),
	    TEST(test_late),
	    TEST(test_answers_from_tasks),
	    TEST(test_answer_inside_another),
	    TEST(test_client_leaves),
	    TEST(test_no_answer_in_time),
	    TEST(test_abort),
	    TEST(test_drain),
	    TEST(test_free_with_everything_open),
	    TEST(test_free_between_reply_and_round),
	    TEST(test_listen),
	    TEST(test_dual_stack),
	    TEST(test_port_is_taken),
	    TEST(test_port_is_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
