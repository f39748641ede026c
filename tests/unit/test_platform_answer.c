/* What can be trusted of a reply: platform/answer.c, without a network. */
#include "platform/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/macros.h"

#define ERROR(code, message) \
	"{\"success\":false,\"error\":{\"code\":\"" code "\",\"message\":\"" message "\"}}"
#define MALFORMED PLATFORM_MALFORMED
#define ANSWERED PLATFORM_ANSWERED

static void read_text(int status, const char *body, struct platform_answer *answer)
{
	const struct platform_reply reply = {.status = status, .body = body, .len = strlen(body)};
	platform_answer_read(&reply, 0, answer);
}

static const struct {
	const char *name;
	int status;
	const char *body;
	enum platform_fault fault;
	const char *code, *text; /* text NULL: not looked at */
} cases[] = {
    {"success", 200, "{\"success\":true,\"data\":{\"id\":\"sb\"}}", ANSWERED, "", ""},
    {"created", 201, "{\"success\":true,\"data\":{}}", ANSWERED, "", ""},
    {"success with a null", 200, "{\"success\":true,\"data\":null}", ANSWERED, "", ""},
    {"success without data", 200, "{\"success\":true}", ANSWERED, "", ""},
    {"white space around", 200, " \r\n{\"success\":true}\n", ANSWERED, "", ""},
    {"no body", 200, "", MALFORMED, "", NULL},
    {"no content", 204, "", MALFORMED, "", NULL},
    {"success that says false", 200, "{\"success\":false}", MALFORMED, "", NULL},
    {"success that is a text", 200, "{\"success\":\"true\"}", MALFORMED, "", NULL},
    {"success that is a number", 200, "{\"success\":1}", MALFORMED, "", NULL},
    {"success that is null", 200, "{\"success\":null}", MALFORMED, "", NULL},
    {"no success", 200, "{\"data\":{}}", MALFORMED, "", NULL},
    {"an array", 200, "[{\"success\":true}]", MALFORMED, "", NULL},
    {"a bare word", 200, "true", MALFORMED, "", NULL},
    {"two texts", 200, "{\"success\":true}{\"success\":true}", MALFORMED, "", NULL},
    {"said twice", 200, "{\"success\":false,\"success\":true}", MALFORMED, "", NULL},
    {"a captive portal", 200, "<html>Please log in</html>", MALFORMED, "", NULL},
    {"an error under a success", 200, ERROR("not_found", "x"), MALFORMED, "", NULL},
    {"no UTF-8", 200, "{\"success\":true,\"data\":\"\xff\"}", MALFORMED, "", NULL},
    {"a NUL in a text", 200, "{\"success\":true,\"data\":\"\\u0000\"}", MALFORMED, "", NULL},

    {"absent", 404, ERROR("not_found", "sandbox not found"), ANSWERED, "not_found",
     "sandbox not found"},
    {"absent with details", 404,
     "{\"success\":false,\"error\":{\"code\":\"not_found\",\"message\":\"m\",\"details\":{}}}",
     ANSWERED, "not_found", "m"},
    {"absent, another code", 404, ERROR("bad_request", "no route"), MALFORMED, "", NULL},
    {"absent, a code that begins alike", 404, ERROR("not_found_here", "x"), MALFORMED, "", NULL},
    {"absent, a code in capitals", 404, ERROR("NOT_FOUND", "x"), MALFORMED, "", NULL},
    {"absent, the plain form", 404, "{\"error\":\"not found\"}", MALFORMED, "", NULL},
    {"a proxy's page", 404, "<html><h1>404 Not Found</h1></html>", MALFORMED, "", NULL},
    {"a router's line", 404, "404 page not found", MALFORMED, "", NULL},
    {"absent without a body", 404, "", MALFORMED, "", NULL},
    {"absent and a success", 404,
     "{\"success\":true,\"error\":{\"code\":\"not_found\","
     "\"message\":\"x\"}}",
     MALFORMED, "", NULL},
    {"absent, no success", 404, "{\"error\":{\"code\":\"not_found\",\"message\":\"x\"}}", MALFORMED,
     "", NULL},
    {"absent, no message", 404, "{\"success\":false,\"error\":{\"code\":\"not_found\"}}", MALFORMED,
     "", NULL},
    {"absent, message a number", 404,
     "{\"success\":false,\"error\":{\"code\":\"not_found\",\"message\":1}}", MALFORMED, "", NULL},
    {"absent, code a list", 404,
     "{\"success\":false,\"error\":{\"code\":[\"not_found\"],\"message\":\"x\"}}", MALFORMED, "",
     NULL},

    {"conflict", 409, ERROR("conflict", "volume has active mounts"), ANSWERED, "conflict",
     "volume has active mounts"},
    {"conflict, plain", 409, "{\"error\":\"conflict\"}", MALFORMED, "", NULL},
    {"bad request", 400, ERROR("bad_request", "m"), ANSWERED, "bad_request", "m"},
    {"bad request, plain", 400, "{\"error\":\"m\"}", MALFORMED, "", NULL},
    {"an empty code", 400, ERROR("", "m"), MALFORMED, "", NULL},
    {"an empty message", 400, ERROR("bad_request", ""), ANSWERED, "bad_request", ""},
    {"an error that is null", 400, "{\"success\":false,\"error\":null}", MALFORMED, "", NULL},
    {"an error without one", 400, "{\"success\":false}", MALFORMED, "", NULL},

    {"401 plain", 401, "{\"error\":\"invalid token\"}", ANSWERED, "", "invalid token"},
    {"401 envelope", 401, ERROR("unauthorized", "m"), ANSWERED, "unauthorized", "m"},
    {"401 both", 401, "{\"success\":false,\"error\":\"m\"}", MALFORMED, "", NULL},
    {"401 error a number", 401, "{\"error\":401}", MALFORMED, "", NULL},
    {"401 page", 401, "<html>", MALFORMED, "", NULL},
    {"403 plain", 403, "{\"error\":\"insufficient permissions\"}", ANSWERED, "",
     "insufficient permissions"},
    {"403 envelope", 403, ERROR("forbidden", "m"), ANSWERED, "forbidden", "m"},
    {"429 plain", 429, "{\"error\":\"rate limit exceeded\",\"retry_after\":7}", ANSWERED, "",
     "rate limit exceeded"},
    {"429 envelope", 429, ERROR("quota_exceeded", "m"), ANSWERED, "quota_exceeded", "m"},
    {"500 envelope", 500, ERROR("internal_error", "m"), ANSWERED, "internal_error", "m"},
    {"500 panic", 500, "{\"error\":\"Internal Server Error\"}", ANSWERED, "",
     "Internal Server Error"},
    {"502 plain", 502, "{\"error\":\"upstream\"}", ANSWERED, "", "upstream"},
    {"502 page", 502, "<html>Bad Gateway</html>", MALFORMED, "", NULL},
    {"503 envelope", 503, ERROR("unavailable", "m"), ANSWERED, "unavailable", "m"},
    {"503 plain", 503, "{\"error\":\"m\"}", MALFORMED, "", NULL},
    {"504 plain", 504, "{\"error\":\"timeout\"}", ANSWERED, "", "timeout"},

    {"a redirect", 302, "{\"success\":true}", MALFORMED, "", NULL},
    {"not modified", 304, "", MALFORMED, "", NULL},
    {"no status", 0, "{\"success\":true}", MALFORMED, "", NULL},
    {"a status past all", 600, ERROR("x", "m"), MALFORMED, "", NULL},
    {"a status below all", 199, "{\"success\":true}", MALFORMED, "", NULL},
    {"a status of others", 418, ERROR("teapot", "m"), ANSWERED, "teapot", "m"},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct platform_answer answer;
		read_text(cases[i].status, cases[i].body, &answer);
		if (answer.fault != cases[i].fault || answer.status != cases[i].status ||
		    strcmp(answer.code, cases[i].code) != 0 ||
		    (cases[i].text && strcmp(answer.text, cases[i].text) != 0))
			fail_msg("%s: fault %s, status %d, code \"%s\", text \"%s\"", cases[i].name,
			         platform_fault_name(answer.fault), answer.status, answer.code, answer.text);
		assert_int_equal(answer.latency_us, 0);
		assert_false(answer.reused);
	}
}

/* Of a listing only the first byte that is no white space is looked at; errors are read as ever. */
static const struct {
	const char *name;
	int status;
	const char *body;
	enum platform_fault fault;
} listings[] = {
    {"an object", 200, "{\"success\":true,\"data\":[]}", ANSWERED},
    {"white space around", 200, " \t\r\n{} ", ANSWERED},
    {"an object without an end", 200, "{", ANSWERED},
    {"success that says false", 200, "{\"success\":false}", ANSWERED},
    {"nothing", 200, "", MALFORMED},
    {"white space", 200, " \n", MALFORMED},
    {"an array", 200, "[{\"success\":true}]", MALFORMED},
    {"a page", 200, "<html>{}</html>", MALFORMED},
    {"another white space", 200, "\v{\"success\":true}", MALFORMED},
    {"a byte order mark", 200, "\xef\xbb\xbf{\"success\":true}", MALFORMED},
    {"a redirect", 302, "{\"success\":true}", MALFORMED},
    {"absent", 404, ERROR("not_found", "m"), ANSWERED},
    {"absent, half", 404, "{\"success\":false", MALFORMED},
    {"absent, a router's", 404, "{}", MALFORMED},
    {"busy", 503, ERROR("unavailable", "m"), ANSWERED},
    {"busy, half", 503, "{", MALFORMED},
};

static void test_listings(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(listings); i++) {
		struct platform_answer answer;
		const char *body = listings[i].body;
		const struct platform_reply reply = {
		    .status = listings[i].status, .listing = true, .body = body, .len = strlen(body)};
		platform_answer_read(&reply, 0, &answer);
		if (answer.fault != listings[i].fault)
			fail_msg("%s: %s, \"%s\"", listings[i].name, platform_fault_name(answer.fault),
			         answer.text);
		assert_true(answer.fault == ANSWERED || *answer.text);
	}
	const struct platform_reply none = {.status = 200, .listing = true};
	struct platform_answer answer;
	platform_answer_read(&none, 0, &answer);
	assert_int_equal(answer.fault, MALFORMED);
}

/* The body is handed on with what may be trusted and is no error. */
static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++)
		for (int listing = 0; listing < 2; listing++) {
			struct platform_answer answer;
			const struct platform_reply reply = {.status = cases[i].status,
			                                     .listing = listing,
			                                     .body = cases[i].body,
			                                     .len = strlen(cases[i].body)};
			platform_answer_read(&reply, 0, &answer);
			bool trusted = answer.fault == ANSWERED && answer.status < 300;
			assert_ptr_equal(answer.body, trusted ? cases[i].body : NULL);
			assert_int_equal(answer.body_len, trusted ? reply.len : 0);
		}
}

/* Every beginning of a whole reply is not a reply. */
static void test_truncated(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *body;
	} whole[] = {
	    {404, ERROR("not_found", "sandbox not found")},
	    {200, "{\"success\":true,\"data\":{\"a\":[1,2,{}]}}"},
	    {429, "{\"error\":\"rate limit exceeded\",\"retry_after\":7}"},
	};
	for (size_t i = 0; i < N_OF(whole); i++)
		for (size_t len = 0; len <= strlen(whole[i].body); len++) {
			struct platform_answer answer;
			char *part = malloc(len + 1); /* so that the sanitizer sees a byte too many */
			assert_non_null(part);
			memcpy(part, whole[i].body, len);
			const struct platform_reply reply = {
			    .status = whole[i].status, .body = part, .len = len};
			platform_answer_read(&reply, 0, &answer);
			assert_int_equal(answer.fault,
			                 whole[i].body[len] ? PLATFORM_MALFORMED : PLATFORM_ANSWERED);
			free(part);
		}
}

static void test_deep(void **state)
{
	(void)state;
	static const size_t depths[] = {31, 32, 100, 100000};
	for (size_t i = 0; i < N_OF(depths); i++) {
		struct platform_answer answer;
		size_t n = depths[i];
		char *body = malloc(2 * n + 64), *at = body;
		assert_non_null(body);
		at = stpcpy(at, "{\"success\":true,\"data\":");
		memset(at, '[', n);
		memset(at + n, ']', n);
		(void)stpcpy(at + 2 * n, "}");
		read_text(200, body, &answer);
		assert_int_equal(answer.fault, n < 32 ? PLATFORM_ANSWERED : PLATFORM_MALFORMED);
		free(body);
	}
}

static void test_huge(void **state)
{
	(void)state;
	enum { SIZE = 1 << 20 };
	struct platform_answer answer;
	char *body = malloc(SIZE + 128), *at = body;
	assert_non_null(body);
	at = stpcpy(at, "{\"success\":false,\"error\":{\"code\":\"");
	memset(at, 'c', SIZE / 2);
	at = stpcpy(at + SIZE / 2, "\",\"message\":\"");
	memset(at, 'm', SIZE / 2);
	(void)stpcpy(at + SIZE / 2, "\"}}");
	read_text(400, body, &answer);
	assert_int_equal(answer.fault, PLATFORM_ANSWERED);
	assert_int_equal(strlen(answer.code), sizeof(answer.code) - 1);
	assert_int_equal(strlen(answer.text), sizeof(answer.text) - 1);
	free(body);
}

static const struct {
	const char *name, *from, *want;
} texts[] = {
    {"nothing", "", ""},
    {"plain", "volume has active mounts", "volume has active mounts"},
    {"line ends", "a\r\nb\tc", "a  b c"},
    {"an escape sequence", "\x1b[31mred\x7f", " [31mred "},
    {"C1 controls", "a\xc2\x85z\xc2\xa0.", "a z\xc2\xa0."},
    {"UTF-8", "gel\xc3\xb6scht \xe2\x82\xac \xf0\x9f\x98\x80",
     "gel\xc3\xb6scht \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"no UTF-8", "a\xff\xc3", "a??"},
    {"too long a form", "\xc0\xaf\xe0\x80\xaf", "?????"},
    {"a surrogate", "\xed\xa0\x80", "???"},
    {"past Unicode", "\xf4\x90\x80\x80", "????"},
    {"cut off", "\xe2\x82", "??"},
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(texts); i++) {
		struct platform_answer answer;
		platform_answer_fault(PLATFORM_RESET, texts[i].from, &answer);
		assert_int_equal(answer.fault, PLATFORM_RESET);
		assert_int_equal(answer.status, 0);
		if (strcmp(answer.text, texts[i].want) != 0)
			fail_msg("%s: got \"%s\"", texts[i].name, answer.text);
	}
}

/* A database column of UTF-8 refuses half a character. */
static void test_long_texts_end_in_a_whole_character(void **state)
{
	(void)state;
	struct platform_answer answer;
	for (size_t shift = 0; shift < 4; shift++) {
		char text[512] = "";
		for (size_t i = 0; i < shift; i++)
			(void)strcat(text, "x");
		while (strlen(text) < 400)
			(void)strcat(text, "\xf0\x9f\x98\x80");
		platform_answer_fault(PLATFORM_RESET, text, &answer);
		size_t len = strlen(answer.text);
		assert_int_equal((len - shift) % 4, 0);
		assert_in_range(len, sizeof(answer.text) - 4, sizeof(answer.text) - 1);
	}
}

enum { NOW_S = 1767225600 }; /* 2026-01-01T00:00:00Z, a Thursday */

static const struct {
	const char *text;
	int64_t want_ms;
} waits[] = {
    {"0", 0},
    {"1", 1000},
    {"007", 7000},
    {"3600", 3600000},
    {"3601", 3600000},
    {"99999999999999999999999999", 3600000},
    {"Thu, 01 Jan 2026 00:00:30 GMT", 30000},
    {"Thursday, 01-Jan-26 00:00:30 GMT", 30000},
    {"Thu Jan  1 00:00:30 2026", 30000},
    {"Thu, 01 Jan 2026 00:59:59 GMT", 3599000},
    {"Fri, 02 Jan 2026 00:00:00 GMT", 3600000},
    {"Fri, 31 Dec 9999 23:59:59 GMT", 3600000},
    {"Thu, 01 Jan 2026 00:00:00 GMT", 0},
    {"Wed, 31 Dec 2025 23:59:59 GMT", 0},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"", 0},
    {" ", 0},
    {"-1", 0},
    {"+1", 0},
    {"1.5", 0},
    {"1 ", 0},
    {"0x10", 0},
    {"soon", 0},
    {"Thu, 01 Jan 2026 00:00:30 CET", 0},
    {"Thu, 01 Jan 2026 00:00:30 GMT, 5", 0},
    {"2026-01-01T00:00:30Z", 0},
};

static void test_retry_after(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(waits); i++) {
		int64_t got = platform_retry_after_ms(waits[i].text, (int64_t)NOW_S * 1000000);
		if (got != waits[i].want_ms)
			fail_msg("\"%s\": %lld ms", waits[i].text, (long long)got);
	}
}

static void test_retry_after_comes_with_any_answer(void **state)
{
	(void)state;
	struct platform_answer answer;
	const struct platform_reply busy = {
	    .status = 503, .retry_after = "2", .body = "<html>", .len = 6};
	platform_answer_read(&busy, 0, &answer);
	assert_int_equal(answer.fault, PLATFORM_MALFORMED);
	assert_int_equal(answer.retry_after_ms, 2000);
	const struct platform_reply none = {.status = 503};
	platform_answer_read(&none, 0, &answer);
	assert_int_equal(answer.fault, PLATFORM_MALFORMED);
	assert_int_equal(answer.retry_after_ms, 0);
}

static int allocations_left;

static void *failing_malloc(size_t size)
{
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

/* Whatever allocation fails, half an answer is none. */
static void test_without_memory(void **state)
{
	(void)state;
	enum { ENOUGH = 200 };
	struct platform_answer answer;
	int failed = 0;
	json_set_alloc_funcs(failing_malloc, free);
	for (int n = 0; n < ENOUGH; n++) {
		allocations_left = n;
		read_text(404, ERROR("not_found", "sandbox not found"), &answer);
		if (answer.fault == PLATFORM_ANSWERED)
			assert_string_equal(answer.code, "not_found");
		else
			failed++;
	}
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(answer.fault, PLATFORM_ANSWERED);
	assert_in_range(failed, 5, ENOUGH - 1);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(platform_op_name(PLATFORM_SANDBOX_DELETE), "sandbox_delete");
	assert_string_equal(platform_op_name(PLATFORM_SNAPSHOT_DELETE), "snapshot_delete");
	assert_string_equal(platform_op_name(PLATFORM_SANDBOX_LIST), "sandbox_list");
	assert_string_equal(platform_op_name(PLATFORM_VOLUME_LIST), "volume_list");
	assert_string_equal(platform_op_name(PLATFORM_SNAPSHOT_CREATE), "snapshot_create");
	assert_string_equal(platform_op_name(PLATFORM_VOLUME_CREATE), "volume_create");
	assert_string_equal(platform_op_name(PLATFORM_OP_COUNT), "unknown");
	assert_string_equal(platform_fault_name(PLATFORM_TIMEOUT), "timeout");
	assert_string_equal(platform_fault_name(PLATFORM_FAULT_COUNT), "unknown");
	for (int fault = 0; fault < PLATFORM_FAULT_COUNT; fault++)
		assert_non_null(platform_fault_name(fault));
}

/* ---- the memo ---- */

/* Whatever came before, a reply is read as without a memo. */
static void must_recall(struct platform_memo *memo, const struct platform_reply *reply)
{
	struct platform_answer want, got;
	platform_answer_read(reply, 0, &want);
	memset(&got, 0xff, sizeof(got));
	platform_answer_recall(memo, reply, 0, &got);
	assert_int_equal(got.fault, want.fault);
	assert_int_equal(got.status, want.status);
	assert_string_equal(got.code, want.code);
	assert_string_equal(got.text, want.text);
	assert_int_equal(got.retry_after_ms, want.retry_after_ms);
	assert_int_equal(got.latency_us, 0);
	assert_false(got.reused);
}

static struct platform_reply reply_of(size_t at, const char *retry_after)
{
	return (struct platform_reply){.status = cases[at].status,
	                               .retry_after = retry_after,
	                               .body = cases[at].body,
	                               .len = strlen(cases[at].body)};
}

static void test_a_memo_changes_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++)
		for (size_t k = 0; k < N_OF(cases); k++) {
			struct platform_memo memo = {0};
			struct platform_reply first = reply_of(i, NULL), second = reply_of(k, NULL);
			must_recall(&memo, &first);
			must_recall(&memo, &first);
			must_recall(&memo, &second);
			must_recall(&memo, &first);
			second.status = first.status;
			must_recall(&memo, &second);
			second = first;
			second.status =
			    second.status == 404 ? 200 : 404; /* the same bytes mean another thing */
			must_recall(&memo, &second);
			second = reply_of(k, "7");
			must_recall(&memo, &second);
			must_recall(&memo, &first);
			first.retry_after = "9";
			must_recall(&memo, &first);
		}
}

static void test_a_memo_compares_every_byte(void **state)
{
	(void)state;
	static const char text[] = ERROR("not_found", "sandbox not found");
	char body[sizeof(text)];
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		struct platform_memo memo = {0};
		memcpy(body, text, sizeof(text));
		struct platform_reply reply = {.status = 404, .body = body, .len = sizeof(text) - 1};
		must_recall(&memo, &reply);
		body[i] ^= 1;
		must_recall(&memo, &reply);
		body[i] ^= 1;
		reply.len = i; /* the beginning of it is no proof */
		must_recall(&memo, &reply);
	}
}

static void test_a_memo_keeps_no_long_body(void **state)
{
	(void)state;
	char body[PLATFORM_MEMO_BYTES + 8];
	for (size_t len = PLATFORM_MEMO_BYTES - 1; len <= PLATFORM_MEMO_BYTES + 1; len++) {
		struct platform_memo memo = {0};
		(void)snprintf(body, sizeof(body), "{\"success\":true}%*s", (int)len - 16, "");
		const struct platform_reply reply = {.status = 200, .body = body, .len = len};
		must_recall(&memo, &reply);
		must_recall(&memo, &reply);
		assert_int_equal(memo.len, len <= PLATFORM_MEMO_BYTES ? len : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_listings),
	    cmocka_unit_test(test_bodies),
	    cmocka_unit_test(test_truncated),
	    cmocka_unit_test(test_deep),
	    cmocka_unit_test(test_huge),
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_long_texts_end_in_a_whole_character),
	    cmocka_unit_test(test_retry_after),
	    cmocka_unit_test(test_retry_after_comes_with_any_answer),
	    cmocka_unit_test(test_without_memory),
	    cmocka_unit_test(test_a_memo_changes_nothing),
	    cmocka_unit_test(test_a_memo_compares_every_byte),
	    cmocka_unit_test(test_a_memo_keeps_no_long_body),
	    cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
