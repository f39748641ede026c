/* What the API writes: strings, functions and runtimes, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/function_json.h"
#include "api/reply.h"
#include "base/macros.h"

/* ---- strings ---- */

struct text_row {
	const char *name, *text, *want;
};

static const struct text_row texts[] = {
    {"empty", "", "\"\""},
    {"plain", "abc", "\"abc\""},
    {"quote and backslash", "a\"b\\c", "\"a\\\"b\\\\c\""},
    {"slash stays", "a/b", "\"a/b\""},
    {"controls", "\x01\t\n\r\x1f", "\"\\u0001\\u0009\\u000a\\u000d\\u001f\""},
    {"DEL", "\x7f", "\"\\u007f\""},
    {"two bytes", "\xc3\xbc", "\"\xc3\xbc\""},
    {"three bytes", "\xe2\x82\xac", "\"\xe2\x82\xac\""},
    {"four bytes", "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
    {"last of all", "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\""},
    {"beyond the last", "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"stray byte", "a\x80z", "\"a\xef\xbf\xbdz\""},
    {"cut short", "a\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\""},
    {"cut by a letter", "\xc3z", "\"\xef\xbf\xbdz\""},
    {"too long a form", "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {"too long a form of three", "\xe0\x80\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"surrogate", "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"byte FF", "\xff", "\"\xef\xbf\xbd\""},
};

static void test_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(texts); i++) {
		AUTO(buf_done) struct buf out;
		buf_init(&out, 256);
		reply_string(&out, texts[i].text);
		assert_false(out.failed);
		if (strcmp(out.data, texts[i].want) != 0)
			fail_msg("%s: %s", texts[i].name, out.data);
		json_t *json = json_loads(out.data, JSON_DECODE_ANY, NULL);
		if (!json)
			fail_msg("%s: not JSON: %s", texts[i].name, out.data);
		json_decref(json);
	}
}

#define ID64 "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789._-_.-"

static void test_request_ids(void **state)
{
	(void)state;
	static const struct {
		const char *id;
		bool want;
	} ids[] = {
	    {"a", true},     {ID64, true},   {ID64 "x", false}, {"", false},     {"a b", false},
	    {"a\"b", false}, {"a\n", false}, {"a/b", false},    {"\xc3", false},
	};
	for (size_t i = 0; i < N_OF(ids); i++)
		if (reply_id_valid(ids[i].id) != ids[i].want)
			fail_msg("\"%s\": %s", ids[i].id, ids[i].want ? "refused" : "taken");
}

/* ---- objects ---- */

#define U(d)                                               \
	{                                                      \
		{                                                  \
			d, d, d, d, d, d, d, d, d, d, d, d, d, d, d, d \
		}                                                  \
	}
#define T1 "11111111-1111-1111-1111-111111111111"
#define T2 "22222222-2222-2222-2222-222222222222"
#define T3 "33333333-3333-3333-3333-333333333333"
#define T4 "44444444-4444-4444-4444-444444444444"
#define SCALE                                                                    \
	"\"autoscaling\":{\"min_warm\":1,\"max_active\":2,\"target_concurrency\":3," \
	"\"scale_down_after_seconds\":4}"

struct function_row {
	const char *name, *suffix;
	struct store_function function;
	const char *want;
};

static const struct function_row functions[] = {
    {"everything",
     ".eu-1.example.org",
     {.id = U(0x11),
      .team_id = U(0x22),
      .active_revision_id = U(0x33),
      .created_by = U(0x44),
      .name = "A \"b\" \xc3\xbc\n",
      .slug = "a-b",
      .domain_label = "A-b-01234567",
      .enabled = true,
      .created_at_us = 1000000,
      .updated_at_us = 2000001,
      .deleted_at_us = 3000000,
      .min_warm = 1,
      .max_active = 2,
      .target_concurrency = 3,
      .scale_down_after_seconds = 4},
     "{\"id\":\"" T1 "\",\"team_id\":\"" T2 "\",\"name\":\"A \\\"b\\\" \xc3\xbc\\u000a\","
     "\"slug\":\"a-b\",\"domain_label\":\"A-b-01234567\",\"active_revision_id\":\"" T3 "\","
     "\"enabled\":true," SCALE ",\"created_by\":\"" T4 "\","
     "\"created_at\":\"1970-01-01T00:00:01.000000Z\",\"updated_at\":\"1970-01-01T00:00:02."
     "000001Z\","
     "\"deleted_at\":\"1970-01-01T00:00:03.000000Z\",\"host\":\"a-b-01234567.eu-1.example.org\","
     "\"url\":\"https://a-b-01234567.eu-1.example.org\"}"},
    {"what is absent is left out",
     ".sandbox0.site",
     {.id = U(0x11),
      .team_id = U(0x22),
      .name = "",
      .slug = "s",
      .domain_label = "s",
      .created_at_us = 1000000,
      .updated_at_us = 1000000,
      .min_warm = 1,
      .max_active = 2,
      .target_concurrency = 3,
      .scale_down_after_seconds = 4},
     "{\"id\":\"" T1 "\",\"team_id\":\"" T2
     "\",\"name\":\"\",\"slug\":\"s\",\"domain_label\":\"s\","
     "\"enabled\":false," SCALE ",\"created_at\":\"1970-01-01T00:00:01.000000Z\","
     "\"updated_at\":\"1970-01-01T00:00:01.000000Z\",\"host\":\"s.sandbox0.site\","
     "\"url\":\"https://s.sandbox0.site\"}"},
};

static void check(const char *name, const struct buf *out, const char *want)
{
	assert_false(out->failed);
	if (strcmp(out->data, want) != 0)
		fail_msg("%s:\n%s\nnot\n%s", name, out->data, want);
	json_t *json = json_loads(out->data, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	json_decref(json);
}

static void test_functions(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(functions); i++) {
		AUTO(buf_done) struct buf out;
		buf_init(&out, 4096);
		function_json(&out, &functions[i].function, functions[i].suffix);
		check(functions[i].name, &out, functions[i].want);
	}
}

struct runtime_row {
	const char *name;
	bool enabled;
	const char *sandbox_id, *context_id;
	int64_t updated_at_us;
	const char *state, *rest;
};

#define DISABLED "\"state\":\"disabled\",\"phase\":\"disabled\",\"readiness_state\":\"unknown\""
#define IDLE "\"state\":\"idle\",\"phase\":\"idle\",\"readiness_state\":\"unknown\""
#define ACTIVE "\"state\":\"active\",\"phase\":\"ready\",\"readiness_state\":\"ready\""

static const struct runtime_row runtimes[] = {
    {"idle", true, NULL, NULL, 0, IDLE, ""},
    {"active", true, "sb-1", "ctx-1", 1000000, ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\",\"runtime_context_id\":\"ctx-1\","
     "\"runtime_updated_at\":\"1970-01-01T00:00:01.000000Z\""},
    {"active without a context", true, "sb-1", NULL, 0, ACTIVE, ",\"runtime_sandbox_id\":\"sb-1\""},
    {"a blank sandbox is none", true, " ", "", 1000000, IDLE,
     ",\"runtime_updated_at\":\"1970-01-01T00:00:01.000000Z\""},
    {"disabled", false, NULL, NULL, 0, DISABLED, ""},
    {"disabled, still mapped", false, "sb-1", NULL, 0, DISABLED,
     ",\"runtime_sandbox_id\":\"sb-1\""},
    {"escapes", true, "s\"b", "c\\x", 0, ACTIVE,
     ",\"runtime_sandbox_id\":\"s\\\"b\",\"runtime_context_id\":\"c\\\\x\""},
};

static void test_runtimes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(runtimes); i++) {
		const struct runtime_row *row = &runtimes[i];
		const struct store_runtime runtime = {.function_id = U(0x11),
		                                      .revision_id = U(0x22),
		                                      .revision_number = 7,
		                                      .enabled = row->enabled,
		                                      .sandbox_id = row->sandbox_id,
		                                      .context_id = row->context_id,
		                                      .runtime_updated_at_us = row->updated_at_us,
		                                      .min_warm = 1,
		                                      .max_active = 2,
		                                      .target_concurrency = 3,
		                                      .scale_down_after_seconds = 4};
		char want[1024];
		(void)snprintf(want, sizeof(want),
		               "{\"function_id\":\"" T1 "\",\"revision_id\":\"" T2
		               "\",\"revision_number\":7,%s," SCALE "%s}",
		               row->state, row->rest);
		AUTO(buf_done) struct buf out;
		buf_init(&out, 4096);
		function_json_runtime(&out, &runtime);
		check(row->name, &out, want);
	}
}

/* A buffer that is too small says so and holds no more than it may. */
static void test_bounds(void **state)
{
	(void)state;
	for (size_t max = 0; max < strlen(functions[0].want); max += 13) {
		AUTO(buf_done) struct buf out;
		buf_init(&out, max);
		function_json(&out, &functions[0].function, functions[0].suffix);
		assert_true(out.failed);
		assert_true(out.len <= max);
	}
}

static void test_suffix(void **state)
{
	(void)state;
	static const struct {
		const char *region, *root, *want;
	} suffixes[] = {
	    {"", "sandbox0.site", ".sandbox0.site"},
	    {"AWS-us", "Example.ORG", ".aws-us.example.org"},
	};
	char out[FUNCTION_JSON_SUFFIX_SIZE], longest[FUNCTION_JSON_SUFFIX_SIZE];
	for (size_t i = 0; i < N_OF(suffixes); i++) {
		assert_int_equal(function_json_suffix(suffixes[i].region, suffixes[i].root, out), 0);
		assert_string_equal(out, suffixes[i].want);
	}
	memset(longest, 'x', sizeof(longest));
	longest[FUNCTION_JSON_SUFFIX_SIZE - 2] = '\0';
	assert_int_equal(function_json_suffix("", longest, out), 0);
	longest[FUNCTION_JSON_SUFFIX_SIZE - 2] = 'x';
	longest[FUNCTION_JSON_SUFFIX_SIZE - 1] = '\0';
	assert_int_equal(function_json_suffix("", longest, out), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_strings),   cmocka_unit_test(test_request_ids),
	    cmocka_unit_test(test_functions), cmocka_unit_test(test_runtimes),
	    cmocka_unit_test(test_bounds),    cmocka_unit_test(test_suffix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
