/* publish_request_decode: how much fits into a body, what is left of one that is cut off, and every
 * allocation made to fail once. */
#include "publish_request_fixture.h"
#include "scarce.h"

/* ---- bounds ---- */

/* A body with so many mounts. */
static char *with_mounts(size_t count)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	(void)fputs("{\"source\":{\"revision_spec\":{" SPEC_START ",\"mounts\":[", out);
	for (size_t i = 0; i < count; i++)
		(void)fprintf(out,
		              "%s{\"mount_point\":\"/m/%zu\",\"source\":{\"type\":\"sandbox_volume\","
		              "\"sandboxvolume_id\":\"vol-%zu\"}}",
		              i ? "," : "", i, i);
	(void)fputs("]}}}", out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void test_how_many_mounts(void **state)
{
	(void)state;
	for (size_t count = PUBLISH_MOUNTS_MAX; count <= PUBLISH_MOUNTS_MAX + 1; count++) {
		struct publish_request request;
		struct err err = {0};
		char *text = with_mounts(count);
		int rc = decode(text, strlen(text), &request, &err);
		free(text);
		assert_int_equal(rc, count <= PUBLISH_MOUNTS_MAX ? 0 : -1);
		assert_string_equal(err.text, rc == 0 ? "" : BAD "revision_spec.mounts: more than 64");
		if (rc == 0)
			assert_int_equal(json_array_size(request.mounts), count);
		publish_request_done(&request);
	}
}

/* Provenance may be as deep as a body; the body and the source are two levels, and it is one. */
static void test_depth(void **state)
{
	(void)state;
	for (int inner = JSON_DEPTH_MAX - 3; inner <= JSON_DEPTH_MAX - 2; inner++) {
		struct publish_request request;
		struct err err = {0};
		char text[1024] = "{\"source\":{" IDS ",\"provenance\":{\"a\":";
		size_t len = strlen(text);
		memset(text + len, '[', (size_t)inner);
		memset(text + len + inner, ']', (size_t)inner);
		(void)snprintf(text + len + 2 * inner, sizeof(text) - len - 2 * (size_t)inner, "}}}");
		int rc = decode(text, strlen(text), &request, &err);
		assert_int_equal(rc, inner == JSON_DEPTH_MAX - 3 ? 0 : -1);
		assert_string_equal(err.text, rc == 0 ? "" : BAD "JSON is nested deeper than 32 levels");
		publish_request_done(&request);
	}
}

static void test_every_beginning_is_refused(void **state)
{
	(void)state;
	static const char whole[] = MOUNTED(MOUNT("/a", "v1"));
	for (size_t len = 0; len < strlen(whole); len++) {
		struct publish_request request;
		struct err err = {0};
		assert_int_equal(decode(whole, len, &request, &err), -1);
		assert_int_equal(err.kind, ERR_REJECT);
		assert_null(request.sandbox_id);
		assert_null(request.spec);
		publish_request_done(&request);
	}
}

/* ---- memory that runs out ---- */

/* Many members, so that the tables of members grow; many mounts, so that their list does. */
/* clang-format off */
static const char *const scarce_bodies[] = {
	WITH("\"name\":\"n\",\"promote\":false,\"autoscaling\":{\"min_warm\":1},\"a\":1,\"b\":2.5,"
	     "\"c\":\"\\u00fc\",\"d\":[[],{}],\"e\":null,\"f\":true,\"g\":0,\"h\":0"),
	FROM("{\"sandbox_service\":{" IDS "},\"provenance\":{\"a\":[1,2,3]}}"),
	FROM_SPEC(""),
	"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"source\":{\"provenance\":{\"a\":\"b\"},"
	"\"revision_spec\":" SPEC(",\"mounts\":["
	    MOUNT("/a", "v1") "," MOUNT("/b", "v2") "," MOUNT("/c", "v3") "," MOUNT("/d", "v4") ","
	    MOUNT("/e", "v5") "," MOUNT("/f", "v6") "," MOUNT("/g", "v7") "," MOUNT("/h", "v8") ","
	    MOUNT("/i", "v9") "," MOUNT("/j", "v10") "]") "}}",
};
/* clang-format on */

/* Decodes with the n-th allocation failing; true when there was none so far. */
static bool decoded_without(const char *body, long n, struct publish_request *ret)
{
	struct err err = {0};
	allocations_left = n;
	int rc = decode(body, strlen(body), ret, &err);
	bool failed = allocations_left == -1;
	allocations_left = -1;
	if (!failed && rc == 0)
		return true;
	/* A body that is right is right, without memory too: it may be sent again. */
	if (!failed || rc == 0 || err.kind != ERR_RETRY || strcmp(err.code, "ENOMEM") != 0)
		fail_msg("allocation %ld: %d %s \"%s\" \"%s\"", n, rc, err_kind_name(err.kind), err.code,
		         err.text);
	publish_request_done(ret);
	assert_int_equal(allocated, 0);
	return false;
}

static void test_every_allocation_fails_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(scarce_bodies); i++) {
		struct publish_request request;
		long n = 0;
		char got[512];
		while (!decoded_without(scarce_bodies[i], n, &request))
			n++;
		assert_in_range(n, 20, 1000);
		json_set_alloc_funcs(malloc, free); /* what is said here is freed here */
		say(&request, got, sizeof(got));
		json_set_alloc_funcs(scarce_malloc, scarce_free);
		static const char *const want[] = {
		    "\"n\" 1/20/80/300 sb-1/web",
		    "sb-1/web {\"a\":[1,2,3]}",
		    "tpl:web",
		    "tpl:web v1 at /a v2 at /b v3 at /c v4 at /d v5 at /e v6 at /f v7 at /g v8 at /h v9 at "
		    "/i v10 at /j {\"a\":\"b\"}",
		};
		assert_string_equal(got, want[i]);
		publish_request_done(&request);
		assert_int_equal(allocated, 0);
	}
}

/* A body that is wrong stays wrong, or was not read at all; it is never taken. */
static void test_a_refusal_without_memory(void **state)
{
	(void)state;
	static const char body[] = MOUNTED(MOUNT("/a", "v1") "," MOUNT("/b", "v1"));
	bool failed = true;
	for (long n = 0; failed; n++) {
		struct publish_request request;
		struct err err = {0};
		allocations_left = n;
		assert_int_equal(decode(body, strlen(body), &request, &err), -1);
		failed = allocations_left == -1;
		allocations_left = -1;
		assert_int_equal(err.kind, failed ? ERR_RETRY : ERR_REJECT);
		publish_request_done(&request);
		assert_int_equal(allocated, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_how_many_mounts),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_every_beginning_is_refused),
	    cmocka_unit_test_setup_teardown(test_every_allocation_fails_once, scarce, plenty),
	    cmocka_unit_test_setup_teardown(test_a_refusal_without_memory, scarce, plenty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
