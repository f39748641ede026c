/* What the API writes: strings, and every object, byte for byte. */
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
	"\"scale_down_after_seconds\":40}"

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
      .autoscaling = {"1", "2", "3", "40"}},
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
      .autoscaling = {"1", "2", "3", "40"}},
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
	int64_t updated_at_us, mapped_at_us;
	const char *recent_events;
	const char *state, *rest;
};

#define DISABLED "\"state\":\"disabled\",\"phase\":\"disabled\",\"readiness_state\":\"unknown\""
#define IDLE "\"state\":\"idle\",\"phase\":\"idle\",\"readiness_state\":\"unknown\""
#define ACTIVE "\"state\":\"active\",\"phase\":\"ready\",\"readiness_state\":\"ready\""
#define AT(second) "\"1970-01-01T00:00:0" second ".000000Z\""
/* The beginning of what `printf sb-1 | sha256sum` says. */
#define SB1 "a7ff505d-8250-5710-543b-84805429e58e"
#define INSTANCE(context, created, updated)                                                 \
	",\"instances\":[{\"id\":\"" SB1 "\",\"team_id\":\"" T3 "\",\"function_id\":\"" T1      \
	"\",\"revision_id\":\"" T2 "\",\"sandbox_id\":\"sb-1\"" context ",\"state\":\"ready\"," \
	"\"readiness_state\":\"ready\",\"created_at\":" AT(created) ",\"updated_at\":" AT(      \
	    updated) "}]"

static const struct runtime_row runtimes[] = {
    {"idle", true, NULL, NULL, 0, 0, NULL, IDLE, ""},
    {"active", true, "sb-1", "ctx-1", 2000000, 1000000, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\",\"runtime_context_id\":\"ctx-1\","
     "\"runtime_updated_at\":" AT("2") INSTANCE(",\"context_id\":\"ctx-1\"", "1", "2")},
    {"active without a context", true, "sb-1", NULL, 2000000, 1000000, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\",\"runtime_updated_at\":" AT("2") INSTANCE("", "1", "2")},
    {"a blank context is none", true, "sb-1", " ", 2000000, 1000000, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\",\"runtime_updated_at\":" AT("2") INSTANCE("", "1", "2")},
    {"mapped by another program", true, "sb-1", NULL, 2000000, 0, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\",\"runtime_updated_at\":" AT("2") INSTANCE("", "2", "2")},
    {"never updated", true, "sb-1", NULL, 0, 1000000, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\"" INSTANCE("", "1", "1")},
    {"since nobody knows when", true, "sb-1", NULL, 0, 0, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\""},
    {"a blank sandbox is none", true, " ", "", 1000000, 1000000, NULL, IDLE,
     ",\"runtime_updated_at\":" AT("1")},
    {"disabled", false, NULL, NULL, 0, 0, NULL, DISABLED, ""},
    {"disabled, still mapped", false, "sb-1", "ctx-1", 2000000, 1000000, NULL, DISABLED,
     ",\"runtime_sandbox_id\":\"sb-1\",\"runtime_context_id\":\"ctx-1\","
     "\"runtime_updated_at\":" AT("2")},
    {"escapes", true, "s\"b", "c\\x", 0, 0, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"s\\\"b\",\"runtime_context_id\":\"c\\\\x\""},
    {"escapes in an instance", true, "s\"b", "c\\x", 0, 1000000, NULL, ACTIVE,
     ",\"runtime_sandbox_id\":\"s\\\"b\",\"runtime_context_id\":\"c\\\\x\","
     "\"instances\":[{\"id\":\"0842e959-134f-32f7-f444-59f017674680\",\"team_id\":\"" T3
     "\",\"function_id\":\"" T1 "\",\"revision_id\":\"" T2 "\",\"sandbox_id\":\"s\\\"b\","
     "\"context_id\":\"c\\\\x\",\"state\":\"ready\",\"readiness_state\":\"ready\",\"created_"
     "at\":" AT("1") ",\"updated_at\":" AT("1") "}]"},
    {"events as they are", true, NULL, NULL, 0, 0, "[{\"phase\": \"idle\"}, {\"n\": 1}]", IDLE,
     ",\"recent_events\":[{\"phase\": \"idle\"}, {\"n\": 1}]"},
    {"instances and events", true, "sb-1", NULL, 0, 1000000, "[]", ACTIVE,
     ",\"runtime_sandbox_id\":\"sb-1\"" INSTANCE("", "1", "1") ",\"recent_events\":[]"},
    {"events of a disabled one", false, "sb-1", NULL, 0, 1000000, "[{}]", DISABLED,
     ",\"runtime_sandbox_id\":\"sb-1\",\"recent_events\":[{}]"},
};

static struct store_runtime runtime_of(const struct runtime_row *row)
{
	return (struct store_runtime){.function_id = U(0x11),
	                              .revision_id = U(0x22),
	                              .team_id = U(0x33),
	                              .revision_number = 7,
	                              .enabled = row->enabled,
	                              .sandbox_id = row->sandbox_id,
	                              .context_id = row->context_id,
	                              .runtime_updated_at_us = row->updated_at_us,
	                              .mapped_at_us = row->mapped_at_us,
	                              .recent_events = row->recent_events,
	                              .autoscaling = {"1", "2", "3", "40"}};
}

static void test_runtimes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(runtimes); i++) {
		const struct runtime_row *row = &runtimes[i];
		const struct store_runtime runtime = runtime_of(row);
		char want[2048];
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

/* ---- revisions ---- */

static const struct revision_row {
	const char *name;
	struct store_revision revision;
	const char *want;
} revisions[] = {
    {"everything",
     {.id = U(0x11),
      .function_id = U(0x22),
      .team_id = U(0x33),
      .revision_number = 12,
      .source_type = "sandbox_service",
      .source_sandbox_id = "sb \"1\"",
      .source_service_id = "web",
      .source_template_id = "tpl\\1",
      .restore_mounts = "[{\"mount_point\": \"/data\"}]",
      .service_snapshot = "{\"id\": \"web\"}",
      .revision_spec = "{\"template_id\": \"tpl\"}",
      .provenance = "{\"commit\": \"abc\"}",
      .runtime_sandbox_id = "sb-2",
      .runtime_context_id = "ctx-2",
      .runtime_updated_at_us = 2000000,
      .created_by = U(0x44),
      .created_at_us = 1000000},
     "{\"id\":\"" T1 "\",\"function_id\":\"" T2 "\",\"team_id\":\"" T3
     "\",\"revision_number\":12,\"source_type\":\"sandbox_service\","
     "\"source_sandbox_id\":\"sb \\\"1\\\"\",\"source_service_id\":\"web\","
     "\"source_template_id\":\"tpl\\\\1\",\"restore_mounts\":[{\"mount_point\": \"/data\"}],"
     "\"service_snapshot\":{\"id\": \"web\"},\"revision_spec\":{\"template_id\": \"tpl\"},"
     "\"provenance\":{\"commit\": \"abc\"},\"runtime_sandbox_id\":\"sb-2\","
     "\"runtime_context_id\":\"ctx-2\",\"runtime_updated_at\":" AT(
         "2") ",\"created_by\":\"" T4 "\",\"created_at\":" AT("1") "}"},
    {"what is absent is left out, an empty source is said",
     {.id = U(0x11),
      .function_id = U(0x22),
      .team_id = U(0x33),
      .revision_number = 1,
      .source_type = "revision_spec",
      .source_sandbox_id = "",
      .source_service_id = "",
      .source_template_id = "",
      .created_at_us = 1000000},
     "{\"id\":\"" T1 "\",\"function_id\":\"" T2 "\",\"team_id\":\"" T3
     "\",\"revision_number\":1,\"source_type\":\"revision_spec\",\"source_sandbox_id\":\"\","
     "\"source_service_id\":\"\",\"source_template_id\":\"\",\"created_at\":" AT("1") "}"},
    {"what is blank is absent",
     {.id = U(0x11),
      .function_id = U(0x22),
      .team_id = U(0x33),
      .revision_number = INT32_MAX,
      .source_type = "artifact",
      .source_sandbox_id = " ",
      .source_service_id = "s",
      .source_template_id = "t",
      .service_snapshot = "{}",
      .runtime_sandbox_id = "",
      .runtime_context_id = " ",
      .created_at_us = 1000000},
     "{\"id\":\"" T1 "\",\"function_id\":\"" T2 "\",\"team_id\":\"" T3
     "\",\"revision_number\":2147483647,\"source_type\":\"artifact\",\"source_sandbox_id\":\" \","
     "\"source_service_id\":\"s\",\"source_template_id\":\"t\",\"service_snapshot\":{},"
     "\"created_at\":" AT("1") "}"},
};

static void test_revisions(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(revisions); i++) {
		AUTO(buf_done) struct buf out;
		buf_init(&out, 4096);
		function_json_revision(&out, &revisions[i].revision);
		check(revisions[i].name, &out, revisions[i].want);
	}
}

/* ---- aliases ---- */

static const struct alias_row {
	const char *name;
	struct store_alias alias;
	const char *want;
} aliases[] = {
    {"everything",
     {.function_id = U(0x11),
      .alias = "production",
      .revision_id = U(0x22),
      .revision_number = 3,
      .updated_by = U(0x33),
      .updated_at_us = 1000000},
     "{\"function_id\":\"" T1 "\",\"alias\":\"production\",\"revision_id\":\"" T2
     "\",\"revision_number\":3,\"updated_by\":\"" T3 "\",\"updated_at\":" AT("1") "}"},
    {"by nobody",
     {.function_id = U(0x11),
      .alias = "a\"b",
      .revision_id = U(0x22),
      .revision_number = 1,
      .updated_at_us = 2000000},
     "{\"function_id\":\"" T1 "\",\"alias\":\"a\\\"b\",\"revision_id\":\"" T2
     "\",\"revision_number\":1,\"updated_at\":" AT("2") "}"},
};

static void test_aliases(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(aliases); i++) {
		AUTO(buf_done) struct buf out;
		buf_init(&out, 1024);
		function_json_alias(&out, &aliases[i].alias);
		check(aliases[i].name, &out, aliases[i].want);
	}
}

/* ---- what is still to be removed ---- */

#define COUNTS(released, doomed, deleting, dead, refused)                                 \
	",\"counts\":{\"released\":" released ",\"doomed\":" doomed ",\"deleting\":" deleting \
	",\"dead\":" dead ",\"refused\":" refused "},\"resources\":["

static const struct cleanup_row {
	const char *name;
	struct store_cleanup cleanup;
	const char *want; /* without the resources and the end */
} cleanups[] = {
    {"nothing is left",
     {.function_id = U(0x11), .deleted_at_us = 1000000},
     "{\"function_id\":\"" T1 "\",\"deleted\":true,\"deleted_at\":" AT("1") ",\"done\":true" COUNTS(
         "0", "0", "0", "0", "0")},
    {"nothing was released",
     {.function_id = U(0x11)},
     "{\"function_id\":\"" T1 "\",\"deleted\":false,\"done\":true" COUNTS("0", "0", "0", "0", "0")},
    {"every state",
     {.function_id = U(0x11), .released = 1, .doomed = 2, .deleting = 3, .dead = 4, .refused = 5},
     "{\"function_id\":\"" T1
     "\",\"deleted\":false,\"done\":false" COUNTS("1", "2", "3", "4", "5")},
    {"one released",
     {.function_id = U(0x11), .released = 1},
     "{\"function_id\":\"" T1
     "\",\"deleted\":false,\"done\":false" COUNTS("1", "0", "0", "0", "0")},
    {"one doomed",
     {.function_id = U(0x11), .doomed = 1},
     "{\"function_id\":\"" T1
     "\",\"deleted\":false,\"done\":false" COUNTS("0", "1", "0", "0", "0")},
    {"one on its way",
     {.function_id = U(0x11), .deleting = 1},
     "{\"function_id\":\"" T1
     "\",\"deleted\":false,\"done\":false" COUNTS("0", "0", "1", "0", "0")},
    {"one dead",
     {.function_id = U(0x11), .dead = 1},
     "{\"function_id\":\"" T1
     "\",\"deleted\":false,\"done\":false" COUNTS("0", "0", "0", "1", "0")},
    {"one refused",
     {.function_id = U(0x11), .refused = 1},
     "{\"function_id\":\"" T1
     "\",\"deleted\":false,\"done\":false" COUNTS("0", "0", "0", "0", "1")},
};

static const struct resource_row {
	const char *name;
	struct store_cleanup resource;
	const char *want;
} resources[] = {
    {"everything",
     {.kind = "volume",
      .resource_id = "vol \"1\"",
      .revision_id = U(0x22),
      .state = "dead",
      .release_reason = "function deleted",
      .attempts = 12,
      .last_status = 409,
      .error_class = "conflict",
      .last_error = "volume has\nactive mounts",
      .released_at_us = 1000000,
      .doomed_at_us = 2000000,
      .next_attempt_at_us = 3000000},
     "{\"kind\":\"volume\",\"id\":\"vol \\\"1\\\"\",\"revision_id\":\"" T2
     "\",\"state\":\"dead\",\"reason\":\"function deleted\",\"attempts\":12,\"last_status\":409,"
     "\"error_class\":\"conflict\",\"last_error\":\"volume has\\u000aactive mounts\","
     "\"released_at\":" AT("1") ",\"doomed_at\":" AT("2") ",\"next_attempt_at\":" AT("3") "}"},
    {"what is absent is left out",
     {.kind = "sandbox", .resource_id = "sb-1", .revision_id = U(0x22), .state = "released"},
     "{\"kind\":\"sandbox\",\"id\":\"sb-1\",\"revision_id\":\"" T2
     "\",\"state\":\"released\",\"attempts\":0}"},
    {"what is blank is absent, and so is no status",
     {.kind = "snapshot",
      .resource_id = "snap-1",
      .revision_id = U(0x22),
      .state = "doomed",
      .release_reason = "",
      .attempts = 1,
      .last_status = -1,
      .error_class = " ",
      .last_error = "",
      .doomed_at_us = 1000000},
     "{\"kind\":\"snapshot\",\"id\":\"snap-1\",\"revision_id\":\"" T2
     "\",\"state\":\"doomed\",\"attempts\":1,\"doomed_at\":" AT("1") "}"},
};

static void test_resources(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(resources); i++) {
		AUTO(buf_done) struct buf out;
		buf_init(&out, 1024);
		function_json_resource(&out, &resources[i].resource);
		check(resources[i].name, &out, resources[i].want);
	}
}

/* With none and with two resources, as the caller puts it together. */
static void test_cleanups(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cleanups) * 2; i++) {
		const struct cleanup_row *row = &cleanups[i / 2];
		char want[2048];
		AUTO(buf_done) struct buf out;
		buf_init(&out, 2048);
		function_json_cleanup(&out, &row->cleanup);
		if (i % 2) {
			function_json_resource(&out, &resources[0].resource);
			(void)buf_char(&out, ',');
			function_json_resource(&out, &resources[1].resource);
		}
		(void)buf_str(&out, "]}");
		(void)snprintf(want, sizeof(want), "%s%s%s%s]}", row->want, i % 2 ? resources[0].want : "",
		               i % 2 ? "," : "", i % 2 ? resources[1].want : "");
		check(row->name, &out, want);
	}
}

/* ---- bounds ---- */

static void put_function(struct buf *out)
{
	function_json(out, &functions[0].function, functions[0].suffix);
}

static void put_runtime(struct buf *out)
{
	const struct store_runtime runtime = runtime_of(&runtimes[1]);
	function_json_runtime(out, &runtime);
}

static void put_revision(struct buf *out)
{
	function_json_revision(out, &revisions[0].revision);
}

static void put_alias(struct buf *out)
{
	function_json_alias(out, &aliases[0].alias);
}

static void put_cleanup(struct buf *out)
{
	function_json_cleanup(out, &cleanups[0].cleanup);
}

static void put_resource(struct buf *out)
{
	function_json_resource(out, &resources[0].resource);
}

/* A buffer that is too small says so and holds no more than it may. */
static void test_bounds(void **state)
{
	(void)state;
	static void (*const puts[])(struct buf * out) = {put_function, put_runtime, put_revision,
	                                                 put_alias,    put_cleanup, put_resource};
	for (size_t i = 0; i < N_OF(puts); i++) {
		size_t len = SIZE_MAX;
		for (size_t max = 0; max < len; max++) {
			AUTO(buf_done) struct buf out;
			buf_init(&out, max);
			puts[i](&out);
			assert_true(out.len <= max);
			if (!out.failed)
				len = out.len;
		}
		assert_in_range(len, 100, 1000);
		AUTO(buf_done) struct buf out;
		buf_init(&out, len);
		puts[i](&out);
		assert_false(out.failed);
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
	    cmocka_unit_test(test_revisions), cmocka_unit_test(test_aliases),
	    cmocka_unit_test(test_resources), cmocka_unit_test(test_cleanups),
	    cmocka_unit_test(test_bounds),    cmocka_unit_test(test_suffix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
