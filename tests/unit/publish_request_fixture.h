/* What test_publish_request.c and test_publish_request_bounds.c stand on: bodies in parts, and what is
 * read of one, as one text. */
#ifndef TESTS_UNIT_PUBLISH_REQUEST_FIXTURE_H
#define TESTS_UNIT_PUBLISH_REQUEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/publish_request.h"

#define X5 "xxxxx"
#define X50 X5 X5 X5 X5 X5 X5 X5 X5 X5 X5
#define X255 X50 X50 X50 X50 X50 X5
#define X1024 X255 X255 X255 X255 "xxxx"

#define SERVICE                                                                           \
	"{\"id\":\"web\",\"port\":80,\"ingress\":{\"public\":true,\"routes\":[{\"id\":\"r\"," \
	"\"resume\":true}]},\"runtime\":{\"type\":\"cmd\",\"command\":[\"run\"]}}"
#define SPEC_START "\"template_id\":\"tpl\",\"runtime_service\":" SERVICE
#define SPEC(more) "{" SPEC_START more "}"
/* Whole bodies. */
#define FROM(source) "{\"source\":" source "}"
#define FROM_SPEC(more) FROM("{\"revision_spec\":" SPEC(more) "}")
#define MOUNTED(mounts) FROM_SPEC(",\"mounts\":[" mounts "]")
#define MOUNT(point, volume)                                                  \
	"{\"mount_point\":\"" point "\",\"source\":{\"type\":\"sandbox_volume\"," \
	"\"sandboxvolume_id\":\"" volume "\"}}"
#define IDS "\"sandbox_id\":\"sb-1\",\"service_id\":\"web\""
#define WITH(more) "{\"source\":{" IDS "}," more "}"

#define BAD "invalid request: "

/* ---- what is read, as one text ---- */

static void say_mounts(FILE *out, json_t *mounts)
{
	for (size_t i = 0; i < json_array_size(mounts); i++) {
		json_t *mount = json_array_get(mounts, i);
		assert_int_equal(json_object_size(mount), 2);
		(void)fprintf(out, " %s at %s",
		              json_string_value(json_object_get(mount, "sandboxvolume_id")),
		              json_string_value(json_object_get(mount, "mount_point")));
	}
}

static void say_spec(FILE *out, const struct publish_request *request)
{
	(void)fprintf(out, "%s:%s", request->template_id, request->service.id);
	for (size_t i = 0; i < request->service.blocker_count; i++)
		(void)fprintf(out, " %s", request->service.blockers[i]);
	say_mounts(out, request->mounts);
	assert_ptr_equal(json_object_get(request->spec, "runtime_service"), request->service_object);
	assert_null(request->sandbox_id);
	assert_null(request->service_id);
}

static void say_sandbox(FILE *out, const struct publish_request *request)
{
	(void)fprintf(out, "%s/%s", request->sandbox_id, request->service_id);
	assert_null(request->template_id);
	assert_null(request->service_object);
	assert_null(request->mounts);
}

/* What is as it is when nothing is said goes without saying. */
static void say(const struct publish_request *request, char *text, size_t size)
{
	const struct store_function_change *change = &request->change;
	FILE *out = fmemopen(text, size, "w");
	assert_non_null(out);
	if (change->name)
		(void)fprintf(out, "\"%s\" ", change->name);
	assert_true(change->has_autoscaling);
	assert_false(change->has_enabled);
	if (change->min_warm != 0 || change->max_active != 20 || change->target_concurrency != 80 ||
	    change->scale_down_after_seconds != 300)
		(void)fprintf(out, "%lld/%lld/%lld/%lld ", (long long)change->min_warm,
		              (long long)change->max_active, (long long)change->target_concurrency,
		              (long long)change->scale_down_after_seconds);
	if (!request->promote)
		(void)fputs("unpromoted ", out);
	if (request->spec)
		say_spec(out, request);
	else
		say_sandbox(out, request);
	char *provenance = request->provenance ? json_text(request->provenance) : NULL;
	if (provenance)
		(void)fprintf(out, " %s", provenance);
	free(provenance);
	assert_int_equal(fclose(out), 0);
}

/* Decodes a copy of exactly its length, so that a read past it is seen. */
static int decode_of(bool creates, const char *body, size_t len, struct publish_request *ret,
                     struct err *err)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, body, len);
	memset(ret, 0xa5, sizeof(*ret));
	int rc = publish_request_decode(copy, len, creates, ret, err);
	memset(copy, '#', len);
	free(copy);
	return rc;
}

static int decode(const char *body, size_t len, struct publish_request *ret, struct err *err)
{
	return decode_of(true, body, len, ret, err);
}

#endif
