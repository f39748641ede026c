/* Every kind x step x answer against a table of its own, written out from the contract. */
#include "worker/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const char *const kind_names[] = {"sandbox", "volume", "snapshot"};
static const char *const step_names[] = {"delete", "probe", "confirm"};
static const char *const wait_names[] = {"none", "probe", "confirm", "backoff", "conflict"};

/* "next STEP after WAIT", "gone", "later STEP after WAIT: CLASS", "fail ..."; for later and fail a
 * step that stays is "=". "!" counts against the breaker, "~" against the limit. */
static void render(const struct verdict *v, enum target_step from, char *out, size_t size)
{
	static const char *const kinds[] = {"next", "gone", "later", "fail"};
	bool next = v->kind == VERDICT_NEXT;
	const char *step = !next && v->step == from ? "=" : step_names[v->step];
	if (v->kind == VERDICT_GONE)
		(void)snprintf(out, size, "gone");
	else
		(void)snprintf(out, size, "%s %s after %s%s%s%s%s", kinds[v->kind], step,
		               wait_names[v->wait], v->error_class ? ": " : "",
		               v->error_class ? v->error_class : "", v->platform_fault ? " !" : "",
		               v->overload ? " ~" : "");
}

#define PROBING "next probe after probe"
#define CONFIRMING "next confirm after confirm"
#define AGAIN "next delete after probe"
#define FAIL(class) "fail = after backoff: " class
#define SAME(text)                              \
	{                                           \
		{text, text, text}, {text, text, text}, \
		{                                       \
			text, text, text                    \
		}                                       \
	}

static const struct {
	struct platform_answer answer;
	const char *want[TARGET_KIND_COUNT][STEP_COUNT]; /* in DELETE, PROBE, CONFIRM */
} cases[] = {
    {{.status = 200},
     {[TARGET_SANDBOX] = {PROBING, PROBING, AGAIN},
      [TARGET_VOLUME] = {PROBING, PROBING, AGAIN},
      [TARGET_SNAPSHOT] = {PROBING, PROBING, PROBING}}},
    {{.status = 202},
     {[TARGET_SANDBOX] = {PROBING, PROBING, AGAIN},
      [TARGET_VOLUME] = {PROBING, PROBING, AGAIN},
      [TARGET_SNAPSHOT] = {PROBING, PROBING, PROBING}}},
    {{.status = 404, .code = "not_found"},
     {[TARGET_SANDBOX] = {CONFIRMING, CONFIRMING, "gone"},
      [TARGET_VOLUME] = {FAIL("not_visible"), CONFIRMING, "gone"},
      [TARGET_SNAPSHOT] = {CONFIRMING, CONFIRMING, "gone"}}},
    {{.status = 409, .code = "conflict"},
     {[TARGET_SANDBOX] = {"later = after conflict: conflict", FAIL("http_4xx"), FAIL("http_4xx")},
      [TARGET_VOLUME] = {"later = after conflict: conflict", FAIL("http_4xx"), FAIL("http_4xx")},
      [TARGET_SNAPSHOT] = {"later = after conflict: conflict", "later = after conflict: conflict",
                           "later probe after conflict: conflict"}}},
    {{.status = 429, .code = "quota_exceeded"}, SAME("later = after backoff: rate_limited ! ~")},
    {{.status = 429}, SAME("later = after backoff: rate_limited ! ~")},
    {{.status = 401, .code = "unauthorized"}, SAME("later = after backoff: unauthorized !")},
    {{.status = 401}, SAME("later = after backoff: unauthorized !")},
    {{.status = 403, .code = "forbidden"}, SAME(FAIL("forbidden"))},
    {{.status = 403}, SAME(FAIL("forbidden !"))},
    {{.status = 400, .code = "bad_request"}, SAME(FAIL("http_4xx"))},
    {{.status = 410, .code = "gone"}, SAME(FAIL("http_4xx"))},
    {{.status = 499, .code = "x"}, SAME(FAIL("http_4xx"))},
    {{.status = 500, .code = "internal_error"}, SAME(FAIL("http_500"))},
    {{.status = 500}, SAME(FAIL("http_500"))},
    {{.status = 501, .code = "x"}, SAME(FAIL("http_5xx"))},
    {{.status = 599, .code = "x"}, SAME(FAIL("http_5xx"))},
    {{.status = 502}, SAME(FAIL("http_502 !"))},
    {{.status = 503, .code = "unavailable"}, SAME(FAIL("http_503 ! ~"))},
    {{.status = 504}, SAME(FAIL("http_504 !"))},
    {{.fault = PLATFORM_CONNECT}, SAME(FAIL("connect !"))},
    {{.fault = PLATFORM_TIMEOUT}, SAME(FAIL("timeout ! ~"))},
    {{.fault = PLATFORM_RESET}, SAME(FAIL("reset !"))},
    {{.fault = PLATFORM_TOO_LARGE}, SAME(FAIL("too_large"))},
    {{.fault = PLATFORM_MALFORMED, .status = 200}, SAME(FAIL("malformed !"))},
    {{.fault = PLATFORM_MALFORMED, .status = 302}, SAME(FAIL("malformed !"))},
    {{.fault = PLATFORM_MALFORMED, .status = 404}, SAME(FAIL("malformed !"))},
    {{.fault = PLATFORM_MALFORMED, .status = 0}, SAME(FAIL("malformed !"))},
    {{.fault = PLATFORM_MALFORMED, .status = 429}, SAME(FAIL("malformed ! ~"))},
    {{.fault = PLATFORM_MALFORMED, .status = 503}, SAME(FAIL("malformed ! ~"))},
    {{.fault = PLATFORM_CANCELLED}, SAME("later = after none: cancelled")},
    /* What no answer of the platform can be. */
    {{.status = 0}, SAME(FAIL("unexpected"))},
    {{.status = 199}, SAME(FAIL("unexpected"))},
    {{.status = 304}, SAME(FAIL("unexpected"))},
    {{.status = 600}, SAME(FAIL("unexpected"))},
    {{.status = -404, .code = "not_found"}, SAME(FAIL("unexpected"))},
    /* A status that came with a fault is never believed. */
    {{.fault = PLATFORM_RESET, .status = 404, .code = "not_found"}, SAME(FAIL("reset !"))},
    {{.fault = PLATFORM_TIMEOUT, .status = 404, .code = "not_found"}, SAME(FAIL("timeout ! ~"))},
    {{.fault = PLATFORM_TOO_LARGE, .status = 404}, SAME(FAIL("too_large"))},
};

static void test_every_kind_step_and_answer(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < N_OF(cases); i++)
		for (int kind = 0; kind < TARGET_KIND_COUNT; kind++)
			for (int step = 0; step < STEP_COUNT; step++) {
				char got[128];
				struct verdict v = verdict_of(kind, step, &cases[i].answer);
				render(&v, step, got, sizeof(got));
				if (strcmp(got, cases[i].want[kind][step]) == 0)
					continue;
				wrong++;
				print_error("%s in %s, fault %s, status %d: got \"%s\", want \"%s\"\n",
				            kind_names[kind], step_names[step],
				            platform_fault_name(cases[i].answer.fault), cases[i].answer.status, got,
				            cases[i].want[kind][step]);
			}
	assert_int_equal(wrong, 0);
}

/* Over every status there is, with and without a code: gone comes from one answer only. */
static void test_only_a_second_404_is_gone(void **state)
{
	(void)state;
	for (int kind = 0; kind < TARGET_KIND_COUNT; kind++)
		for (int step = 0; step < STEP_COUNT; step++)
			for (int fault = 0; fault < PLATFORM_FAULT_COUNT; fault++)
				for (int status = -1; status < 1000; status++) {
					struct platform_answer answer = {.fault = fault, .status = status};
					struct verdict v = verdict_of(kind, step, &answer);
					bool want = step == STEP_CONFIRM && fault == PLATFORM_ANSWERED && status == 404;
					assert_int_equal(v.kind == VERDICT_GONE, want);
				}
}

/* What the executor relies on, for every answer. */
static void test_every_verdict_is_complete(void **state)
{
	(void)state;
	for (int kind = 0; kind < TARGET_KIND_COUNT; kind++)
		for (int step = 0; step < STEP_COUNT; step++)
			for (int fault = 0; fault < PLATFORM_FAULT_COUNT; fault++)
				for (int status = -1; status < 1000; status++) {
					struct platform_answer answer = {.fault = fault, .status = status};
					struct verdict v = verdict_of(kind, step, &answer);
					bool classed = v.kind == VERDICT_LATER || v.kind == VERDICT_FAIL;
					assert_int_equal(v.error_class != NULL, classed);
					assert_non_null(v.why);
					assert_true(v.step < STEP_COUNT);
					assert_true(v.kind == VERDICT_GONE || v.wait != WAIT_NONE ||
					            fault == PLATFORM_CANCELLED);
				}
}

static void test_a_call_for_every_step(void **state)
{
	(void)state;
	static const enum platform_op want[TARGET_KIND_COUNT][STEP_COUNT] = {
	    {PLATFORM_SANDBOX_DELETE, PLATFORM_SANDBOX_GET, PLATFORM_SANDBOX_GET},
	    {PLATFORM_VOLUME_DELETE, PLATFORM_VOLUME_GET, PLATFORM_VOLUME_GET},
	    {PLATFORM_SNAPSHOT_DELETE, PLATFORM_SNAPSHOT_DELETE, PLATFORM_SNAPSHOT_DELETE},
	};
	for (int kind = 0; kind < TARGET_KIND_COUNT; kind++)
		for (int step = 0; step < STEP_COUNT; step++)
			assert_int_equal(verdict_op(kind, step), want[kind][step]);
}

/* The page that describes the verdicts names every class (run from the root of the source). */
static void test_the_page_names_every_class(void **state)
{
	(void)state;
	static char page[65536];
	FILE *file = fopen("docs/platform.md", "re");
	if (!file)
		skip();
	page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
	(void)fclose(file);
	for (size_t i = 0; i < N_OF(cases); i++)
		for (int kind = 0; kind < TARGET_KIND_COUNT; kind++) {
			char quoted[64];
			struct verdict v = verdict_of(kind, STEP_DELETE, &cases[i].answer);
			(void)snprintf(quoted, sizeof(quoted), "`%s`", v.error_class ? v.error_class : "gone");
			if (!strstr(page, quoted))
				fail_msg("docs/platform.md does not name %s", quoted);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_kind_step_and_answer),
	    cmocka_unit_test(test_only_a_second_404_is_gone),
	    cmocka_unit_test(test_every_verdict_is_complete),
	    cmocka_unit_test(test_a_call_for_every_step),
	    cmocka_unit_test(test_the_page_names_every_class),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
