/* Listings over the wire, and how long a body may be read: the client against a server that says
 * what each case wants. */
#include "platform/platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/macros.h"
#include "platform/inventory.h"
#include "platform_fixture.h"
#include "series.h"

/* What `done` saw, while it was allowed to. */
struct seen {
	struct fixture *f;
	int done;
	struct platform_answer answer; /* its body is no longer there */
	char body[REPLY_MAX];          /* "" without one */
	int parsed;                    /* of inventory_sandboxes; -2: there was nothing to parse */
	struct shot next;              /* of what `done` sent */
	struct platform_call *others[MANY];
};

static void keep(struct seen *seen, const struct platform_answer *answer)
{
	seen->done++;
	seen->answer = *answer;
	assert_true(answer->body_len < sizeof(seen->body));
	if (answer->body)
		memcpy(seen->body, answer->body, answer->body_len);
	seen->body[answer->body_len] = '\0';
}

static void on_seen(void *arg, const struct platform_answer *answer)
{
	struct seen *seen = arg;
	AUTO(inventory_page_done) struct inventory_page page = {0};
	keep(seen, answer);
	seen->parsed = -2;
	if (answer->body)
		seen->parsed = inventory_sandboxes(answer->body, answer->body_len, &page, NULL);
}

/* Zeroed for another case, but for the fixture. */
static struct platform_request listing(struct seen *seen, enum platform_op op,
                                       void (*done)(void *, const struct platform_answer *))
{
	struct platform_request request = request_of(op, NULL, NULL);
	memset((char *)seen + sizeof(seen->f), 0, sizeof(*seen) - sizeof(seen->f));
	request.limit = INVENTORY_PAGE_MAX;
	request.done = done;
	request.arg = seen;
	return request;
}

static int setup_seen(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	void *f;
	assert_non_null(seen);
	assert_int_equal(setup(&f), 0);
	seen->f = f;
	*state = seen;
	return 0;
}

static int teardown_seen(void **state)
{
	struct seen *seen = *state;
	void *f = seen->f;
	free(seen);
	return teardown(&f);
}

static void allow_bodies(struct fixture *f, int64_t max)
{
	f->config.body_max_bytes = max;
	client_reopen(f, LONG_MS, MANY);
}

/* ---- requests ---- */

static const struct {
	enum platform_op op;
	int64_t limit, offset;
	const char *id, *want; /* the id is not looked at */
} paths[] = {
    {PLATFORM_SANDBOX_LIST, 200, 0, NULL, "GET /api/v1/sandboxes?limit=200&offset=0 HTTP/1.1\r\n"},
    {PLATFORM_SANDBOX_LIST, 1, 1, NULL, "GET /api/v1/sandboxes?limit=1&offset=1 HTTP/1.1\r\n"},
    {PLATFORM_SANDBOX_LIST, 50, INT64_MAX, NULL,
     "GET /api/v1/sandboxes?limit=50&offset=9223372036854775807 HTTP/1.1\r\n"},
    {PLATFORM_SANDBOX_LIST, 1, 0, "sb/1", "GET /api/v1/sandboxes?limit=1&offset=0 HTTP/1.1\r\n"},
    {PLATFORM_VOLUME_LIST, 0, 0, NULL, "GET /api/v1/sandboxvolumes HTTP/1.1\r\n"},
    {PLATFORM_VOLUME_LIST, 7, -7, NULL, "GET /api/v1/sandboxvolumes HTTP/1.1\r\n"},
};

static void test_paths(void **state)
{
	struct seen *seen = *state;
	for (size_t i = 0; i < N_OF(paths); i++) {
		struct platform_request request = listing(seen, paths[i].op, on_seen);
		request.id = paths[i].id;
		request.limit = paths[i].limit;
		request.offset = paths[i].offset;
		(void)must_send(seen->f, &request);
		run_until(seen->f, &seen->done, 1);
		if (strncmp(seen->f->server.head, paths[i].want, strlen(paths[i].want)) != 0)
			fail_msg("want \"%s\", got \"%.80s\"", paths[i].want, seen->f->server.head);
		assert_string_equal(header(seen->f, "X-Team-ID"), team);
		assert_string_equal(header(seen->f, "Authorization"), "Bearer s0_test_token");
	}
}

static const struct {
	int64_t limit, offset;
} bad_pages[] = {{0, 0},         {-1, 0}, {201, 0},      {INT64_MAX, 0},
                 {INT64_MIN, 0}, {1, -1}, {1, INT64_MIN}};

static void test_pages_that_are_none(void **state)
{
	struct seen *seen = *state;
	for (size_t i = 0; i < N_OF(bad_pages); i++) {
		struct platform_request request = listing(seen, PLATFORM_SANDBOX_LIST, on_seen);
		struct err err = {0};
		request.limit = bad_pages[i].limit;
		request.offset = bad_pages[i].offset;
		assert_null(platform_send(seen->f->platform, &request, &err));
		assert_int_equal(err.kind, ERR_REJECT);
		assert_string_equal(err.code, "bad_page");
	}
	assert_int_equal(platform_in_flight(seen->f->platform), 0);
	assert_int_equal(seen->f->server.requests, 0);
}

/* ---- answers ---- */

#define PAGE "{\"success\":true,\"data\":{\"sandboxes\":[],\"count\":0,\"has_more\":false}}"
#define REPLY(status, length, body) "HTTP/1.1 " status "\r\nContent-Length: " length "\r\n\r\n" body

static const struct {
	const char *name, *reply;
	enum platform_fault fault;
	int status;
	const char *body; /* NULL: none may be seen */
	int parsed;
} answers[] = {
    {"a page", REPLY("200 OK", "67", PAGE), PLATFORM_ANSWERED, 200, PAGE, 0},
    {"white space in front", REPLY("200 OK", "69", "\r\n" PAGE), PLATFORM_ANSWERED, 200,
     "\r\n" PAGE, 0},
    {"another success", REPLY("206 Part", "67", PAGE), PLATFORM_ANSWERED, 206, PAGE, 0},
    {"data null", REPLY("200 OK", "28", "{\"success\":true,\"data\":null}"), PLATFORM_ANSWERED, 200,
     "{\"success\":true,\"data\":null}", -1},
    {"an object cut off", REPLY("200 OK", "15", "{\"success\":true"), PLATFORM_ANSWERED, 200,
     "{\"success\":true", -1},
    {"a success that says false", REPLY("200 OK", "17", "{\"success\":false}"), PLATFORM_ANSWERED,
     200, "{\"success\":false}", -1},
    {"a page of a proxy", REPLY("200 OK", "18", "<html>Hello</html>"), PLATFORM_MALFORMED, 200,
     NULL, -2},
    {"an array", REPLY("200 OK", "2", "[]"), PLATFORM_MALFORMED, 200, NULL, -2},
    {"nothing", REPLY("200 OK", "0", ""), PLATFORM_MALFORMED, 200, NULL, -2},
    {"white space alone", REPLY("200 OK", "2", " \n"), PLATFORM_MALFORMED, 200, NULL, -2},
    {"no content", "HTTP/1.1 204 No\r\n\r\n", PLATFORM_MALFORMED, 204, NULL, -2},
    {"moved", REPLY("302 Go", "67", PAGE), PLATFORM_MALFORMED, 302, NULL, -2},
    {"absent", REPLY("404 None", "66", GONE_BODY), PLATFORM_ANSWERED, 404, NULL, -2},
    {"absent, a page", REPLY("404 None", "67", PAGE), PLATFORM_MALFORMED, 404, NULL, -2},
    {"forbidden", REPLY("403 No", "13", "{\"error\":\"x\"}"), PLATFORM_ANSWERED, 403, NULL, -2},
    {"busy", REPLY("503 Busy", "67", PAGE), PLATFORM_MALFORMED, 503, NULL, -2},
    {"says that it is too large", REPLY("200 OK", "4097", PAGE), PLATFORM_TOO_LARGE, 0, NULL, -2},
};

static void test_answers(void **state)
{
	struct seen *seen = *state;
	for (size_t i = 0; i < N_OF(answers); i++) {
		const struct platform_request request = listing(seen, PLATFORM_SANDBOX_LIST, on_seen);
		seen->f->server.reply = answers[i].reply;
		(void)must_send(seen->f, &request);
		run_until(seen->f, &seen->done, 1);
		if (seen->answer.fault != answers[i].fault || seen->answer.status != answers[i].status ||
		    !seen->answer.body != !answers[i].body || seen->parsed != answers[i].parsed ||
		    strcmp(seen->body, answers[i].body ? answers[i].body : "") != 0)
			fail_msg("%s: %s, status %d, text \"%s\", body \"%s\", parsed %d", answers[i].name,
			         platform_fault_name(seen->answer.fault), seen->answer.status,
			         seen->answer.text, seen->body, seen->parsed);
	}
}

static const struct {
	enum platform_op op;
	const char *id, *body;
} ops[] = {
    {PLATFORM_SANDBOX_GET, "ok", OK_BODY},      {PLATFORM_SANDBOX_DELETE, "chunked", NULL},
    {PLATFORM_SANDBOX_GET, "chunked", OK_BODY}, {PLATFORM_SANDBOX_GET, "chunked", OK_BODY},
    {PLATFORM_VOLUME_GET, "ok", OK_BODY},       {PLATFORM_VOLUME_GET, "gone", NULL},
    {PLATFORM_SANDBOX_GET, "page", NULL},       {PLATFORM_SANDBOX_GET, "reset-in-body", NULL},
    {PLATFORM_SANDBOX_GET, "is-large", NULL},   {PLATFORM_SANDBOX_GET, "late", NULL},
};

static void test_bodies_of_other_calls(void **state)
{
	struct seen *seen = *state;
	for (size_t i = 0; i < N_OF(ops); i++) {
		struct platform_request request = listing(seen, ops[i].op, on_seen);
		request.id = ops[i].id;
		(void)must_send(seen->f, &request);
		run_until(seen->f, &seen->done, 1);
		assert_true(!seen->answer.body == !ops[i].body);
		assert_string_equal(seen->body, ops[i].body ? ops[i].body : "");
	}
}

/* A whole reply with a body of `len` bytes that says where each of them belongs; the caller frees. */
static char *long_reply(size_t len)
{
	struct buf reply;
	buf_init(&reply, REPLY_MAX);
	(void)buf_printf(&reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n{", len);
	for (size_t i = 1; i < len; i++)
		(void)buf_char(&reply, (char)('a' + i % 25));
	char *text = buf_take(&reply);
	assert_non_null(text);
	return text;
}

static void assert_long_body(const char *body, size_t len)
{
	assert_int_equal(body[0], '{');
	for (size_t i = 1; i < len; i++)
		if (body[i] != (char)('a' + i % 25))
			fail_msg("byte %zu of %zu is another's", i, len);
}

static void test_the_bound(void **state)
{
	struct seen *seen = *state;
	enum { MAX = 100000 };
	allow_bodies(seen->f, MAX);
	for (size_t len = MAX - 1; len <= MAX + 1; len++) {
		const struct platform_request request = listing(seen, PLATFORM_VOLUME_LIST, on_seen);
		char *reply = long_reply(len);
		seen->f->server.reply = reply;
		(void)must_send(seen->f, &request);
		run_until(seen->f, &seen->done, 1);
		assert_int_equal(seen->answer.fault, len > MAX ? PLATFORM_TOO_LARGE : PLATFORM_ANSWERED);
		assert_int_equal(seen->answer.body_len, len > MAX ? 0 : len);
		assert_int_equal(strlen(seen->body), len > MAX ? 0 : len);
		free(reply);
		seen->f->server.reply = NULL;
	}
}

/* ---- how long a body lives ---- */

static const size_t body_lengths[] = {1, 26, 4000, 65535, 65536, 100000, 150000};

/* The handle of the call that has ended serves the one that is sent here. */
static void on_done_send(void *arg, const struct platform_answer *answer)
{
	struct seen *seen = arg;
	for (int i = 0; i < 3; i++) {
		struct platform_request request = request_of(PLATFORM_SANDBOX_GET, "ok", &seen->next);
		(void)must_send(seen->f, &request);
	}
	assert_non_null(answer->body);
	assert_long_body(answer->body, answer->body_len);
	keep(seen, answer);
}

static void test_done_sends_and_reads_on(void **state)
{
	struct seen *seen = *state;
	allow_bodies(seen->f, REPLY_MAX);
	for (size_t i = 0; i < N_OF(body_lengths); i++) {
		const struct platform_request request = listing(seen, PLATFORM_VOLUME_LIST, on_done_send);
		char *reply = long_reply(body_lengths[i]);
		seen->f->server.reply = reply;
		(void)must_send(seen->f, &request);
		run_until(seen->f, &seen->done, 1);
		assert_int_equal(seen->answer.body_len, body_lengths[i]);
		seen->f->server.reply = NULL;
		free(reply);
		run_until(seen->f, &seen->next.done, 3);
	}
}

/* With room for one idle handle, all that are cancelled here are freed. */
static void on_done_cancel(void *arg, const struct platform_answer *answer)
{
	struct seen *seen = arg;
	for (int i = 0; i < MANY; i++)
		platform_cancel(seen->others[i]);
	assert_int_equal(platform_in_flight(seen->f->platform), 0);
	assert_long_body(answer->body, answer->body_len);
	keep(seen, answer);
}

static void test_done_cancels_and_reads_on(void **state)
{
	struct seen *seen = *state;
	struct shot shots[MANY] = {0};
	allow_bodies(seen->f, REPLY_MAX);
	client_reopen(seen->f, LONG_MS, 1);
	for (size_t i = 0; i < N_OF(body_lengths); i++) {
		const struct platform_request request = listing(seen, PLATFORM_VOLUME_LIST, on_done_cancel);
		char *reply = long_reply(body_lengths[i]);
		seen->f->server.reply = reply;
		(void)must_send(seen->f, &request);
		send_many(seen->f, MANY, "hang", shots, seen->others); /* they wait for the connection */
		run_until(seen->f, &seen->done, 1);
		assert_int_equal(seen->answer.body_len, body_lengths[i]);
		seen->f->server.reply = NULL;
		free(reply);
	}
	for (int i = 0; i < MANY; i++)
		assert_int_equal(shots[i].done, 0);
}

static void test_a_cancelled_listing(void **state)
{
	struct seen *seen = *state;
	char *reply = long_reply(REPLY_MAX / 2);
	allow_bodies(seen->f, REPLY_MAX);
	reply[REPLY_MAX / 4] = '\0'; /* the rest never comes */
	seen->f->server.reply = reply;
	const struct platform_request request = listing(seen, PLATFORM_VOLUME_LIST, on_seen);
	struct platform_call *pending = must_send(seen->f, &request);
	run_until(seen->f, &seen->f->server.requests, 1);
	for (int i = 0; i < 10; i++) /* what has come is taken in */
		assert_int_equal(loop_once(seen->f->loop, 0, NULL), 0);
	platform_cancel(pending);
	assert_int_equal(platform_in_flight(seen->f->platform), 0);
	seen->f->server.reply = NULL;
	assert_int_equal(call(seen->f, PLATFORM_SANDBOX_GET, "ok").status, 200);
	assert_int_equal(seen->done, 0);
	free(reply);
}

/* ---- metrics ---- */

static void test_metrics(void **state)
{
	struct seen *seen = *state;
	static const char *const want[] = {
	    "sandsweep_platform_calls_total{op=\"sandbox_list\",outcome=\"2xx\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"sandbox_list\",outcome=\"malformed\"} 0\n",
	    "sandsweep_platform_calls_total{op=\"volume_list\",outcome=\"2xx\"} 0\n",
	    "sandsweep_platform_calls_total{op=\"volume_list\",outcome=\"malformed\"} 1\n",
	    "sandsweep_platform_call_seconds_count{op=\"sandbox_list\"} 1\n",
	    "sandsweep_platform_call_seconds_count{op=\"volume_list\"} 1\n",
	};
	static const char *const replies[] = {REPLY("200 OK", "67", PAGE), REPLY("200 OK", "1", "<")};
	for (int i = 0; i < 2; i++) {
		const struct platform_request request =
		    listing(seen, i ? PLATFORM_VOLUME_LIST : PLATFORM_SANDBOX_LIST, on_seen);
		seen->f->server.reply = replies[i];
		(void)must_send(seen->f, &request);
		run_until(seen->f, &seen->done, 1);
	}
	expect_lines(seen->f->metrics, want, N_OF(want));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_seen, teardown_seen)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_paths),
	    TEST(test_pages_that_are_none),
	    TEST(test_answers),
	    TEST(test_bodies_of_other_calls),
	    TEST(test_the_bound),
	    TEST(test_done_sends_and_reads_on),
	    TEST(test_done_cancels_and_reads_on),
	    TEST(test_a_cancelled_listing),
	    TEST(test_metrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
