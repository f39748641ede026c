/* What is read of listings, of whole sandboxes and of what was made: platform/inventory.c. */
#include "platform/inventory.h"

#include "inventory_fixture.h"

/* ---- pages ---- */

#define OR_NONE(text) ((text) ? (text) : "none")

static const struct {
	const char *name, *body;
	size_t count;
	int64_t total;
	bool has_more;
	/* of the last row */
	const char *id, *template_id, *status, *cluster_id;
	int64_t created_at_us;
} pages[] = {
    {"empty", PAGE_OF("", "\"count\":0,\"has_more\":false"), 0, 0, false, NULL, NULL, NULL, NULL,
     0},
    {"empty, past the end", PAGE_OF("", "\"count\":400,\"has_more\":false"), 0, 400, false, NULL,
     NULL, NULL, NULL, 0},
    {"one", ROWS(ROW), 1, 1, false, "sb-1", "py", "running", NULL, at_us},
    {"a count that does not fit", PAGE_OF(ROW "," ROW, "\"count\":0,\"has_more\":true"), 2, 0, true,
     "sb-1", "py", "running", NULL, at_us},
    {"the highest count", PAGE_OF(ROW, "\"count\":9223372036854775807,\"has_more\":true"), 1,
     INT64_MAX, true, "sb-1", "py", "running", NULL, at_us},
    {"fields nobody reads",
     "{\"success\":true,\"error\":null,\"data\":{\"x\":[{}],\"sandboxes\":[{\"id\":\"a\","
     "\"template_id\":\"b\",\"status\":\"c\",\"paused\":\"?\",\"expires_at\":7," TIME
     "}],\"count\":1,\"has_more\":false}}",
     1, 1, false, "a", "b", "c", NULL, at_us},
    {"a template and a status that are empty",
     ROWS("{\"id\":\"a\",\"template_id\":\"\",\"status\":\"\"," TIME "}"), 1, 1, false, "a", "", "",
     NULL, at_us},
    {"a status of later", ROWS(ROW_STATUS("\"being frozen\"")), 1, 1, false, "sb-1", "py",
     "being frozen", NULL, at_us},
    {"a cluster", ROWS(ROW_CLUSTER("\"eu-1\"")), 1, 1, false, "sb-1", "py", "s", "eu-1", at_us},
    {"a cluster that is null", ROWS(ROW_CLUSTER("null")), 1, 1, false, "sb-1", "py", "s", NULL,
     at_us},
    {"a cluster that is empty", ROWS(ROW_CLUSTER("\"\"")), 1, 1, false, "sb-1", "py", "s", NULL,
     at_us},
    {"a fraction and a zone", ROWS(ROW_AT("\"2026-01-02T05:04:05.123456789+02:00\"")), 1, 1, false,
     "sb-1", "py", "running", NULL, (int64_t)AT_S * 1000000 + 123456},
    {"the first time", ROWS(ROW_AT("\"1970-01-01T00:00:00.000001Z\"")), 1, 1, false, "sb-1", "py",
     "running", NULL, 1},
    {"the last row counts", ROWS(ROW "," ROW_ID("\"sb-2\"")), 2, 1, false, "sb-2", "py", "running",
     NULL, at_us},
    {"other alphabets", ROWS(ROW_ID("\"\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 '\\\"\\\\\"")),
     1, 1, false, "\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 '\"\\", "py", "running", NULL,
     at_us},
};

static void test_pages(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(pages); i++) {
		union got got;
		struct inventory_item item;
		must_read(SANDBOXES, pages[i].body, &got);
		assert_int_equal(got.page.count, pages[i].count);
		assert_int_equal(got.page.total, pages[i].total);
		assert_int_equal(got.page.has_more, pages[i].has_more);
		inventory_item(&got.page, got.page.count - 1, &item);
		if (strcmp(OR_NONE(item.id), OR_NONE(pages[i].id)) != 0 ||
		    strcmp(OR_NONE(item.template_id), OR_NONE(pages[i].template_id)) != 0 ||
		    strcmp(OR_NONE(item.status), OR_NONE(pages[i].status)) != 0 ||
		    strcmp(OR_NONE(item.cluster_id), OR_NONE(pages[i].cluster_id)) != 0 ||
		    item.created_at_us != pages[i].created_at_us || item.source_volume_id || item.user_id)
			fail_msg("%s: %s, %s, %s, %s, %lld", pages[i].name, OR_NONE(item.id),
			         OR_NONE(item.template_id), OR_NONE(item.status), OR_NONE(item.cluster_id),
			         (long long)item.created_at_us);
		inventory_page_done(&got.page);
		inventory_page_done(&got.page); /* twice is once */
	}
}

static const struct {
	const char *name, *body;
	size_t count;
	const char *id, *source, *user; /* of the last row */
} volumes[] = {
    {"null", DATA("null"), 0, NULL, NULL, NULL},
    {"empty", VOLS(""), 0, NULL, NULL, NULL},
    {"one", VOLS(VOL("")), 1, "v-1", NULL, NULL},
    {"with a source", VOLS(VOL(",\"source_volume_id\":\"v-0\"")), 1, "v-1", "v-0", NULL},
    {"a source that is null", VOLS(VOL(",\"source_volume_id\":null")), 1, "v-1", NULL, NULL},
    {"a source that is empty", VOLS(VOL(",\"source_volume_id\":\"\"")), 1, "v-1", NULL, NULL},
    {"with a user", VOLS(VOL(",\"user_id\":\"u-1\"")), 1, "v-1", NULL, "u-1"},
    {"a user that is null", VOLS(VOL(",\"user_id\":null")), 1, "v-1", NULL, NULL},
    {"a user that is empty", VOLS(VOL(",\"user_id\":\"\"")), 1, "v-1", NULL, NULL},
    {"fields nobody reads",
     VOLS(VOL(",\"team_id\":7,\"template_id\":\"x\",\"access_mode\":null,\"status\":\"?\"")), 1,
     "v-1", NULL, NULL},
    {"two", VOLS(VOL("") ",{\"id\":\"v-2\"," TIME "}"), 2, "v-2", NULL, NULL},
};

static void test_volumes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(volumes); i++) {
		union got got;
		struct inventory_item item;
		must_read(VOLUMES, volumes[i].body, &got);
		assert_int_equal(got.page.count, volumes[i].count);
		assert_int_equal(got.page.total, -1);
		assert_false(got.page.has_more);
		inventory_item(&got.page, got.page.count - 1, &item);
		if (strcmp(OR_NONE(item.id), OR_NONE(volumes[i].id)) != 0 ||
		    strcmp(OR_NONE(item.source_volume_id), OR_NONE(volumes[i].source)) != 0 ||
		    strcmp(OR_NONE(item.user_id), OR_NONE(volumes[i].user)) != 0 ||
		    item.created_at_us != (volumes[i].id ? at_us : 0))
			fail_msg("%s: %s, %s, %s", volumes[i].name, OR_NONE(item.id),
			         OR_NONE(item.source_volume_id), OR_NONE(item.user_id));
		assert_null(item.template_id);
		assert_null(item.status);
		assert_null(item.cluster_id);
		inventory_page_done(&got.page);
	}
}

static void test_rows_past_the_end(void **state)
{
	(void)state;
	union got got;
	static const size_t at[] = {1, 2, SIZE_MAX};
	must_read(SANDBOXES, ROWS(ROW), &got);
	for (size_t i = 0; i < N_OF(at); i++) {
		struct inventory_item item;
		memset(&item, 0x5a, sizeof(item));
		inventory_item(&got.page, at[i], &item);
		assert_null(item.id);
		assert_int_equal(item.created_at_us, 0);
	}
	inventory_page_done(&got.page);
}

/* ---- whole sandboxes ---- */

static const struct {
	const char *name, *body, *marker;
	size_t mount_count;
	const char *mount; /* the last: volume and point */
} wholes[] = {
    {"neither services nor mounts", FULL(""), NULL, 0, NULL},
    {"both null", FULL(",\"services\":null,\"mounts\":null"), NULL, 0, NULL},
    {"both empty", FULL(",\"services\":[],\"mounts\":[]"), NULL, 0, NULL},
    {"fields nobody reads", FULL(",\"user_id\":7,\"ssh\":[],\"power_state\":null,\"paused\":1"),
     NULL, 0, NULL},
    {"a service without a runtime", FULL(",\"services\":[{\"id\":\"web\",\"port\":80}]"), NULL, 0,
     NULL},
    {"a runtime that is null", FULL(",\"services\":[{\"runtime\":null}]"), NULL, 0, NULL},
    {"a runtime without an environment", FULL(",\"services\":[{\"runtime\":{}}]"), NULL, 0, NULL},
    {"an environment that is null", FULL(ENV("null")), NULL, 0, NULL},
    {"an environment of others", FULL(ENV("{\"PATH\":\"/bin\",\"N\":7}")), NULL, 0, NULL},
    {"a name that begins alike", FULL(ENV("{\"SANDSWEEP_RUNTIME_\":\"a\"}")), NULL, 0, NULL},
    {"a name in other letters", FULL(ENV("{\"sandsweep_runtime\":\"a\"}")), NULL, 0, NULL},
    {"the marker elsewhere",
     FULL(",\"SANDSWEEP_RUNTIME\":\"a\",\"env_vars\":{\"SANDSWEEP_RUNTIME\":\"a\"},"
          "\"services\":[{\"env_vars\":{\"SANDSWEEP_RUNTIME\":\"a\"}}]"),
     NULL, 0, NULL},
    {"a marker", FULL(ENV("{\"A\":\"b\",\"SANDSWEEP_RUNTIME\":\"01-ab\"}")), "01-ab", 0, NULL},
    {"a marker that is empty", FULL(ENV("{\"SANDSWEEP_RUNTIME\":\"\"}")), NULL, 0, NULL},
    {"a marker with a line end", FULL(ENV("{\"SANDSWEEP_RUNTIME\":\"a\\nb\"}")), NULL, 0, NULL},
    {"the marker of the second service", FULL(",\"services\":[{}," MARK("a") ",{}]"), "a", 0, NULL},
    {"the same marker twice", FULL(",\"services\":[" MARK("a") "," MARK("a") "]"), "a", 0, NULL},
    {"one marker and one that is none", FULL(",\"services\":[" MARK("a") "," MARK("") "]"), "a", 0,
     NULL},
    {"mounts", FULL(",\"mounts\":[" MOUNT("v-1", "/a") "," MOUNT("v-2", "/b c/\xc3\xa9") "]"), NULL,
     2, "v-2 /b c/\xc3\xa9"},
    {"a marker and a mount",
     FULL(",\"services\":[" MARK("a") "],\"mounts\":[" MOUNT("v-1", ".") "]"), "a", 1, "v-1 ."},
};

static void test_wholes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(wholes); i++) {
		union got got;
		struct inventory_sandbox *sandbox = &got.sandbox;
		must_read(SANDBOX, wholes[i].body, &got);
		assert_string_equal(sandbox->id, "sb-1");
		assert_string_equal(sandbox->team_id, "t-1");
		assert_string_equal(sandbox->template_id, "py");
		assert_string_equal(sandbox->status, "running");
		assert_int_equal(sandbox->created_at_us, at_us);
		char mount[64] = "none";
		if (sandbox->mount_count > 0) {
			const struct inventory_mount *last = &sandbox->mounts[sandbox->mount_count - 1];
			(void)snprintf(mount, sizeof(mount), "%s %s", last->volume_id, last->mount_point);
		}
		if (strcmp(OR_NONE(sandbox->marker), OR_NONE(wholes[i].marker)) != 0 ||
		    sandbox->mount_count != wholes[i].mount_count ||
		    strcmp(mount, OR_NONE(wholes[i].mount)) != 0)
			fail_msg("%s: %s, %zu mounts, %s", wholes[i].name, OR_NONE(sandbox->marker),
			         sandbox->mount_count, mount);
		inventory_sandbox_done(sandbox);
		inventory_sandbox_done(sandbox);
	}
}

static void test_a_marker_that_is_too_long(void **state)
{
	(void)state;
	for (size_t len = 255; len <= 257; len++) {
		union got got;
		char marker[300];
		memset(marker, 'x', len);
		marker[len] = '\0';
		char *body = rows_text(
		    "{\"success\":true,\"data\":{\"id\":\"a\",\"team_id\":\"t\",\"template_id\":\"p\","
		    "\"status\":\"s\"," TIME ",\"services\":[{\"runtime\":{\"env_vars\":"
		    "{\"SANDSWEEP_RUNTIME\":\"",
		    marker, 1, "\"}}}]}}");
		must_read(SANDBOX, body, &got);
		assert_int_equal(got.sandbox.marker != NULL, len <= 256);
		drop(SANDBOX, &got);
		free(body);
	}
}

/* ---- services ---- */

#define SERVICES                                                                                  \
	"{\"port\":1},{\"id\":7,\"port\":2},{\"id\":\"web\",\"port\":3},{\"id\":\"web\",\"port\":4}," \
	"{\"id\":\"\",\"port\":5},{\"id\":null,\"port\":6},{\"id\":\"web2\",\"port\":7}"

static const struct {
	const char *body, *id;
	int port; /* 0: none is found */
} services[] = {
    {FULL(",\"services\":[" SERVICES "]"), "web", 3},
    {FULL(",\"services\":[" SERVICES "]"), "web2", 7},
    {FULL(",\"services\":[" SERVICES "]"), "", 5},
    {FULL(",\"services\":[" SERVICES "]"), "7", 0},
    {FULL(",\"services\":[" SERVICES "]"), "we", 0},
    {FULL(",\"services\":[" SERVICES "]"), "Web", 0},
    {FULL(",\"services\":[]"), "web", 0},
    {FULL(",\"services\":null"), "web", 0},
    {FULL(""), "web", 0},
};

static void test_services(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(services); i++) {
		union got got;
		must_read(SANDBOX, services[i].body, &got);
		assert_int_equal(json_array_size(got.sandbox.services),
		                 strstr(services[i].body, SERVICES) ? 7 : 0);
		json_t *service = inventory_service(&got.sandbox, services[i].id);
		assert_int_equal(service != NULL, services[i].port != 0);
		assert_int_equal(json_integer_value(json_object_get(service, "port")), services[i].port);
		inventory_sandbox_done(&got.sandbox);
	}
}

/* ---- one volume in full ---- */

#define WHOLE_VOL(more) DATA("{\"id\":\"v-1\",\"team_id\":\"t-1\"," TIME more "}")

static const struct {
	const char *name, *body, *user;
} whole_volumes[] = {
    {"without a user", WHOLE_VOL(""), NULL},
    {"with a user", WHOLE_VOL(",\"user_id\":\"u-1\""), "u-1"},
    {"a user that is null", WHOLE_VOL(",\"user_id\":null"), NULL},
    {"a user that is empty", WHOLE_VOL(",\"user_id\":\"\""), NULL},
    {"fields nobody reads", WHOLE_VOL(",\"source_volume_id\":7,\"access_mode\":null"), NULL},
};

static void test_whole_volumes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(whole_volumes); i++) {
		union got got;
		must_read(VOLUME, whole_volumes[i].body, &got);
		assert_string_equal(got.volume.id, "v-1");
		assert_string_equal(got.volume.team_id, "t-1");
		assert_int_equal(got.volume.created_at_us, at_us);
		if (strcmp(OR_NONE(got.volume.user_id), OR_NONE(whole_volumes[i].user)) != 0)
			fail_msg("%s: %s", whole_volumes[i].name, OR_NONE(got.volume.user_id));
		inventory_volume_done(&got.volume);
		inventory_volume_done(&got.volume);
	}
}

/* ---- what was made ---- */

static const struct {
	const char *name, *body, *user;
} mades[] = {
    {"an id alone", DATA("{\"id\":\"m-1\"}"), NULL},
    {"a snapshot",
     DATA("{\"id\":\"m-1\",\"volume_id\":\"v-1\",\"name\":\"n\",\"size_bytes\":0," TIME "}"), NULL},
    {"a volume", DATA("{\"id\":\"m-1\",\"team_id\":\"t-1\",\"user_id\":\"u-1\"," TIME "}"), "u-1"},
    {"a user that is null", DATA("{\"id\":\"m-1\",\"user_id\":null}"), NULL},
    {"a user that is empty", DATA("{\"id\":\"m-1\",\"user_id\":\"\"}"), NULL},
    {"fields nobody reads", DATA("{\"id\":\"m-1\",\"name\":7,\"created_at\":null}"), NULL},
};

static void test_mades(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(mades); i++) {
		union got got;
		must_read(MADE, mades[i].body, &got);
		assert_string_equal(got.made.id, "m-1");
		if (strcmp(OR_NONE(got.made.user_id), OR_NONE(mades[i].user)) != 0)
			fail_msg("%s: %s", mades[i].name, OR_NONE(got.made.user_id));
		inventory_made_done(&got.made);
		inventory_made_done(&got.made);
	}
}

static void test_done_of_nothing(void **state)
{
	(void)state;
	struct inventory_page page = {0};
	struct inventory_sandbox sandbox = {0};
	struct inventory_volume volume = {0};
	struct inventory_made made = {0};
	inventory_page_done(&page);
	inventory_sandbox_done(&sandbox);
	inventory_volume_done(&volume);
	inventory_made_done(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pages),
	    cmocka_unit_test(test_volumes),
	    cmocka_unit_test(test_rows_past_the_end),
	    cmocka_unit_test(test_wholes),
	    cmocka_unit_test(test_a_marker_that_is_too_long),
	    cmocka_unit_test(test_services),
	    cmocka_unit_test(test_whole_volumes),
	    cmocka_unit_test(test_mades),
	    cmocka_unit_test(test_done_of_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
