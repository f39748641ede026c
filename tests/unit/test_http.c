/* What a request brings and an answer takes; how it begins, and how it ends. */
#include "http_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_request_parts),
	    TEST(test_body_is_bytes),
	    TEST(test_answer_without_body),
	    TEST(test_head),
	    TEST(test_keep_alive_rules),
	    TEST(test_big_answer),
	    TEST(test_continue),
	    TEST(test_continue_refused),
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
