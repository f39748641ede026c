/* libFuzzer target for what a request brings to the API. The first byte chooses who reads the rest:
 *
 *   0   the body of a PUT
 *   1   a method, a line end, a path
 *   2   an Authorization header
 *   3   a text that goes into an answer */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/function_update.h"
#include "api/reply.h"
#include "api/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_update(const char *text, size_t len)
{
	struct err err = {0};
	struct store_function_change c;
	json_t *json = NULL;
	if (function_update_decode(text, len, &json, &c, &err) < 0) {
		assert(err.kind == ERR_REJECT && err.text[0] != '\0' && !json);
		return;
	}
	assert(!c.name || (strlen(c.name) > 0 && strlen(c.name) <= FUNCTION_NAME_MAX));
	if (c.has_autoscaling) {
		assert(c.min_warm >= 0 && c.min_warm <= 100 && c.min_warm <= c.max_active);
		assert(c.max_active >= 1 && c.max_active <= 1000);
		assert(c.target_concurrency >= 1 && c.target_concurrency <= 1000);
		assert(c.scale_down_after_seconds >= 30 && c.scale_down_after_seconds <= 86400);
	}
	json_decref(json);
}

static void fuzz_route(char *text)
{
	struct route_match match;
	char *path = strchr(text, '\n');
	if (!path)
		return;
	*path++ = '\0';
	route_find(text, path, &match);
	assert(match.status == 200 || match.status == 404 || match.status == 405);
	assert((match.status == 200) == (match.route != NULL));
	assert((match.status == 405) == (match.allow[0] != '\0'));
	for (const char *p = match.id; *p; p++)
		assert(*p >= 0x20 && *p < 0x7f);
}

static void fuzz_auth(const char *text)
{
	const char *key;
	size_t len;
	if (auth_parse(text, &key, &len) < 0)
		return;
	assert(key > text && len <= AUTH_KEY_MAX && key + len <= text + strlen(text));
	assert(auth_key_valid(key, len));
}

/* Whatever it is, what comes out is JSON. */
static void fuzz_string(const char *text)
{
	struct buf out;
	struct err err = {0};
	buf_init(&out, 6 * strlen(text) + 2);
	reply_string(&out, text);
	assert(!out.failed);
	json_t *json = json_parse(out.data, out.len, &err);
	assert(json_is_string(json));
	json_decref(json);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	/* Copied into memory of exactly its size, so that a read past it is seen. */
	size_t len = size - 1;
	char *text = malloc(len ? len : 1), *line = malloc(len + 1);
	if (!text || !line)
		abort();
	memcpy(text, data + 1, len);
	memcpy(line, data + 1, len);
	line[len] = '\0';
	switch (data[0] % 4) {
	case 0: fuzz_update(text, len); break;
	case 1: fuzz_route(line); break;
	case 2: fuzz_auth(line); break;
	default: fuzz_string(line); break;
	}
	free(text);
	free(line);
	return 0;
}
