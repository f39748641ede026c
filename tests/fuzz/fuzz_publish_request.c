/* libFuzzer target for the bodies that publish. Whatever is taken is what the header says: one of two
 * sources, names and ids within their bounds, a service that is one, mounts each at a place of its own. */
#include "api/publish_request.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/function_update.h"
#include "api/naming.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { POINT_MAX = 1024 };

static void check_id(const char *id)
{
	assert(id && strlen(id) <= PUBLISH_ID_MAX && !naming_is_blank(id));
}

static void check_change(const struct store_function_change *c)
{
	assert(!c->name || (strlen(c->name) <= FUNCTION_NAME_MAX && !naming_is_blank(c->name)));
	assert(c->has_autoscaling && !c->has_enabled);
	assert(c->min_warm >= 0 && c->min_warm <= 100 && c->min_warm <= c->max_active);
	assert(c->max_active >= 1 && c->max_active <= 1000);
	assert(c->target_concurrency >= 1 && c->target_concurrency <= 1000);
	assert(c->scale_down_after_seconds >= 30 && c->scale_down_after_seconds <= 86400);
}

static void check_service(const struct service *service)
{
	static const char *const words[] = {"not_public", "missing_runtime", "manual_runtime",
	                                    "missing_command", "missing_warm_process_name"};
	assert(naming_is_label(service->id));
	assert(!service->display_name || strlen(service->display_name) <= SERVICE_TEXT_MAX);
	assert(service->blocker_count <= SERVICE_BLOCKERS_MAX);
	for (size_t i = 0; i < service->blocker_count; i++) {
		size_t word = 0;
		while (word < N_OF(words) && strcmp(words[word], service->blockers[i]) != 0)
			word++;
		assert(word < N_OF(words));
		assert(i == 0 || strcmp(service->blockers[0], service->blockers[i]) != 0);
	}
}

/* The path as it is meant: a slash before each name, and nothing else. */
static void put_canonical(const char *path, char out[POINT_MAX + 1])
{
	size_t len = 0;
	assert(path[0] == '/' && strlen(path) <= POINT_MAX);
	for (size_t step; *path; path += step) {
		step = strcspn(path + 1, "/") + 1;
		if (step == 1 || (step == 2 && path[1] == '.'))
			continue;
		assert(step != 3 || memcmp(path, "/..", 3) != 0);
		memcpy(out + len, path, step);
		len += step;
	}
	assert(len > 0);
	out[len] = '\0';
}

static const char *text_of(json_t *mount, const char *name)
{
	const char *text = json_string_value(json_object_get(mount, name));
	assert(text);
	return text;
}

static void check_mounts(json_t *mounts)
{
	static char places[PUBLISH_MOUNTS_MAX][POINT_MAX + 1];
	assert(json_is_array(mounts) && json_array_size(mounts) <= PUBLISH_MOUNTS_MAX);
	for (size_t i = 0; i < json_array_size(mounts); i++) {
		json_t *mount = json_array_get(mounts, i);
		assert(json_object_size(mount) == 2);
		check_id(text_of(mount, "sandboxvolume_id"));
		put_canonical(text_of(mount, "mount_point"), places[i]);
		for (size_t j = 0; j < i; j++) {
			assert(strcmp(places[i], places[j]) != 0);
			assert(strcmp(text_of(mount, "sandboxvolume_id"),
			              text_of(json_array_get(mounts, j), "sandboxvolume_id")) != 0);
		}
	}
}

static void check_taken(const struct publish_request *request)
{
	assert(json_is_object(request->body));
	check_change(&request->change);
	assert(!request->provenance || json_is_object(request->provenance));
	if (!request->spec) {
		check_id(request->sandbox_id);
		check_id(request->service_id);
		assert(!request->template_id && !request->service_object && !request->mounts);
		return;
	}
	assert(json_is_object(request->spec) && !request->sandbox_id && !request->service_id);
	assert(json_object_get(request->spec, "runtime_service") == request->service_object);
	check_id(request->template_id);
	check_service(&request->service);
	check_mounts(request->mounts);
}

static void check_refused(const struct err *err)
{
	assert(err->kind == ERR_REJECT && strcmp(err->code, "bad_request") == 0);
	assert(strncmp(err->text, "invalid request: ", 17) == 0 ||
	       strncmp(err->text, "source.", 7) == 0);
}

static void check_decode(const uint8_t *data, size_t size, bool creates)
{
	struct publish_request request;
	struct err err = {0};
	/* In memory of exactly its size, so that a read past it is seen, and gone before what was read is used. */
	char *text = malloc(size ? size : 1);
	if (!text)
		abort();
	memcpy(text, data, size);
	int rc = publish_request_decode(text, size, creates, &request, &err);
	free(text);
	if (rc == 0)
		check_taken(&request);
	else
		check_refused(&err);
	assert(rc != 0 || (creates ? request.promote : !request.change.name));
	publish_request_done(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_decode(data, size, true);
	check_decode(data, size, false);
	return 0;
}
