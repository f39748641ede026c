/* Answers that come later than their requests: in another round, from a task, too late, never. */
#include "http_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_pipelined),
	    TEST(test_pipelined_late),
	    TEST(test_late),
	    TEST(test_answers_from_tasks),
	    TEST(test_answer_inside_another),
	    TEST(test_client_leaves),
	    TEST(test_no_answer_in_time),
	    TEST(test_abort),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
