/* publish_request_decode: one row per body, with what is read of it or the words of the refusal. */
#include "publish_request_fixture.h"

#define BAD_MOUNT BAD "revision_spec.mounts: "
#define BAD_MOUNT_SOURCE BAD "revision_spec.mounts.source: "
#define ANY_NUMBER "a whole number from -9223372036854775808 to 9223372036854775807"

/* ---- rows ---- */

static const struct row {
	const char *name, *body;
	const char *want;  /* NULL: refused */
	const char *error; /* all of it */
} rows[] = {
    /* a sandbox's service */
    {"the least", FROM("{" IDS "}"), "sb-1/web", NULL},
    {"space around it", " \r\n\t" FROM("{" IDS "}") " \n", "sb-1/web", NULL},
    {"with its type", FROM("{\"type\":\"sandbox_service\"," IDS "}"), "sb-1/web", NULL},
    {"type null", FROM("{\"type\":null," IDS "}"), "sb-1/web", NULL},
    {"nested", FROM("{\"type\":\"sandbox_service\",\"sandbox_service\":{" IDS "}}"), "sb-1/web",
     NULL},
    {"nested without its type", FROM("{\"sandbox_service\":{" IDS "}}"), "sb-1/web", NULL},
    {"nested null", FROM("{\"sandbox_service\":null," IDS "}"), "sb-1/web", NULL},
    {"nested is what counts",
     FROM("{\"sandbox_id\":\"sb-0\",\"service_id\":\"no\",\"sandbox_service\":{" IDS "}}"),
     "sb-1/web", NULL},
    {"nested in part",
     FROM("{\"sandbox_id\":\"sb-0\",\"service_id\":\"api\",\"sandbox_service\":"
          "{\"sandbox_id\":\"sb-1\",\"service_id\":null}}"),
     "sb-1/api", NULL},
    {"ids as they are", FROM("{\"sandbox_id\":\" sb 1 \",\"service_id\":\" W\xc3\xa9z \"}"),
     " sb 1 / W\xc3\xa9z ", NULL},
    {"the longest ids", FROM("{\"sandbox_id\":\"" X255 "\",\"service_id\":\"" X255 "\"}"),
     X255 "/" X255, NULL},
    {"a specification beside it goes unread",
     FROM("{\"type\":\"sandbox_service\"," IDS ",\"revision_spec\":{\"mounts\":7}}"), "sb-1/web",
     NULL},
    {"what is not known is not read",
     FROM("{" IDS ",\"port\":[],\" mounts\":1},\"x\":{},\" mounts\":[1]"), "sb-1/web", NULL},
    {"no sandbox", FROM("{}"), NULL, "source.sandbox_id is required"},
    {"no sandbox but a service", FROM("{\"service_id\":\"web\"}"), NULL,
     "source.sandbox_id is required"},
    {"sandbox null", FROM("{\"sandbox_id\":null,\"service_id\":\"web\"}"), NULL,
     "source.sandbox_id is required"},
    {"sandbox empty", FROM("{\"sandbox_id\":\"\",\"service_id\":\"web\"}"), NULL,
     "source.sandbox_id is required"},
    {"sandbox blank", FROM("{\"sandbox_id\":\" \\t\",\"service_id\":\"web\"}"), NULL,
     "source.sandbox_id is required"},
    {"no service", FROM("{\"sandbox_id\":\"sb-1\"}"), NULL, "source.service_id is required"},
    {"service blank", FROM("{\"sandbox_id\":\"sb-1\",\"service_id\":\" \"}"), NULL,
     "source.service_id is required"},
    {"nested empty", FROM("{\"sandbox_service\":{}}"), NULL, "source.sandbox_id is required"},
    {"nested without a service", FROM("{\"sandbox_service\":{\"sandbox_id\":\"sb-1\"}}"), NULL,
     "source.service_id is required"},
    {"nested blank", FROM("{" IDS ",\"sandbox_service\":{\"sandbox_id\":\"\"}}"), NULL,
     "source.sandbox_id is required"},
    {"nested a list", FROM("{\"sandbox_service\":[]}"), NULL,
     BAD "source: sandbox_service must be an object"},
    {"nested a number", FROM("{\"sandbox_service\":{\"sandbox_id\":1}}"), NULL,
     BAD "source.sandbox_service: sandbox_id must be a string"},
    {"nested too long", FROM("{\"sandbox_service\":{\"service_id\":\"" X255 "x\"}}"), NULL,
     BAD "source.sandbox_service: service_id must have 0 to 255 bytes"},
    {"sandbox a number", FROM("{\"sandbox_id\":1}"), NULL,
     BAD "source: sandbox_id must be a string"},
    {"sandbox too long", FROM("{\"sandbox_id\":\"" X255 "x\"}"), NULL,
     BAD "source: sandbox_id must have 0 to 255 bytes"},
    {"service a list", FROM("{\"service_id\":[\"web\"]}"), NULL,
     BAD "source: service_id must be a string"},
    {"service too long", FROM("{\"service_id\":\"" X255 "x\"}"), NULL,
     BAD "source: service_id must have 0 to 255 bytes"},

    /* which of the two */
    {"another type", FROM("{\"type\":\"artifact\"," IDS "}"), NULL,
     BAD "source: type is sandbox_service or revision_spec"},
    {"type empty", FROM("{\"type\":\"\"," IDS "}"), NULL,
     BAD "source: type is sandbox_service or revision_spec"},
    {"type in upper case", FROM("{\"type\":\"REVISION_SPEC\"}"), NULL,
     BAD "source: type is sandbox_service or revision_spec"},
    {"type a number", FROM("{\"type\":1}"), NULL, BAD "source: type must be a string"},
    {"type too long", FROM("{\"type\":\"" X50 X5 X5 X5 "\"}"), NULL,
     BAD "source: type must have 0 to 64 bytes"},
    {"the type of the other", FROM("{\"type\":\"sandbox_service\",\"revision_spec\":" SPEC("") "}"),
     NULL, "source.sandbox_id is required"},
    {"a specification's type alone", FROM("{\"type\":\"revision_spec\"," IDS "}"), NULL,
     "source.revision_spec is required"},
    {"a specification's type and null", FROM("{\"type\":\"revision_spec\",\"revision_spec\":null}"),
     NULL, "source.revision_spec is required"},
    {"a specification that is a list", FROM("{\"revision_spec\":[]}"), NULL,
     BAD "source: revision_spec must be an object"},

    /* a specification */
    {"specification", FROM("{\"type\":\"revision_spec\",\"revision_spec\":" SPEC("") "}"),
     "tpl:web", NULL},
    {"specification without its type", FROM_SPEC(""), "tpl:web", NULL},
    {"specification and ids", FROM("{" IDS ",\"revision_spec\":" SPEC("") "}"), "tpl:web", NULL},
    {"empty lists", FROM_SPEC(",\"mounts\":[],\"static_assets\":[],\"env_refs\":[]"), "tpl:web",
     NULL},
    {"lists null", FROM_SPEC(",\"mounts\":null,\"static_assets\":null,\"env_refs\":null"),
     "tpl:web", NULL},
    {"unknown in a specification", FROM_SPEC(",\"id\":{},\" mounts\":[]"), "tpl:web", NULL},
    {"the longest template",
     FROM("{\"revision_spec\":{\"template_id\":\"" X255 "\",\"runtime_service\":" SERVICE "}}"),
     X255 ":web", NULL},
    {"a service that cannot be published",
     FROM("{\"revision_spec\":{\"template_id\":\"t\",\"runtime_service\":{\"id\":\"a\",\"port\":1,"
          "\"ingress\":{\"public\":false}}}}"),
     "t:a not_public missing_runtime", NULL},
    {"specification empty", FROM("{\"revision_spec\":{}}"), NULL,
     BAD "revision_spec: template_id is missing"},
    {"template empty", FROM("{\"revision_spec\":{\"template_id\":\"\"}}"), NULL,
     BAD "revision_spec: template_id must have 1 to 255 bytes"},
    {"template too long", FROM("{\"revision_spec\":{\"template_id\":\"" X255 "x\"}}"), NULL,
     BAD "revision_spec: template_id must have 1 to 255 bytes"},
    {"template blank",
     FROM("{\"revision_spec\":{\"template_id\":\" \",\"runtime_service\":" SERVICE "}}"), NULL,
     BAD "revision_spec: template_id is blank"},
    {"template a number", FROM("{\"revision_spec\":{\"template_id\":7}}"), NULL,
     BAD "revision_spec: template_id must be a string"},
    {"no service to run", FROM("{\"revision_spec\":{\"template_id\":\"tpl\"}}"), NULL,
     BAD "revision_spec: runtime_service is missing"},
    {"service to run a text",
     FROM("{\"revision_spec\":{\"template_id\":\"tpl\",\"runtime_service\":\"web\"}}"), NULL,
     BAD "revision_spec: runtime_service must be an object"},
    {"service to run malformed",
     FROM("{\"revision_spec\":{\"template_id\":\"tpl\",\"runtime_service\":{\"id\":\"web\"}}}"),
     NULL, BAD "revision_spec.runtime_service: service: port is missing"},
    {"service to run misnamed",
     FROM("{\"revision_spec\":{\"template_id\":\"tpl\",\"runtime_service\":{\"id\":\"W\","
          "\"port\":1,\"ingress\":{\"public\":true}}}}"),
     NULL, BAD "revision_spec.runtime_service: service: id must be a DNS label"},
    {"static assets", FROM_SPEC(",\"static_assets\":[{}]"), NULL,
     BAD "revision_spec: static_assets and env_refs cannot be restored here"},
    {"references to an environment", FROM_SPEC(",\"env_refs\":[\"A\"]"), NULL,
     BAD "revision_spec: static_assets and env_refs cannot be restored here"},
    {"static assets an object", FROM_SPEC(",\"static_assets\":{}"), NULL,
     BAD "revision_spec: static_assets must be an array"},
    {"references a text", FROM_SPEC(",\"env_refs\":\"A\""), NULL,
     BAD "revision_spec: env_refs must be an array"},
    {"mounts an object", FROM_SPEC(",\"mounts\":{}"), NULL,
     BAD "revision_spec: mounts must be an array"},

    /* mounts */
    {"a mount", MOUNTED(MOUNT("/data", "vol-1")), "tpl:web vol-1 at /data", NULL},
    {"mounts in their order",
     MOUNTED(MOUNT("/b", "v2") "," MOUNT("/a", "v1") "," MOUNT("/c", "v3")),
     "tpl:web v2 at /b v1 at /a v3 at /c", NULL},
    {"one below the other", MOUNTED(MOUNT("/a", "v1") "," MOUNT("/a/b", "v2")),
     "tpl:web v1 at /a v2 at /a/b", NULL},
    {"a name that begins alike", MOUNTED(MOUNT("/data", "v1") "," MOUNT("/data2", "v2")),
     "tpl:web v1 at /data v2 at /data2", NULL},
    {"another case is another place", MOUNTED(MOUNT("/data", "v1") "," MOUNT("/Data", "V1")),
     "tpl:web v1 at /data V1 at /Data", NULL},
    {"all that a mount may say",
     MOUNTED("{\"name\":\"n\",\"mode\":\"read_write\",\"materialization\":\"copy\","
             "\"mount_point\":\"/data\",\"unknown\":1,\"source\":{\"type\":\"sandbox_volume\","
             "\"sandboxvolume_id\":\"vol-1\",\"unknown\":1}}"),
     "tpl:web vol-1 at /data", NULL},
    {"all of it null",
     MOUNTED("{\"name\":null,\"mode\":null,\"materialization\":null,\"mount_point\":\"/data\","
             "\"source\":{\"type\":\"sandbox_volume\",\"sandboxvolume_id\":\"vol-1\"}}"),
     "tpl:web vol-1 at /data", NULL},
    {"read only",
     MOUNTED("{\"mode\":\"read_only\",\"mount_point\":\"/data\",\"source\":{\"type\":"
             "\"sandbox_volume\",\"sandboxvolume_id\":\"vol-1\"}}"),
     "tpl:web vol-1 at /data", NULL},
    {"the shortest place", MOUNTED(MOUNT("/a", "v")), "tpl:web v at /a", NULL},
    {"the longest", MOUNTED(MOUNT("/" X255 X255 X255 X255 "xxx", X255)),
     "tpl:web " X255 " at /" X255 X255 X255 X255 "xxx", NULL},
    {"a slash at the end", MOUNTED(MOUNT("/data/", "v")), "tpl:web v at /data/", NULL},
    {"slashes", MOUNTED(MOUNT("//data//x", "v")), "tpl:web v at //data//x", NULL},
    {"dots that lead nowhere", MOUNTED(MOUNT("/./data/.", "v")), "tpl:web v at /./data/.", NULL},
    {"three dots are a name", MOUNTED(MOUNT("/...", "v")), "tpl:web v at /...", NULL},
    {"dots in names", MOUNTED(MOUNT("/a../..b/.c", "v")), "tpl:web v at /a../..b/.c", NULL},
    {"a place with a space", MOUNTED(MOUNT("/my data", "v")), "tpl:web v at /my data", NULL},
    {"a relative place", MOUNTED(MOUNT("data", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"relative to here", MOUNTED(MOUNT("./data", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"a space before it", MOUNTED(MOUNT(" /data", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"no place", MOUNTED(MOUNT("", "v")), NULL, BAD_MOUNT "mount_point must have 2 to 1024 bytes"},
    {"the root", MOUNTED(MOUNT("/", "v")), NULL, BAD_MOUNT "mount_point must have 2 to 1024 bytes"},
    {"the root by two slashes", MOUNTED(MOUNT("//", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"the root by a dot", MOUNTED(MOUNT("/.", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"the root by dots", MOUNTED(MOUNT("/.//./", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"a step up", MOUNTED(MOUNT("/data/../etc", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"a step up at once", MOUNTED(MOUNT("/..", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"a step up at the end", MOUNTED(MOUNT("/data/..", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"a step up before a slash", MOUNTED(MOUNT("/data/../", "v")), NULL,
     BAD_MOUNT "mount_point must be an absolute path below the root"},
    {"a place too long", MOUNTED(MOUNT("/" X1024, "v")), NULL,
     BAD_MOUNT "mount_point must have 2 to 1024 bytes"},
    {"a place twice", MOUNTED(MOUNT("/a", "v1") "," MOUNT("/b", "v2") "," MOUNT("/a", "v3")), NULL,
     BAD_MOUNT "a mount point or a volume comes twice"},
    {"a place twice, with a slash", MOUNTED(MOUNT("/a", "v1") "," MOUNT("/a/", "v2")), NULL,
     BAD_MOUNT "a mount point or a volume comes twice"},
    {"a place twice, with two", MOUNTED(MOUNT("/a/b", "v1") "," MOUNT("//a//b", "v2")), NULL,
     BAD_MOUNT "a mount point or a volume comes twice"},
    {"a place twice, with dots", MOUNTED(MOUNT("/a/./b/.", "v1") "," MOUNT("/./a/b", "v2")), NULL,
     BAD_MOUNT "a mount point or a volume comes twice"},
    {"a volume twice", MOUNTED(MOUNT("/a", "v1") "," MOUNT("/b", "v2") "," MOUNT("/c", "v1")), NULL,
     BAD_MOUNT "a mount point or a volume comes twice"},
    {"the second mount malformed", MOUNTED(MOUNT("/a", "v1") ",{}"), NULL,
     BAD_MOUNT "mount_point is missing"},
    {"a mount that is a text", MOUNTED("\"/data\""), NULL, BAD_MOUNT "a JSON object is expected"},
    {"a mount that is null", MOUNTED("null"), NULL, BAD_MOUNT "a JSON object is expected"},
    {"no source", MOUNTED("{\"mount_point\":\"/a\"}"), NULL, BAD_MOUNT "source is missing"},
    {"source a text", MOUNTED("{\"mount_point\":\"/a\",\"source\":\"v\"}"), NULL,
     BAD_MOUNT "source must be an object"},
    {"source empty", MOUNTED("{\"mount_point\":\"/a\",\"source\":{}}"), NULL,
     BAD_MOUNT_SOURCE "type is missing"},
    {"no volume", MOUNTED("{\"mount_point\":\"/a\",\"source\":{\"type\":\"sandbox_volume\"}}"),
     NULL, BAD_MOUNT_SOURCE "sandboxvolume_id is missing"},
    {"volume empty", MOUNTED(MOUNT("/a", "")), NULL,
     BAD_MOUNT_SOURCE "sandboxvolume_id is missing"},
    {"volume blank", MOUNTED(MOUNT("/a", " ")), NULL,
     BAD_MOUNT_SOURCE "sandboxvolume_id is missing"},
    {"volume too long", MOUNTED(MOUNT("/a", X255 "x")), NULL,
     BAD_MOUNT_SOURCE "sandboxvolume_id must have 0 to 255 bytes"},
    {"volume a number",
     MOUNTED("{\"mount_point\":\"/a\",\"source\":{\"type\":\"sandbox_volume\","
             "\"sandboxvolume_id\":1}}"),
     NULL, BAD_MOUNT_SOURCE "sandboxvolume_id must be a string"},
    {"a mount of another type",
     MOUNTED("{\"mount_point\":\"/a\",\"source\":{\"type\":\"git\",\"sandboxvolume_id\":\"v\"}}"),
     NULL, BAD_MOUNT_SOURCE "only the type sandbox_volume can be mounted here"},
    {"a mount of no type",
     MOUNTED("{\"mount_point\":\"/a\",\"source\":{\"type\":\"\",\"sandboxvolume_id\":\"v\"}}"),
     NULL, BAD_MOUNT_SOURCE "type must have 1 to 64 bytes"},
    {"another mode",
     MOUNTED("{\"mode\":\"rw\",\"mount_point\":\"/a\",\"source\":{\"type\":\"sandbox_volume\","
             "\"sandboxvolume_id\":\"v\"}}"),
     NULL, BAD_MOUNT "mode is read_only or read_write"},
    {"mode a truth", MOUNTED("{\"mode\":true,\"mount_point\":\"/a\",\"source\":{}}"), NULL,
     BAD_MOUNT "mode must be a string"},
    {"name a number", MOUNTED("{\"name\":1,\"mount_point\":\"/a\",\"source\":{}}"), NULL,
     BAD_MOUNT "name must be a string"},
    {"materialization a list",
     MOUNTED("{\"materialization\":[],\"mount_point\":\"/a\",\"source\":{}}"), NULL,
     BAD_MOUNT "materialization must be a string"},

    /* where it comes from */
    {"provenance", FROM("{" IDS ",\"provenance\":{\"commit\":\"abc\",\"n\":[1,null]}}"),
     "sb-1/web {\"commit\":\"abc\",\"n\":[1,null]}", NULL},
    {"provenance of a specification",
     FROM("{\"revision_spec\":" SPEC("") ",\"provenance\":{\"a\":{}}}"), "tpl:web {\"a\":{}}",
     NULL},
    {"provenance empty", FROM("{" IDS ",\"provenance\":{}}"), "sb-1/web {}", NULL},
    {"provenance null", FROM("{" IDS ",\"provenance\":null}"), "sb-1/web", NULL},
    {"provenance a text", FROM("{" IDS ",\"provenance\":\"git\"}"), NULL,
     BAD "source: provenance must be an object"},
    {"provenance a list", FROM("{" IDS ",\"provenance\":[]}"), NULL,
     BAD "source: provenance must be an object"},

    /* a name, numbers */
    {"name", WITH("\"name\":\"My app\""), "\"My app\" sb-1/web", NULL},
    {"name with space around", WITH("\"name\":\" a \""), "\" a \" sb-1/web", NULL},
    {"name of the longest", WITH("\"name\":\"" X255 "\""), "\"" X255 "\" sb-1/web", NULL},
    {"name empty", WITH("\"name\":\"\""), "sb-1/web", NULL},
    {"name blank", WITH("\"name\":\" \\r\\n\""), "sb-1/web", NULL},
    {"name null", WITH("\"name\":null"), "sb-1/web", NULL},
    {"name too long", WITH("\"name\":\"" X255 "x\""), NULL, BAD "name must have 0 to 255 bytes"},
    {"name a number", WITH("\"name\":7"), NULL, BAD "name must be a string"},
    {"autoscaling",
     WITH("\"autoscaling\":{\"min_warm\":1,\"max_active\":2,\"target_concurrency\":3,"
          "\"scale_down_after_seconds\":40}"),
     "1/2/3/40 sb-1/web", NULL},
    {"autoscaling of a specification",
     "{\"autoscaling\":{\"max_active\":5},\"source\":{\"revision_spec\":" SPEC("") "}}",
     "0/5/80/300 tpl:web", NULL},
    {"autoscaling empty", WITH("\"autoscaling\":{}"), "sb-1/web", NULL},
    {"autoscaling null", WITH("\"autoscaling\":null"), "sb-1/web", NULL},
    {"autoscaling out of range", WITH("\"autoscaling\":{\"min_warm\":999,\"max_active\":9999}"),
     "100/1000/80/300 sb-1/web", NULL},
    {"autoscaling a list", WITH("\"autoscaling\":[]"), NULL, BAD "autoscaling must be an object"},
    {"autoscaling with a text", WITH("\"autoscaling\":{\"min_warm\":\"1\"}"), NULL,
     BAD "autoscaling: min_warm must be " ANY_NUMBER},
    {"autoscaling with a fraction", WITH("\"autoscaling\":{\"max_active\":1.5}"), NULL,
     BAD "autoscaling: max_active must be " ANY_NUMBER},
    {"all of it",
     "{\"name\":\"n\",\"promote\":7,\"autoscaling\":{\"min_warm\":2},\"source\":{\"type\":"
     "\"revision_spec\",\"provenance\":{\"a\":1},\"revision_spec\":" SPEC(
         ",\"mounts\":[" MOUNT("/a", "v1") "]") "}}",
     "\"n\" 2/20/80/300 tpl:web v1 at /a {\"a\":1}", NULL},
    {"it is promoted, whatever is said", WITH("\"promote\":false"), "sb-1/web", NULL},

    /* the body */
    {"no body", "", NULL, BAD "the body is empty"},
    {"no source", "{}", NULL, BAD "source is missing"},
    {"source null", "{\"source\":null}", NULL, BAD "source is missing"},
    {"source a text", "{\"source\":\"sb-1\"}", NULL, BAD "source must be an object"},
    {"source a list", "{\"source\":[{" IDS "}]}", NULL, BAD "source must be an object"},
    {"a list", "[]", NULL, BAD "a JSON object is expected"},
    {"null", "null", NULL, BAD "a JSON object is expected"},
    {"a text", "\"source\"", NULL, BAD "a JSON object is expected"},
};

/* One more revision of a function that is there. */
static const struct row revision_rows[] = {
    {"the least", FROM("{" IDS "}"), "sb-1/web", NULL},
    {"no source", "{\"promote\":true}", NULL, BAD "source is missing"},
    {"promote", WITH("\"promote\":true"), "sb-1/web", NULL},
    {"not to promote", WITH("\"promote\":false"), "unpromoted sb-1/web", NULL},
    {"promote null", WITH("\"promote\":null"), "sb-1/web", NULL},
    {"promote a text", WITH("\"promote\":\"false\""), NULL, BAD "promote must be true or false"},
    {"promote a number", WITH("\"promote\":0"), NULL, BAD "promote must be true or false"},
    {"it has no name and no numbers", WITH("\"name\":\"n\",\"autoscaling\":{\"min_warm\":1}"),
     "sb-1/web", NULL},
    {"which may be of any type", WITH("\"promote\":false,\"name\":7,\"autoscaling\":[]"),
     "unpromoted sb-1/web", NULL},
};

static void check_refusal(const struct row *row, const struct err *err)
{
	if (strcmp(err->text, row->error) != 0)
		fail_msg("%s: %s\nnot %s", row->name, err->text, row->error);
	assert_int_equal(err->kind, ERR_REJECT);
	assert_string_equal(err->code, "bad_request");
}

static void check_rows(bool creates, const struct row *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &table[i];
		struct publish_request request;
		struct err err = {0};
		char got[4096];
		int rc = decode_of(creates, row->body, strlen(row->body), &request, &err);
		if (rc == 0)
			say(&request, got, sizeof(got));
		if (rc != (row->want ? 0 : -1))
			fail_msg("%s: %s", row->name, rc == 0 ? got : err.text);
		if (rc < 0)
			check_refusal(row, &err);
		else if (strcmp(got, row->want) != 0)
			fail_msg("%s: %s\nnot %s", row->name, got, row->want);
		publish_request_done(&request);
		assert_null(request.body);
	}
}

static void test_rows(void **state)
{
	(void)state;
	check_rows(true, rows, N_OF(rows));
	check_rows(false, revision_rows, N_OF(revision_rows));
}

/* The parser's words, behind ours. */
static void test_what_is_no_json(void **state)
{
	(void)state;
	static const struct {
		const char *body, *words;
	} cases[] = {
	    {" ", "unexpected token"},
	    {"source=x", "invalid token"},
	    {"{\"source\":{" IDS "}", "'}' expected"},
	    {FROM("{" IDS "}") "x", "end of file expected"},
	    {FROM("{" IDS "}") FROM("{" IDS "}"), "end of file expected"},
	    {"{\"source\":{},\"source\":{}}", "duplicate object key"},
	    {FROM("{\"sandbox_id\":\"a\",\"sandbox_id\":\"a\"}"), "duplicate object key"},
	    {FROM("{\"sandbox_id\":\"a\\u0000\"}"), "\\u0000"},
	    {FROM("{\"sandbox_id\":\"\xff\"}"), "unable to decode byte"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct publish_request request;
		struct err err = {0};
		assert_int_equal(decode(cases[i].body, strlen(cases[i].body), &request, &err), -1);
		assert_int_equal(err.kind, ERR_REJECT);
		if (strncmp(err.text, BAD, strlen(BAD)) != 0 || !strstr(err.text, cases[i].words))
			fail_msg("%s: %s", cases[i].body, err.text);
		assert_null(request.body);
	}
}

static void test_done_twice(void **state)
{
	(void)state;
	struct publish_request request;
	struct err err = {0};
	assert_int_equal(decode(FROM_SPEC(""), strlen(FROM_SPEC("")), &request, &err), 0);
	publish_request_done(&request);
	publish_request_done(&request);
	request = (struct publish_request){0};
	publish_request_done(&request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_what_is_no_json),
	    cmocka_unit_test(test_done_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
