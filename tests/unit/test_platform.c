/* The platform's client against a small server on the same loop that misbehaves on demand: the id
 * in the path says how. */
#include "platform/platform.h"

#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/macros.h"
#include "platform_fixture.h"
#include "series.h"

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
	assert_memory_equal(child, parent, 36);               /* the same trace */
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

/* The server closes an idle connection, and nobody uses it for a while: the loop must not spin on it,
 * and the next call, whose descriptor has the same number, must hear of its answer. */
static void test_an_idle_connection_that_ends(void **state)
{
	struct fixture *f = *state;
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "ok").status, 200);
		assert_int_equal(f->server.accepted, i);
		for (int at = 0; at < CONNS_MAX; at++)
			if (f->server.conns[at])
				conn_close(f->server.conns[at], i % 2);
		run_for(f, 20); /* its end is noticed */
		int rounds = 0;
		for (int64_t end = now_ms() + 50; now_ms() < end; rounds++)
			assert_int_equal(loop_once(f->loop, 10000, NULL), 0);
		assert_in_range(rounds, 1, 20);
	}
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
	assert_int_equal(call(f, PLATFORM_SANDBOX_DELETE, "ok").fault, PLATFORM_CONNECT);
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
	client_reopen(f, TIMEOUT_MS, MANY);
	for (size_t i = 0; i < N_OF(ids); i++)
		(void)call(f, PLATFORM_VOLUME_GET, ids[i]);
	send_many(f, 2, "hang", shots, calls);
	platform_cancel(calls[0]);
	expect_lines(f->metrics, want, N_OF(want));
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
	    TEST(test_an_idle_connection_that_ends),
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
	    TEST(test_metrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
