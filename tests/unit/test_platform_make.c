/* The calls that make something: what goes out with them, that nothing of it clings to the handle, and
 * that whatever happens to a connection they go out once. First against the small server, then
 * against the simulated platform, which says what came of it. */
#include "platform/platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/macros.h"
#include "platform/inventory.h"
#include "platform_fixture.h"
#include "series.h"
#include "tests/sim/control_api.h"
#include "tests/sim/exchange.h"
#include "tests/sim/volumes.h"

/* ---- one call ---- */

struct made {
	int done;
	struct platform_answer answer; /* its body is no longer there */
	int parsed;                    /* of inventory_made; -2: there was nothing to parse */
	char id[64], user_id[64];      /* "" without one */
};

static void on_made(void *arg, const struct platform_answer *answer)
{
	struct made *made = arg;
	AUTO(inventory_made_done) struct inventory_made in = {0};
	made->done++;
	made->answer = *answer;
	made->parsed = -2;
	if (answer->body)
		made->parsed = inventory_made(answer->body, answer->body_len, &in, NULL);
	(void)snprintf(made->id, sizeof(made->id), "%s", in.id ? in.id : "");
	(void)snprintf(made->user_id, sizeof(made->user_id), "%s", in.user_id ? in.user_id : "");
}

static const enum platform_op posts[] = {PLATFORM_SNAPSHOT_CREATE, PLATFORM_VOLUME_CREATE};

static struct platform_request post_of(enum platform_op op, const char *body, struct made *made)
{
	struct platform_request request = request_of(op, NULL, NULL);
	request.parent_id = op == PLATFORM_SNAPSHOT_CREATE ? "vol-1" : NULL;
	request.body = body;
	request.done = on_made;
	request.arg = made;
	return request;
}

static struct made post(struct fixture *f, enum platform_op op, const char *body)
{
	struct made made = {0};
	const struct platform_request request = post_of(op, body, &made);
	assert_int_equal(loop_once(f->loop, 0, NULL), 0); /* deadlines count from a round's start */
	(void)must_send(f, &request);
	run_until(f, &made.done, 1);
	return made;
}

/* ---- requests ---- */

static void assert_no_header(const struct fixture *f, const char *name)
{
	if (strcasestr(f->server.head, name))
		fail_msg("%s in %s", name, f->server.head);
}

static void test_request(void **state)
{
	struct fixture *f = *state;
	static const char *const lines[] = {"POST /api/v1/sandboxvolumes/a%2Fb/snapshots HTTP/1.1\r\n",
	                                    "POST /api/v1/sandboxvolumes HTTP/1.1\r\n"};
	for (size_t i = 0; i < N_OF(posts); i++) {
		struct made made = {0};
		char body[] = "{\"name\":\"\xc3\xa9 \\u0000&=%\"}";
		struct platform_request request = post_of(posts[i], body, &made);
		request.parent_id = "a/b"; /* not looked at without a parent */
		(void)must_send(f, &request);
		memset(body, 'x', sizeof(body) - 1); /* the call has its own */
		run_until(f, &made.done, 1);
		assert_int_equal(strncmp(f->server.head, lines[i], strlen(lines[i])), 0);
		assert_string_equal(f->server.body, "{\"name\":\"\xc3\xa9 \\u0000&=%\"}");
		assert_string_equal(header(f, "Content-Type"), "application/json");
		assert_string_equal(header(f, "Content-Length"), "23");
		assert_string_equal(header(f, "X-Team-ID"), team);
		assert_string_equal(header(f, "Authorization"), "Bearer s0_test_token");
		assert_string_equal(header(f, "User-Agent"), "sandsweep");
		assert_string_equal(header(f, "Accept"), "application/json");
		const char *trace = header(f, "traceparent");
		assert_true(trace_valid(trace, strlen(trace)));
		assert_no_header(f, "Expect");
		assert_no_header(f, "Transfer-Encoding");
	}
}

/* `len` bytes; the caller frees. */
static char *long_body(size_t len)
{
	char *body = malloc(len + 1);
	assert_non_null(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (char)('a' + i % 25);
	body[len] = '\0';
	return body;
}

static void test_long_bodies(void **state)
{
	struct fixture *f = *state;
	static const size_t lengths[] = {
	    1, 1460, 16384, PLATFORM_REQUEST_MAX_BYTES - 1, PLATFORM_REQUEST_MAX_BYTES, 2};
	for (size_t i = 0; i < N_OF(lengths); i++) {
		char *body = long_body(lengths[i]);
		assert_int_equal(post(f, PLATFORM_SNAPSHOT_CREATE, body).answer.status, 200);
		assert_string_equal(f->server.body, body);
		assert_no_header(f, "Expect");
		free(body);
	}
	assert_int_equal(f->server.accepted, 1);
}

static void assert_refused(struct fixture *f, const struct platform_request *request,
                           const char *code)
{
	struct err err = {0};
	assert_null(platform_send(f->platform, request, &err));
	assert_int_equal(err.kind, ERR_REJECT);
	assert_string_equal(err.code, code);
}

static void test_what_is_never_sent(void **state)
{
	struct fixture *f = *state;
	char *too_long = long_body(PLATFORM_REQUEST_MAX_BYTES + 1);
	const char *const bodies[] = {NULL, "", too_long};
	static const char *const parents[] = {NULL, "", ".", ".."};
	struct platform_request request;
	for (size_t i = 0; i < N_OF(bodies); i++)
		for (size_t k = 0; k < N_OF(posts); k++) {
			request = post_of(posts[k], bodies[i], NULL);
			assert_refused(f, &request, "bad_body");
		}
	for (size_t i = 0; i < N_OF(parents); i++) {
		request = post_of(PLATFORM_SNAPSHOT_CREATE, "{}", NULL);
		request.parent_id = parents[i];
		assert_refused(f, &request, "bad_id");
	}
	for (int op = 0; op < PLATFORM_SNAPSHOT_CREATE; op++) {
		request = request_of(op, "ok", NULL);
		request.parent_id = "v";
		request.limit = 1;
		request.body = "{}";
		assert_refused(f, &request, "bad_body");
	}
	assert_int_equal(platform_in_flight(f->platform), 0);
	assert_int_equal(f->server.requests, 0);
	free(too_long);
}

/* ---- a handle that posted ---- */

/* Whatever became of a POST, what its handle sends next is whole and has no more than it should. */
static void test_nothing_of_it_clings(void **state)
{
	struct fixture *f = *state;
	static const char *const fates[] = {"ok",       "gone",         "page", "says-large",
	                                    "is-large", "hang-in-body", "hang", "reset"};
	static const enum platform_op others[] = {PLATFORM_SANDBOX_GET, PLATFORM_VOLUME_DELETE,
	                                          PLATFORM_VOLUME_LIST};
	client_reopen(f, TIMEOUT_MS, 1); /* one handle for all */
	for (size_t i = 0; i < N_OF(fates); i++)
		for (size_t k = 0; k < N_OF(others); k++) {
			f->server.script = fates[i];
			int before = f->server.requests;
			(void)post(f, posts[k % 2], "{\"name\":\"n\"}");
			assert_string_equal(f->server.body, "{\"name\":\"n\"}");
			f->server.script = "ok";
			assert_int_equal(call(f, others[k], "x").fault, PLATFORM_ANSWERED);
			assert_int_equal(f->server.requests, before + 2);
			assert_true(f->server.head[0] == (k == 1 ? 'D' : 'G'));
			assert_string_equal(f->server.body, "");
			assert_no_header(f, "Content-");
			assert_no_header(f, "Transfer-Encoding");
			assert_no_header(f, "Expect");
		}
}

/* ---- answers ---- */

#define REPLY(status, length, body) "HTTP/1.1 " status "\r\nContent-Length: " length "\r\n\r\n" body
#define BUSY \
	"{\"success\":false,\"error\":{\"code\":\"conflict\",\"message\":\"volume is locked\"}}"

static const struct {
	const char *name, *reply;
	enum platform_fault fault;
	int status;
	const char *code;
	int parsed;
	const char *id;
} answers[] = {
    {"made", REPLY("201 Made", "37", "{\"success\":true,\"data\":{\"id\":\"m-1\"}} "),
     PLATFORM_ANSWERED, 201, "", 0, "m-1"},
    {"another", REPLY("201 Made", "37", "{\"success\":true,\"data\":{\"id\":\"m-2\"}} "),
     PLATFORM_ANSWERED, 201, "", 0, "m-2"},
    {"the same again", REPLY("201 Made", "37", "{\"success\":true,\"data\":{\"id\":\"m-2\"}} "),
     PLATFORM_ANSWERED, 201, "", 0, "m-2"},
    {"another success", REPLY("200 OK", "37", "{\"success\":true,\"data\":{\"id\":\"m-2\"}} "),
     PLATFORM_ANSWERED, 200, "", 0, "m-2"},
    {"made, but not what", REPLY("201 Made", "26", OK_BODY), PLATFORM_ANSWERED, 201, "", -1, ""},
    {"made, says a proxy", REPLY("201 Made", "6", "<html>"), PLATFORM_MALFORMED, 201, "", -2, ""},
    {"made, says nobody", REPLY("201 Made", "0", ""), PLATFORM_MALFORMED, 201, "", -2, ""},
    {"made, half", REPLY("201 Made", "20", "{\"success\":true,\"dat"), PLATFORM_MALFORMED, 201, "",
     -2, ""},
    {"busy", REPLY("409 Busy", "74", BUSY), PLATFORM_ANSWERED, 409, "conflict", -2, ""},
    {"absent", REPLY("404 None", "66", GONE_BODY), PLATFORM_ANSWERED, 404, "not_found", -2, ""},
    {"moved", "HTTP/1.1 307 Go\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", PLATFORM_MALFORMED,
     307, "", -2, ""},
    {"too large", REPLY("201 Made", "4097", OK_BODY), PLATFORM_TOO_LARGE, 0, "", -2, ""},
};

static void test_answers(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < N_OF(answers); i++)
		for (size_t k = 0; k < N_OF(posts); k++) {
			f->server.reply = answers[i].reply;
			const struct made made = post(f, posts[k], "{}");
			if (made.answer.fault != answers[i].fault || made.answer.status != answers[i].status ||
			    strcmp(made.answer.code, answers[i].code) != 0 ||
			    made.parsed != answers[i].parsed || strcmp(made.id, answers[i].id) != 0)
				fail_msg("%s: %s, status %d, code \"%s\", text \"%s\", parsed %d, id \"%s\"",
				         answers[i].name, platform_fault_name(made.answer.fault),
				         made.answer.status, made.answer.code, made.answer.text, made.parsed,
				         made.id);
		}
	assert_int_equal(f->server.requests, 2 * N_OF(answers)); /* no redirect was followed */
}

/* ---- once ---- */

static const char *const ends[] = {"reset", "close"}; /* without a byte of an answer */

static void test_a_connection_that_breaks(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < N_OF(ends); i++)
		for (size_t k = 0; k < N_OF(posts); k++)
			for (int reused = 0; reused < 2; reused++) {
				client_reopen(f, LONG_MS, MANY);
				f->server.script = "ok";
				if (reused)
					assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "x").status, 200);
				f->server.script = ends[i];
				f->server.requests = 0;
				const struct made made = post(f, posts[k], "{}");
				assert_int_equal(made.answer.fault, PLATFORM_RESET);
				assert_true(*made.answer.text && !strstr(made.answer.text, "callback"));
				f->server.script = "ok";
				assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "x").status, 200);
				assert_int_equal(f->server.requests, 2); /* the POST once, and the GET */
			}
}

/* What the test above would not see if libcurl did not send again: it does, where we let it. */
static void test_what_can_be_repeated_is(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "ok").status, 200);
	assert_int_equal(call(f, PLATFORM_SANDBOX_DELETE, "reset").fault, PLATFORM_RESET);
	assert_int_equal(f->server.requests, 3);
}

/* A platform that goes away with the POST in its hands: that there is no connection for a second one
 * does not mean that nothing was sent. */
static void test_a_platform_that_goes_away(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "ok").status, 200);
	loop_io_del(f->loop, &f->server.io);
	assert_int_equal(shutdown(f->server.io.fd, SHUT_RDWR), 0); /* nobody listens any more */
	f->server.script = "reset";
	assert_int_equal(post(f, PLATFORM_VOLUME_CREATE, "{}").answer.fault, PLATFORM_RESET);
	assert_int_equal(post(f, PLATFORM_VOLUME_CREATE, "{}").answer.fault, PLATFORM_CONNECT);
	assert_int_equal(f->server.requests, 2);
}

static void test_cancelled(void **state)
{
	struct fixture *f = *state;
	struct made made = {0};
	const struct platform_request request = post_of(PLATFORM_VOLUME_CREATE, "{}", &made);
	f->server.script = "hang";
	struct platform_call *pending = must_send(f, &request);
	run_until(f, &f->server.requests, 1);
	platform_cancel(pending);
	run_until(f, &f->server.open, 0);
	f->server.script = "ok";
	assert_int_equal(call(f, PLATFORM_SANDBOX_GET, "x").status, 200);
	assert_int_equal(f->server.requests, 2);
	assert_int_equal(made.done, 0);
}

/* ---- the simulated platform ---- */

struct simulated {
	struct fixture *f;
	struct sim sim;
};

static size_t body_max(void *arg, const char *method, const char *path)
{
	(void)arg, (void)method, (void)path;
	return IN_MAX;
}

static void seed_volume(struct sim *sim)
{
	struct err err = {0};
	json_t *seed AUTO(json_drop) =
	    json_pack("{s:[{s:s, s:s}]}", "volumes", "id", "vol-1", "team_id", team);
	sim_tick(sim);
	if (!seed || control_seed(sim, NULL, seed, &err) < 0)
		fail_msg("%s", err.text);
	buf_clear(&sim->body);
}

static int setup_sim(void **state)
{
	struct simulated *s = calloc(1, sizeof(*s));
	void *f;
	struct err err = {0};
	assert_non_null(s);
	assert_int_equal(setup(&f), 0);
	s->f = f;
	sim_init(&s->sim, s->f->loop, "s0_test_token");
	const struct http_opts opts = {
	    .listen = "127.0.0.1:0",
	    .limits = {.header_max_bytes = 4096,
	               .conns_max = MANY,
	               .idle_ms = 600000,
	               .request_ms = 600000},
	    .body_max = body_max,
	    .on_request = exchange_on_request,
	    .on_refused = exchange_on_refused,
	    .arg = &s->sim,
	};
	s->sim.public_server = http_server_new(s->f->loop, &opts, &err);
	if (!s->sim.public_server)
		fail_msg("%s", err.text);
	(void)snprintf(s->f->url, sizeof(s->f->url), "http://127.0.0.1:%d",
	               http_server_port(s->sim.public_server));
	client_reopen(s->f, LONG_MS, MANY);
	seed_volume(&s->sim);
	*state = s;
	return 0;
}

static int teardown_sim(void **state)
{
	struct simulated *s = *state;
	void *f = s->f;
	platform_free(TAKE(s->f->platform));
	sim_done(&s->sim);
	free(s);
	return teardown(&f);
}

static const struct {
	const char *rule; /* a fault's; NULL: none */
	enum platform_fault fault;
	int status;
	bool made;
} fates[] = {
    {NULL, PLATFORM_ANSWERED, 201, true},
    {"\"effect\":\"status\",\"status\":409", PLATFORM_ANSWERED, 409, false},
    {"\"effect\":\"status\",\"status\":503", PLATFORM_ANSWERED, 503, false},
    {"\"effect\":\"lost\"", PLATFORM_RESET, 0, true},
    {"\"effect\":\"reset\"", PLATFORM_RESET, 0, false},
    {"\"effect\":\"hang\"", PLATFORM_TIMEOUT, 0, false},
    {"\"effect\":\"huge\",\"bytes\":8192", PLATFORM_TOO_LARGE, 0, true},
    {"\"effect\":\"malformed\"", PLATFORM_MALFORMED, 201, true},
    {"\"effect\":\"truncated\"", PLATFORM_MALFORMED, 201, true},
    {"\"effect\":\"html404\"", PLATFORM_MALFORMED, 404, false},
};

static void break_with(struct sim *sim, enum platform_op op, const char *rule)
{
	char text[256];
	struct err err = {0};
	int64_t id;
	faults_done(&sim->faults);
	if (!rule)
		return;
	(void)snprintf(text, sizeof(text), "{\"op\":\"%s\",%s}", platform_op_name(op), rule);
	json_t *json AUTO(json_drop) = json_parse(text, strlen(text), &err);
	if (!json || faults_add(&sim->faults, json, &id, &err) < 0)
		fail_msg("%s", err.text);
}

/* What the journal has of an operation; the caller drops it. */
static json_t *entries_of(const struct sim *sim, enum platform_op op)
{
	struct err err = {0};
	AUTO(buf_done) struct buf out;
	const struct journal_query query = {
	    .limit = 100, .id = "", .team = "", .op = op_parse(platform_op_name(op))};
	buf_init(&out, 1 << 20);
	journal_write(&sim->journal, &query, &out);
	json_t *json AUTO(json_drop) = json_parse(out.data, out.len, &err);
	assert_non_null(json);
	return json_incref(json_object_get(json, "entries"));
}

/* One request came, whatever was answered; what it made is there, and nothing else. */
static void assert_came_once(const struct sim *sim, enum platform_op op, bool made, const char *id)
{
	const struct world *world = &sim->world;
	bool snapshot = op == PLATFORM_SNAPSHOT_CREATE;
	json_t *entries AUTO(json_drop) = entries_of(sim, op);
	assert_int_equal(json_array_size(entries), 1);
	const char *journal_id = json_string_value(json_object_get(json_array_get(entries, 0), "made"));
	assert_int_equal(journal_id != NULL, made);
	assert_int_equal(world->snapshot_count, made && snapshot);
	assert_int_equal(world->volume_count, 1 + (made && !snapshot));
	if (*id)
		assert_string_equal(id, journal_id);
	if (made)
		assert_true(snapshot ? snapshot_is_there(world, snapshot_find(world, journal_id))
		                     : volume_is_there(world, volume_find(world, journal_id)));
}

static void test_fates(void **state)
{
	struct simulated *s = *state;
	for (size_t i = 0; i < N_OF(fates); i++)
		for (size_t k = 0; k < N_OF(posts); k++) {
			bool hangs = fates[i].fault == PLATFORM_TIMEOUT;
			sim_reset(&s->sim);
			seed_volume(&s->sim);
			client_reopen(s->f, hangs ? TIMEOUT_MS : LONG_MS, MANY);
			assert_int_equal(call(s->f, PLATFORM_VOLUME_GET, "vol-1").status, 200);
			break_with(&s->sim, posts[k], fates[i].rule);
			const struct made made = post(s->f, posts[k], "{\"name\":\"n\"}");
			if (made.answer.fault != fates[i].fault || made.answer.status != fates[i].status)
				fail_msg("%s: %s, status %d, text \"%s\"", fates[i].rule,
				         platform_fault_name(made.answer.fault), made.answer.status,
				         made.answer.text);
			assert_int_equal(*made.id != '\0',
			                 made.answer.fault == PLATFORM_ANSWERED && made.answer.status == 201);
			assert_int_equal(call(s->f, PLATFORM_VOLUME_GET, "vol-1").status, 200);
			assert_came_once(&s->sim, posts[k], fates[i].made, made.id);
		}
}

struct listed {
	int done;
	char users[64 * 4];
};

static void on_listed(void *arg, const struct platform_answer *answer)
{
	struct listed *listed = arg;
	AUTO(inventory_page_done) struct inventory_page page = {0};
	assert_int_equal(inventory_volumes(answer->body, answer->body_len, &page, NULL), 0);
	for (size_t i = 0; i < page.count; i++) {
		struct inventory_item item;
		inventory_item(&page, i, &item);
		(void)snprintf(listed->users + strlen(listed->users), 64, "%s ", item.user_id);
	}
	listed->done++;
}

/* What a publish does, and whose things are then. */
static void test_a_copy_of_a_volume(void **state)
{
	struct simulated *s = *state;
	struct listed listed = {0};
	char body[128];
	const struct made snapshot =
	    post(s->f, PLATFORM_SNAPSHOT_CREATE, "{\"name\":\"function-sb-1\",\"description\":\"d\"}");
	assert_int_equal(snapshot.answer.status, 201);
	assert_string_equal(snapshot.user_id, "");
	(void)snprintf(body, sizeof(body), "{\"snapshot_id\":\"%s\"}", snapshot.id);
	const struct made volume = post(s->f, PLATFORM_VOLUME_CREATE, body);
	assert_int_equal(volume.answer.status, 201);
	assert_string_equal(volume.user_id, WORLD_USER);
	struct platform_request request = request_of(PLATFORM_VOLUME_LIST, NULL, NULL);
	request.done = on_listed;
	request.arg = &listed;
	(void)must_send(s->f, &request);
	run_until(s->f, &listed.done, 1);
	assert_string_equal(listed.users, WORLD_USER " " WORLD_OTHER_USER " ");
}

/* ---- metrics ---- */

static void test_metrics(void **state)
{
	struct fixture *f = *state;
	static const char *const want[] = {
	    "sandsweep_platform_calls_total{op=\"snapshot_create\",outcome=\"2xx\"} 1\n",
	    "sandsweep_platform_calls_total{op=\"snapshot_create\",outcome=\"reset\"} 0\n",
	    "sandsweep_platform_calls_total{op=\"volume_create\",outcome=\"2xx\"} 0\n",
	    "sandsweep_platform_calls_total{op=\"volume_create\",outcome=\"reset\"} 1\n",
	    "sandsweep_platform_call_seconds_count{op=\"snapshot_create\"} 1\n",
	    "sandsweep_platform_call_seconds_count{op=\"volume_create\"} 1\n",
	};
	(void)post(f, PLATFORM_SNAPSHOT_CREATE, "{}");
	f->server.script = "reset";
	(void)post(f, PLATFORM_VOLUME_CREATE, "{}");
	expect_lines(f->metrics, want, N_OF(want));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_SIM(fn) cmocka_unit_test_setup_teardown(fn, setup_sim, teardown_sim)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_request),
	    TEST(test_long_bodies),
	    TEST(test_what_is_never_sent),
	    TEST(test_nothing_of_it_clings),
	    TEST(test_answers),
	    TEST(test_a_connection_that_breaks),
	    TEST(test_what_can_be_repeated_is),
	    TEST(test_a_platform_that_goes_away),
	    TEST(test_cancelled),
	    TEST_SIM(test_fates),
	    TEST_SIM(test_a_copy_of_a_volume),
	    TEST(test_metrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
