/* What is no page, no volume, no sandbox and nothing made, and that nothing comes of it:
 * platform/inventory.c. */
#include "platform/inventory.h"

#include "inventory_fixture.h"
#include "scarce.h"

/* ---- refusals ---- */

static const struct {
	const char *name;
	enum reader reader;
	const char *body, *want; /* a part of the reason */
} refused[] = {
    {"nothing", SANDBOXES, "", ""},
    {"a page of something in between", SANDBOXES, "<html>Please log in</html>", "line 1"},
    {"half a page", SANDBOXES, "{\"success\":true,\"data\":{\"sandboxes\":[" ROW ",", "line 1"},
    {"two texts", SANDBOXES, ROWS("") ROWS(""), "end of file"},
    {"no UTF-8", SANDBOXES, ROWS(ROW_ID("\"\xff\"")), "0xff"},
    {"a NUL in an id", SANDBOXES, ROWS(ROW_ID("\"a\\u0000b\"")), ""},
    {"a word", SANDBOXES, "true", "envelope"},
    {"an array", SANDBOXES, "[]", "envelope"},
    {"no success", SANDBOXES, "{\"data\":{\"sandboxes\":[],\"count\":0,\"has_more\":false}}",
     "envelope"},
    {"success false", SANDBOXES,
     "{\"success\":false,\"data\":{\"sandboxes\":[],\"count\":0,\"has_more\":false}}", "envelope"},
    {"success a text", SANDBOXES, "{\"success\":\"true\",\"data\":{}}", "envelope"},
    {"success twice", SANDBOXES, "{\"success\":false,\"success\":true,\"data\":{}}", "duplicate"},
    {"an error", SANDBOXES,
     "{\"success\":false,\"error\":{\"code\":\"internal_error\",\"message\":\"m\"}}", "envelope"},
    {"no data", SANDBOXES, "{\"success\":true}", "object"},
    {"data null", SANDBOXES, DATA("null"), "object"},
    {"data an array", SANDBOXES, DATA("[]"), "object"},
    {"data a text", SANDBOXES, DATA("\"\""), "object"},
    {"no rows", SANDBOXES, DATA("{\"count\":0,\"has_more\":false}"), "sandboxes is missing"},
    {"rows null", SANDBOXES, DATA("{\"sandboxes\":null,\"count\":0,\"has_more\":false}"),
     "sandboxes is missing"},
    {"rows an object", SANDBOXES, DATA("{\"sandboxes\":{},\"count\":0,\"has_more\":false}"),
     "sandboxes must be an array"},
    {"rows twice", SANDBOXES,
     DATA("{\"sandboxes\":[],\"sandboxes\":[],\"count\":0,\"has_more\":false}"), "duplicate"},
    {"no count", SANDBOXES, PAGE_OF("", "\"has_more\":false"), "count is missing"},
    {"count null", SANDBOXES, PAGE_OF("", "\"count\":null,\"has_more\":false"), "count is missing"},
    {"count below 0", SANDBOXES, PAGE_OF("", "\"count\":-1,\"has_more\":false"), "count must"},
    {"count a fraction", SANDBOXES, PAGE_OF("", "\"count\":1.0,\"has_more\":false"), "count must"},
    {"count a text", SANDBOXES, PAGE_OF("", "\"count\":\"1\",\"has_more\":false"), "count must"},
    {"count past 64 bits", SANDBOXES,
     PAGE_OF("", "\"count\":9223372036854775808,\"has_more\":false"), ""},
    {"no has_more", SANDBOXES, PAGE_OF("", "\"count\":0"), "has_more is missing"},
    {"has_more null", SANDBOXES, PAGE_OF("", "\"count\":0,\"has_more\":null"),
     "has_more is missing"},
    {"has_more a number", SANDBOXES, PAGE_OF("", "\"count\":0,\"has_more\":0"), "has_more must"},

    {"a row that is null", SANDBOXES, ROWS("null"), "sandbox 0: a JSON object"},
    {"a row that is a text", SANDBOXES, ROWS("\"sb-1\""), "sandbox 0: a JSON object"},
    {"the second row", SANDBOXES, ROWS(ROW ",[]," ROW), "sandbox 1: a JSON object"},
    {"no id", SANDBOXES, ROWS("{\"template_id\":\"py\",\"status\":\"s\"," TIME "}"),
     "sandbox 0: id is missing"},
    {"id null", SANDBOXES, ROWS(ROW_ID("null")), "id is missing"},
    {"id empty", SANDBOXES, ROWS(ROW_ID("\"\"")), "id must have 1 to 256 bytes"},
    {"id a number", SANDBOXES, ROWS(ROW_ID("1")), "id must be a string"},
    {"id with a line end", SANDBOXES, ROWS(ROW_ID("\"a\\n\"")), "id holds a control character"},
    {"id with DEL", SANDBOXES, ROWS(ROW_ID("\"\\u007f\"")), "id holds a control character"},
    {"id with U+0080", SANDBOXES, ROWS(ROW_ID("\"a\\u0080\"")), "id holds a control character"},
    {"id with U+009F", SANDBOXES, ROWS(ROW_ID("\"\xc2\x9f\"")), "id holds a control character"},
    {"no template", SANDBOXES, ROWS("{\"id\":\"a\",\"status\":\"s\"," TIME "}"),
     "template_id is missing"},
    {"template null", SANDBOXES, ROWS(ROW_TEMPLATE("null")), "template_id is missing"},
    {"template a list", SANDBOXES, ROWS(ROW_TEMPLATE("[]")), "template_id must be a string"},
    {"template with a tab", SANDBOXES, ROWS(ROW_TEMPLATE("\"\\t\"")), "template_id holds"},
    {"no status", SANDBOXES, ROWS("{\"id\":\"a\",\"template_id\":\"py\"," TIME "}"),
     "status is missing"},
    {"status a bool", SANDBOXES, ROWS(ROW_STATUS("true")), "status must be a string"},
    {"status with ESC", SANDBOXES, ROWS(ROW_STATUS("\"\\u001b[2J\"")), "status holds"},
    {"cluster a number", SANDBOXES, ROWS(ROW_CLUSTER("7")), "cluster_id must be a string"},
    {"cluster with BEL", SANDBOXES, ROWS(ROW_CLUSTER("\"\\u0007\"")), "cluster_id holds"},
    {"no time", SANDBOXES, ROWS("{\"id\":\"a\",\"template_id\":\"py\",\"status\":\"s\"}"),
     "created_at is missing"},
    {"time null", SANDBOXES, ROWS(ROW_AT("null")), "created_at is missing"},
    {"time a number", SANDBOXES, ROWS(ROW_AT("1767323045")), "created_at must be a string"},
    {"time empty", SANDBOXES, ROWS(ROW_AT("\"\"")), "created_at must have"},
    {"time a word", SANDBOXES, ROWS(ROW_AT("\"yesterday\"")), "created_at is no date-time"},
    {"time without a zone", SANDBOXES, ROWS(ROW_AT("\"2026-01-02T03:04:05\"")), "no date-time"},
    {"the 30th of February", SANDBOXES, ROWS(ROW_AT("\"2026-02-30T00:00:00Z\"")), "no date-time"},
    {"Go's zero time", SANDBOXES, ROWS(ROW_AT("\"0001-01-01T00:00:00Z\"")), "is not set"},
    {"Go's zero time, another zone", SANDBOXES, ROWS(ROW_AT("\"0001-01-01T08:00:00+08:00\"")),
     "is not set"},
    {"the epoch", SANDBOXES, ROWS(ROW_AT("\"1970-01-01T00:00:00Z\"")), "is not set"},
    {"before the epoch", SANDBOXES, ROWS(ROW_AT("\"1969-12-31T23:59:59.999999Z\"")), "is not set"},

    {"volumes: no data", VOLUMES, "{\"success\":true}", "neither"},
    {"volumes: an object", VOLUMES, DATA("{\"volumes\":[]}"), "neither"},
    {"volumes: false", VOLUMES, DATA("false"), "neither"},
    {"volumes: no success", VOLUMES, "{\"data\":[]}", "envelope"},
    {"volumes: a bare array", VOLUMES, "[]", "envelope"},
    {"volumes: half", VOLUMES, "{\"success\":true,\"data\":[" VOL(""), "line 1"},
    {"volumes: a row that is null", VOLUMES, VOLS("null"), "volume 0: a JSON object"},
    {"volumes: the third", VOLUMES, VOLS(VOL("") "," VOL("") ",{}"), "volume 2: id is missing"},
    {"volumes: id empty", VOLUMES, VOLS("{\"id\":\"\"," TIME "}"), "id must have"},
    {"volumes: no time", VOLUMES, VOLS("{\"id\":\"v\"}"), "created_at is missing"},
    {"volumes: no time but another", VOLUMES,
     VOLS("{\"id\":\"v\",\"updated_at\":\"2026-01-02T03:04:05Z\"}"), "created_at is missing"},
    {"volumes: zero time", VOLUMES, VOLS("{\"id\":\"v\",\"created_at\":\"0001-01-01T00:00:00Z\"}"),
     "is not set"},
    {"volumes: source a number", VOLUMES, VOLS(VOL(",\"source_volume_id\":1")),
     "source_volume_id must be a string"},
    {"volumes: source with a CR", VOLUMES, VOLS(VOL(",\"source_volume_id\":\"a\\r\"")),
     "source_volume_id holds"},
    {"volumes: user a number", VOLUMES, VOLS(VOL(",\"user_id\":7")), "user_id must be a string"},
    {"volumes: user with a tab", VOLUMES, VOLS(VOL(",\"user_id\":\"\\t\"")), "user_id holds"},

    {"volume: nothing", VOLUME, "", ""},
    {"volume: an error", VOLUME, "{\"success\":false,\"error\":{}}", "envelope"},
    {"volume: data null", VOLUME, DATA("null"), "object"},
    {"volume: a list", VOLUME, VOLS(VOL("")), "object"},
    {"volume: no id", VOLUME, DATA("{\"team_id\":\"t\"," TIME "}"), "id is missing"},
    {"volume: no team", VOLUME, DATA(VOL("")), "team_id is missing"},
    {"volume: an empty team", VOLUME, DATA(VOL(",\"team_id\":\"\"")), "team_id must have"},
    {"volume: no time", VOLUME, DATA("{\"id\":\"v\",\"team_id\":\"t\"}"), "created_at is missing"},
    {"volume: zero time", VOLUME,
     DATA("{\"id\":\"v\",\"team_id\":\"t\",\"created_at\":\"0001-01-01T00:00:00Z\"}"),
     "is not set"},
    {"volume: user a number", VOLUME, DATA(VOL(",\"team_id\":\"t\",\"user_id\":7")),
     "user_id must be a string"},
    {"volume: user with a tab", VOLUME, DATA(VOL(",\"team_id\":\"t\",\"user_id\":\"\\t\"")),
     "user_id holds"},

    {"whole: nothing", SANDBOX, "", ""},
    {"whole: an error", SANDBOX, "{\"success\":false,\"error\":{}}", "envelope"},
    {"whole: no data", SANDBOX, "{\"success\":true}", "object"},
    {"whole: data null", SANDBOX, DATA("null"), "object"},
    {"whole: a list", SANDBOX, ROWS(ROW), "id is missing"},
    {"whole: no team", SANDBOX, DATA(ROW), "team_id is missing"},
    {"whole: no id", SANDBOX, DATA("{\"team_id\":\"t\"}"), "id is missing"},
    {"whole: an empty team", SANDBOX, DATA("{\"id\":\"a\",\"team_id\":\"\"}"), "team_id must have"},
    {"whole: no template", SANDBOX, DATA("{\"id\":\"a\",\"team_id\":\"t\"}"),
     "template_id is missing"},
    {"whole: no time", SANDBOX,
     DATA("{\"id\":\"a\",\"team_id\":\"t\",\"template_id\":\"p\",\"status\":\"s\"}"),
     "created_at is missing"},
    {"whole: zero time", SANDBOX,
     DATA("{\"id\":\"a\",\"team_id\":\"t\",\"template_id\":\"p\",\"status\":\"s\","
          "\"created_at\":\"0001-01-01T00:00:00Z\"}"),
     "is not set"},
    {"whole: team with a line end", SANDBOX,
     DATA("{\"id\":\"a\",\"team_id\":\"t\\n\",\"template_id\":\"p\",\"status\":\"s\"," TIME "}"),
     "team_id holds"},
    {"whole: services an object", SANDBOX, FULL(",\"services\":{}"), "services must be an array"},
    {"whole: a service that is null", SANDBOX, FULL(",\"services\":[null]"), "service 0: a JSON"},
    {"whole: the second service", SANDBOX, FULL(",\"services\":[{},1]"), "service 1: a JSON"},
    {"whole: runtime a text", SANDBOX, FULL(",\"services\":[{\"runtime\":\"cmd\"}]"),
     "service 0: runtime must be an object"},
    {"whole: environment a list", SANDBOX, FULL(ENV("[\"SANDSWEEP_RUNTIME=a\"]")),
     "env_vars must be an object"},
    {"whole: marker a number", SANDBOX, FULL(ENV("{\"SANDSWEEP_RUNTIME\":1}")),
     "service 0: SANDSWEEP_RUNTIME must be a string"},
    {"whole: marker null", SANDBOX, FULL(ENV("{\"SANDSWEEP_RUNTIME\":null}")),
     "SANDSWEEP_RUNTIME must be a string"},
    {"whole: marker twice", SANDBOX,
     FULL(ENV("{\"SANDSWEEP_RUNTIME\":\"a\",\"SANDSWEEP_RUNTIME\":\"b\"}")), "duplicate"},
    {"whole: two markers", SANDBOX, FULL(",\"services\":[" MARK("a") "," MARK("b") "]"),
     "two different values"},
    {"whole: mounts an object", SANDBOX, FULL(",\"mounts\":{}"), "mounts must be an array"},
    {"whole: a mount that is a text", SANDBOX, FULL(",\"mounts\":[\"v\"]"), "mount 0: a JSON"},
    {"whole: a mount without a volume", SANDBOX, FULL(",\"mounts\":[{\"mount_point\":\"/a\"}]"),
     "mount 0: sandboxvolume_id is missing"},
    {"whole: the second mount", SANDBOX,
     FULL(",\"mounts\":[" MOUNT("v", "/a") "," MOUNT("", "/b") "]"),
     "mount 1: sandboxvolume_id must have"},
    {"whole: a mount with a control", SANDBOX, FULL(",\"mounts\":[" MOUNT("\\u0001", "/a") "]"),
     "sandboxvolume_id holds"},
    {"whole: a mount without a point", SANDBOX, FULL(",\"mounts\":[{\"sandboxvolume_id\":\"v\"}]"),
     "mount 0: mount_point is missing"},
    {"whole: a point that is null", SANDBOX,
     FULL(",\"mounts\":[{\"sandboxvolume_id\":\"v\",\"mount_point\":null}]"),
     "mount_point is missing"},
    {"whole: a point that is a number", SANDBOX,
     FULL(",\"mounts\":[{\"sandboxvolume_id\":\"v\",\"mount_point\":1}]"),
     "mount_point must be a string"},
    {"whole: an empty point", SANDBOX, FULL(",\"mounts\":[" MOUNT("v", "") "]"),
     "mount_point must have 1 to 1024 bytes"},
    {"whole: a point with a line end", SANDBOX, FULL(",\"mounts\":[" MOUNT("v", "/a\\n") "]"),
     "mount_point holds"},

    {"made: nothing", MADE, "", ""},
    {"made: an error", MADE,
     "{\"success\":false,\"error\":{\"code\":\"conflict\",\"message\":\"m\"}}", "envelope"},
    {"made: no success", MADE, "{\"data\":{\"id\":\"m\"}}", "envelope"},
    {"made: no data", MADE, "{\"success\":true}", "object"},
    {"made: data null", MADE, DATA("null"), "object"},
    {"made: a list", MADE, VOLS(VOL("")), "object"},
    {"made: an id without data", MADE, "{\"success\":true,\"id\":\"m\"}", "object"},
    {"made: no id", MADE, DATA("{\"user_id\":\"u\"}"), "id is missing"},
    {"made: id null", MADE, DATA("{\"id\":null}"), "id is missing"},
    {"made: id empty", MADE, DATA("{\"id\":\"\"}"), "id must have 1 to 256 bytes"},
    {"made: id a number", MADE, DATA("{\"id\":1}"), "id must be a string"},
    {"made: id twice", MADE, DATA("{\"id\":\"a\",\"id\":\"b\"}"), "duplicate"},
    {"made: id with a line end", MADE, DATA("{\"id\":\"a\\n\"}"), "id holds a control character"},
    {"made: user a number", MADE, DATA("{\"id\":\"m\",\"user_id\":7}"), "user_id must be a string"},
    {"made: user with U+0085", MADE, DATA("{\"id\":\"m\",\"user_id\":\"\\u0085\"}"),
     "user_id holds a control character"},
};

/* A failure says so, and leaves the result alone. */
static void assert_refused(const char *name, enum reader reader, const char *body, const char *want)
{
	union got got, before;
	struct err err = {0};
	memset(&got, 0x5a, sizeof(got));
	memcpy(&before, &got, sizeof(got));
	int rc = read_bytes(reader, body, strlen(body), &got, &err);
	if (rc != -1 || err.kind != ERR_REJECT || strcmp(err.code, "malformed") != 0 || !*err.text ||
	    !strstr(err.text, want))
		fail_msg("%s: %d, %s \"%s\" \"%s\"", name, rc, err_kind_name(err.kind), err.code, err.text);
	assert_memory_equal(&got, &before, sizeof(got));
	assert_int_equal(read_bytes(reader, body, strlen(body), &got, NULL), -1);
}

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(refused); i++)
		assert_refused(refused[i].name, refused[i].reader, refused[i].body, refused[i].want);
	union got got;
	assert_int_equal(inventory_sandboxes(NULL, 0, &got.page, NULL), -1);
	assert_int_equal(inventory_volumes(NULL, 0, &got.page, NULL), -1);
	assert_int_equal(inventory_sandbox(NULL, 0, &got.sandbox, NULL), -1);
	assert_int_equal(inventory_volume(NULL, 0, &got.volume, NULL), -1);
	assert_int_equal(inventory_made(NULL, 0, &got.made, NULL), -1);
}

/* ---- at the maximum and one past it ---- */

#define PAGE_HEAD "{\"success\":true,\"data\":{\"sandboxes\":["
#define PAGE_TAIL "],\"count\":1000,\"has_more\":true}}"
#define MOUNT_HEAD                                                                      \
	"{\"success\":true,\"data\":{\"id\":\"a\",\"team_id\":\"t\",\"template_id\":\"p\"," \
	"\"status\":\"s\"," TIME ",\"mounts\":["

static const struct {
	const char *name;
	enum reader reader;
	const char *head, *row, *tail;
	size_t most; /* SIZE_MAX: without a bound */
} bounds[] = {
    {"rows of a page", SANDBOXES, PAGE_HEAD, ROW, PAGE_TAIL, INVENTORY_PAGE_MAX},
    {"volumes", VOLUMES, "{\"success\":true,\"data\":[", VOL(""), "]}", SIZE_MAX},
    {"mounts", SANDBOX, MOUNT_HEAD, MOUNT("v", "/a"), "]}}", INVENTORY_MOUNTS_MAX},
};

static void test_bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(bounds); i++) {
		bool bound = bounds[i].most != SIZE_MAX;
		size_t most = bound ? bounds[i].most : 5000;
		for (size_t count = most - 1; count <= most + bound; count++) {
			union got got;
			char *body = rows_text(bounds[i].head, bounds[i].row, count, bounds[i].tail);
			if (count > most) {
				assert_refused(bounds[i].name, bounds[i].reader, body, "more than");
			} else {
				must_read(bounds[i].reader, body, &got);
				bool whole = bounds[i].reader == SANDBOX;
				assert_int_equal(whole ? got.sandbox.mount_count : got.page.count, count);
				drop(bounds[i].reader, &got);
			}
			free(body);
		}
	}
}

/* Every text at its longest and one past it. */
static const struct {
	enum reader reader;
	size_t max;
	const char *head, *tail;
} texts[] = {
    {SANDBOXES, 256, PAGE_HEAD "{\"id\":\"",
     "\",\"template_id\":\"p\",\"status\":\"s\"," TIME "}" PAGE_TAIL},
    {SANDBOXES, 256, PAGE_HEAD "{\"id\":\"a\",\"template_id\":\"",
     "\",\"status\":\"s\"," TIME "}" PAGE_TAIL},
    {SANDBOXES, 256, PAGE_HEAD "{\"id\":\"a\",\"template_id\":\"p\",\"status\":\"",
     "\"," TIME "}" PAGE_TAIL},
    {SANDBOXES, 256,
     PAGE_HEAD "{\"id\":\"a\",\"template_id\":\"p\",\"status\":\"s\",\"cluster_id\":\"",
     "\"," TIME "}" PAGE_TAIL},
    {VOLUMES, 256, "{\"success\":true,\"data\":[{\"id\":\"", "\"," TIME "}]}"},
    {VOLUMES, 256, "{\"success\":true,\"data\":[{\"id\":\"v\",\"source_volume_id\":\"",
     "\"," TIME "}]}"},
    {SANDBOX, 256, "{\"success\":true,\"data\":{\"id\":\"",
     "\",\"team_id\":\"t\",\"template_id\":\"p\",\"status\":\"s\"," TIME "}}"},
    {SANDBOX, 256, "{\"success\":true,\"data\":{\"id\":\"a\",\"team_id\":\"",
     "\",\"template_id\":\"p\",\"status\":\"s\"," TIME "}}"},
    {SANDBOX, 256, MOUNT_HEAD "{\"mount_point\":\"/a\",\"sandboxvolume_id\":\"", "\"}]}}"},
    {SANDBOX, 1024, MOUNT_HEAD "{\"sandboxvolume_id\":\"v\",\"mount_point\":\"", "\"}]}}"},
    {VOLUMES, 256, "{\"success\":true,\"data\":[{\"id\":\"v\",\"user_id\":\"", "\"," TIME "}]}"},
    {VOLUME, 256, "{\"success\":true,\"data\":{\"id\":\"", "\",\"team_id\":\"t\"," TIME "}}"},
    {VOLUME, 256, "{\"success\":true,\"data\":{\"id\":\"v\",\"team_id\":\"", "\"," TIME "}}"},
    {VOLUME, 256, "{\"success\":true,\"data\":{\"id\":\"v\",\"team_id\":\"t\",\"user_id\":\"",
     "\"," TIME "}}"},
    {MADE, 256, "{\"success\":true,\"data\":{\"id\":\"", "\"}}"},
    {MADE, 256, "{\"success\":true,\"data\":{\"id\":\"m\",\"user_id\":\"", "\"}}"},
};

static void test_long_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(texts); i++) {
		size_t max = texts[i].max;
		for (size_t len = max - 1; len <= max + 1; len++) {
			union got got;
			char text[1100], want[32];
			(void)snprintf(want, sizeof(want), "%zu bytes", max);
			memset(text, 'x', len);
			text[len] = '\0';
			char *body = rows_text(texts[i].head, text, 1, texts[i].tail);
			if (len > max) {
				assert_refused(texts[i].head, texts[i].reader, body, want);
			} else {
				must_read(texts[i].reader, body, &got);
				drop(texts[i].reader, &got);
			}
			free(body);
		}
	}
}

/* ---- any reader ---- */

static const struct {
	enum reader reader;
	const char *body;
} good[] = {
    {SANDBOXES, PAGE_OF(ROW_CLUSTER("\"eu\"") "," ROW, "\"count\":2,\"has_more\":true")},
    {VOLUMES, VOLS(VOL(",\"source_volume_id\":\"v-0\"") "," VOL(""))},
    {SANDBOX, FULL(",\"services\":[" MARK("a") "],\"mounts\":[" MOUNT("v-1", "/a") "]")},
    {VOLUME, DATA(VOL(",\"team_id\":\"t-1\",\"user_id\":\"u-1\""))},
    {MADE,
     DATA("{\"id\":\"m-1\",\"team_id\":\"t-1\",\"user_id\":\"u-1\",\"access_mode\":\"RWO\"," TIME
          "}")},
};

static void test_every_beginning_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(good); i++)
		for (size_t len = 0; len < strlen(good[i].body); len++) {
			union got got;
			struct err err = {0};
			if (read_bytes(good[i].reader, good[i].body, len, &got, &err) != -1 ||
			    strcmp(err.code, "malformed") != 0)
				fail_msg("the first %zu bytes: \"%s\" %s", len, err.code, err.text);
		}
}

/* What one reader takes is nothing to the others, but for a sandbox: it has an id, as what was made. */
static void test_the_wrong_reader(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(good); i++)
		for (int reader = SANDBOXES; reader <= MADE; reader++)
			/* Of one thing in full the later readers ask less. */
			if (reader != (int)good[i].reader && !(reader > SANDBOX && good[i].reader >= SANDBOX))
				assert_refused(good[i].body, reader, good[i].body, "");
}

static void test_too_deep(void **state)
{
	(void)state;
	for (size_t depth = 29; depth <= 100000; depth = depth < 40 ? depth + 1 : depth * 10) {
		struct buf body;
		union got got;
		buf_init(&body, 1 << 20);
		(void)buf_str(&body, "{\"success\":true,\"data\":[],\"x\":");
		for (size_t i = 0; i < 2 * depth; i++)
			(void)buf_char(&body, i < depth ? '[' : ']');
		(void)buf_char(&body, '}');
		assert_false(body.failed);
		if (depth < 32) {
			must_read(VOLUMES, body.data, &got);
			inventory_page_done(&got.page);
		} else {
			assert_refused("depth", VOLUMES, body.data, "deeper");
		}
		buf_done(&body);
	}
}

/* ---- without memory ---- */

/* Each allocation fails once: that is no fault of the answer's, and nothing is left behind. */
static void test_without_memory(void **state)
{
	(void)state;
	json_set_alloc_funcs(scarce_malloc, scarce_free);
	for (size_t i = 0; i < N_OF(good); i++) {
		bool failed = true;
		for (long n = 0; failed; n++) {
			union got got;
			struct err err = {0};
			allocated = 0;
			allocations_left = n;
			int rc = read_bytes(good[i].reader, good[i].body, strlen(good[i].body), &got, &err);
			failed = allocations_left == -1;
			allocations_left = -1;
			if (rc != (failed ? -1 : 0) || (failed && strcmp(err.code, "ENOMEM") != 0) ||
			    (failed && err.kind != ERR_RETRY))
				fail_msg("allocation %ld: %d, \"%s\" %s", n, rc, err.code, err.text);
			if (!failed) {
				assert_in_range(n, 20, 1000);
				drop(good[i].reader, &got);
			}
			assert_int_equal(allocated, 0);
		}
	}
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refused),          cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_long_texts),       cmocka_unit_test(test_every_beginning_is_refused),
	    cmocka_unit_test(test_the_wrong_reader), cmocka_unit_test(test_too_deep),
	    cmocka_unit_test(test_without_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
