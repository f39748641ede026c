/* Limits, at the bound and one past it, and clients that are slow. */
#include <fcntl.h>

#include "http_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
