/* Answers, as they come over a connection: the envelope, its codes and details, and the headers. */
#include "api/reply.h"

#include "front_fixture.h"

#include <strings.h>

/* ---- errors ---- */

static const struct error_case {
	const char *name;
	int status;
	const char *message, *details; /* NULL: none */
	const char *want;              /* of the error, all of it */
} error_cases[] = {
    {"bad request", 400, "no", NULL, "\"code\":\"bad_request\",\"message\":\"no\""},
    {"nobody", 401, "no", NULL, "\"code\":\"unauthorized\",\"message\":\"no\""},
    {"not this one", 403, "no", NULL, "\"code\":\"forbidden\",\"message\":\"no\""},
    {"not here", 404, "no", NULL, "\"code\":\"not_found\",\"message\":\"no\""},
    {"not so", 405, "no", NULL, "\"code\":\"bad_request\",\"message\":\"no\""},
    {"taken", 409, "no", NULL, "\"code\":\"conflict\",\"message\":\"no\""},
    {"another version", 412, "no", NULL, "\"code\":\"conflict\",\"message\":\"no\""},
    {"too long", 413, "no", NULL, "\"code\":\"bad_request\",\"message\":\"no\""},
    {"another request", 422, "no", NULL, "\"code\":\"bad_request\",\"message\":\"no\""},
    {"too many", 429, "no", NULL, "\"code\":\"quota_exceeded\",\"message\":\"no\""},
    {"too many headers", 431, "no", NULL, "\"code\":\"bad_request\",\"message\":\"no\""},
    {"ours", 500, "no", NULL, "\"code\":\"internal_error\",\"message\":\"no\""},
    {"away", 503, "no", NULL, "\"code\":\"unavailable\",\"message\":\"no\""},
    {"no words", 404, "", NULL, "\"code\":\"not_found\",\"message\":\"\""},
    {"words with quotes", 400, "a \"b\"\n\xc3\xa9\xff", NULL,
     "\"code\":\"bad_request\",\"message\":\"a \\\"b\\\"\\u000a\xc3\xa9\xef\xbf\xbd\""},
    {"details", 400, "no", "{\"blockers\":[\"not_public\",\"missing_command\"]}",
     "\"code\":\"bad_request\",\"message\":\"no\","
     "\"details\":{\"blockers\":[\"not_public\",\"missing_command\"]}"},
    {"details of another status", 503, "no", "{}",
     "\"code\":\"unavailable\",\"message\":\"no\",\"details\":{}"},
};

static const struct error_case *error_case;

static void answer_error(struct exchange *x)
{
	if (error_case->details)
		exchange_fail_details(x, error_case->status, error_case->message, error_case->details);
	else
		exchange_fail(x, error_case->status, error_case->message);
}

static void check_body(const struct front *front, const char *name, const char *want)
{
	struct err err = {0};
	if (strcmp(front->body, want) != 0)
		fail_msg("%s: %s\nnot %s", name, front->body, want);
	json_t *json = json_parse(front->body, strlen(front->body), &err);
	if (!json)
		fail_msg("%s: %s", name, err.text);
	json_decref(json);
}

static void check_headers(const struct front *front)
{
	assert_string_equal(front_header(front, "Content-Type"), "application/json; charset=utf-8");
	front_check_header(front, "Cache-Control", "no-store");
	front_check_header(front, "X-Content-Type-Options", "nosniff");
	assert_true(reply_id_valid(front_header(front, "X-Request-Id")));
}

static void test_errors(void **state)
{
	struct front *front = *state;
	for (size_t i = 0; i < N_OF(error_cases); i++) {
		char want[512];
		error_case = &error_cases[i];
		(void)snprintf(want, sizeof(want), "{\"success\":false,\"error\":{%s}}", error_case->want);
		assert_int_equal(front_ask(front, "GET /", "", "", answer_error), error_case->status);
		check_body(front, error_case->name, want);
		check_headers(front);
	}
}

/* ---- what was asked for ---- */

static void answer_data(struct exchange *x)
{
	struct reply reply;
	struct buf *body = exchange_data(x, &reply);
	(void)buf_str(body, "\"a\":1");
	exchange_send(x, &reply, strcmp(http_req_method(x->http), "POST") == 0 ? 201 : 200);
}

static void test_data(void **state)
{
	struct front *front = *state;
	assert_int_equal(front_ask(front, "GET /", "", "", answer_data), 200);
	check_body(front, "200", "{\"success\":true,\"data\":{\"a\":1}}");
	check_headers(front);
	assert_int_equal(front_ask(front, "POST /", "", "", answer_data), 201);
	check_body(front, "201", "{\"success\":true,\"data\":{\"a\":1}}");
}

static const struct rows_case {
	int rows;
	const char *more, *want;
} rows_cases[] = {
    {0, "", "{\"success\":true,\"data\":{\"things\":[]}}"},
    {1, "", "{\"success\":true,\"data\":{\"things\":[1]}}"},
    {3, "", "{\"success\":true,\"data\":{\"things\":[1,2,3]}}"},
    {2, ",\"next_cursor\":\"0a\"",
     "{\"success\":true,\"data\":{\"things\":[1,2],\"next_cursor\":\"0a\"}}"},
};

static const struct rows_case *rows_case;

static void answer_rows(struct exchange *x)
{
	for (int i = 1; i <= rows_case->rows; i++)
		(void)buf_i64(exchange_row(x), i);
	exchange_send_rows(x, "things", rows_case->more);
}

static void test_rows(void **state)
{
	struct front *front = *state;
	for (size_t i = 0; i < N_OF(rows_cases); i++) {
		rows_case = &rows_cases[i];
		assert_int_equal(front_ask(front, "GET /", "", "", answer_rows), 200);
		check_body(front, "rows", rows_case->want);
	}
}

static void answer_text(struct exchange *x)
{
	exchange_send_text(x, "application/yaml", "a: 1\n", 5);
}

static void test_text(void **state)
{
	struct front *front = *state;
	assert_int_equal(front_ask(front, "GET /", "", "", answer_text), 200);
	assert_string_equal(front->body, "a: 1\n");
	front_check_header(front, "Content-Type", "application/yaml");
	front_check_header(front, "Cache-Control", "no-store");
	assert_non_null(front_header(front, "X-Request-Id"));
}

/* Half an answer is none. */
static void answer_half(struct exchange *x)
{
	struct reply reply;
	exchange_data(x, &reply)->failed = true;
	exchange_send(x, &reply, 200);
}

static void answer_half_of_the_rows(struct exchange *x)
{
	exchange_row(x)->failed = true;
	exchange_send_rows(x, "things", "");
}

static void test_what_does_not_fit(void **state)
{
	struct front *front = *state;
	static const char want[] = "{\"success\":false,\"error\":{\"code\":\"internal_error\","
	                           "\"message\":\"the answer does not fit into memory\"}}";
	assert_int_equal(front_ask(front, "GET /", "", "", answer_half), 500);
	check_body(front, "half", want);
	assert_int_equal(front_ask(front, "GET /", "", "", answer_half_of_the_rows), 500);
	check_body(front, "half of the rows", want);
	assert_int_equal(front_ask(front, "GET /", "", "", answer_data), 200);
	check_body(front, "the next one", "{\"success\":true,\"data\":{\"a\":1}}");
}

static void answer_without_memory(struct exchange *x)
{
	struct reply reply;
	exchange_header(x, "X-One", "1");
	struct buf *body = exchange_data(x, &reply);
	buf_done(body);
	buf_init(body, 1);
	exchange_send(x, &reply, 200);
}

static void test_out_of_memory(void **state)
{
	struct front *front = *state;
	assert_int_equal(front_ask(front, "GET /", "X-Request-Id: mine\r\n", "", answer_without_memory),
	                 500);
	check_body(front, "out of memory",
	           "{\"success\":false,\"error\":{\"code\":\"internal_error\","
	           "\"message\":\"out of memory\"}}");
	check_headers(front);
	front_check_header(front, "X-Request-Id", "mine");
	front_check_header(front, "X-One", "1");
}

/* ---- headers ---- */

#define V79 "0123456789012345678901234567890123456789012345678901234567890123456789012345678"

static void answer_with_headers(struct exchange *x)
{
	char gone[8] = "1";
	exchange_header(x, "X-One", "%s", gone);
	(void)strcpy(gone, "other");
	exchange_header(x, "X-Two", "%d of %d", 2, 3);
	exchange_header(x, "ETag", "\"%x\"", 10);
	exchange_header(x, "X-Longest", "%s", V79);
	exchange_header(x, "X-Too-Long", "%s", V79 "9");
	exchange_header(x, "X-Six", "%d", 6);
	exchange_header(x, "X-Seven", "%d", 7); /* one more than there is room for */
	if (strcmp(http_req_method(x->http), "GET") == 0)
		answer_data(x);
	else
		exchange_fail(x, 400, "no");
}

static void test_headers(void **state)
{
	struct front *front = *state;
	static const char *const lines[] = {"GET /", "DELETE /"};
	for (size_t i = 0; i < N_OF(lines); i++) {
		assert_int_equal(front_ask(front, lines[i], "", "", answer_with_headers), i ? 400 : 200);
		check_headers(front);
		front_check_header(front, "X-One", "1");
		front_check_header(front, "X-Two", "2 of 3");
		front_check_header(front, "ETag", "\"a\"");
		front_check_header(front, "X-Longest", V79);
		front_check_header(front, "X-Too-Long", V79);
		front_check_header(front, "X-Six", "6");
		front_check_header(front, "X-Seven", NULL);
	}
	/* They are one answer's. */
	assert_int_equal(front_ask(front, "GET /", "", "", answer_data), 200);
	front_check_header(front, "X-One", NULL);
}

static void test_request_ids(void **state)
{
	struct front *front = *state;
	char first[80];
	(void)front_ask(front, "GET /", "X-Request-Id: my-id_1.2\r\n", "", answer_data);
	front_check_header(front, "X-Request-Id", "my-id_1.2");
	(void)front_ask(front, "GET /", "X-Request-Id: my id\r\n", "", answer_data);
	(void)snprintf(first, sizeof(first), "%s", front_header(front, "X-Request-Id"));
	assert_true(reply_id_valid(first));
	(void)front_ask(front, "GET /", "", "", answer_data);
	assert_true(reply_id_valid(front_header(front, "X-Request-Id")));
	assert_string_not_equal(front_header(front, "X-Request-Id"), first);
}

/* ---- what else an answer does ---- */

static int freed;

static void count_freed(void *work)
{
	freed++;
	assert_string_equal(work, "work");
}

static void answer_with_work(struct exchange *x)
{
	x->work = (void *)(uintptr_t) "work";
	x->work_free = count_freed;
	answer_data(x);
}

static void test_work_goes_with_its_exchange(void **state)
{
	struct front *front = *state;
	freed = 0;
	(void)front_ask(front, "GET /", "", "", answer_with_work);
	assert_int_equal(freed, 1);
	(void)front_ask(front, "GET /", "", "", answer_data);
	assert_int_equal(freed, 1);
}

static void answer_store_failure(struct exchange *x)
{
	const struct err err = {ERR_RETRY, "08006", "the connection is lost"};
	exchange_fail_store(x, &err, "failed to get function");
}

static void test_a_failure_of_the_database(void **state)
{
	struct front *front = *state;
	struct buf text;
	buf_init(&text, 1 << 20);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(front_ask(front, "GET /", "", "", answer_store_failure), 500);
		check_body(front, "failure",
		           "{\"success\":false,\"error\":{\"code\":\"internal_error\","
		           "\"message\":\"failed to get function\"}}");
	}
	metrics_write(front->metrics, &text);
	assert_non_null(strstr(text.data, "\nsandsweep_http_store_errors_total 3\n"));
	buf_done(&text);
}

#define FRONT_TEST(test) cmocka_unit_test_setup_teardown(test, front_set_up, front_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FRONT_TEST(test_errors),
	    FRONT_TEST(test_data),
	    FRONT_TEST(test_rows),
	    FRONT_TEST(test_text),
	    FRONT_TEST(test_what_does_not_fit),
	    FRONT_TEST(test_out_of_memory),
	    FRONT_TEST(test_headers),
	    FRONT_TEST(test_request_ids),
	    FRONT_TEST(test_work_goes_with_its_exchange),
	    FRONT_TEST(test_a_failure_of_the_database),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
