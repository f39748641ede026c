/* libFuzzer target for what a request brings to the API. The first byte chooses who reads the rest:
 *
 *   0   the body of a PUT
 *   1   a method, a line end, a path
 *   2   an Authorization header
 *   3   a text that goes into an answer
 *   4   an Idempotency-Key
 *   5   an If-Match
 *   6   a cursor
 *   7   a name, of which a slug is made */
#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/auth.h"
#include "api/cursor.h"
#include "api/function_update.h"
#include "api/naming.h"
#include "api/reply.h"
#include "api/route.h"
#include "api/write.h"

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

static void check_segment(const char *segment)
{
	assert(strlen(segment) <= ROUTE_ID_MAX);
	for (const char *p = segment; *p; p++)
		assert(*p >= 0x20 && *p < 0x7f);
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
	check_segment(match.id);
	check_segment(match.sub);
	assert(!*match.sub || *match.id);
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

static void fuzz_key(const char *text)
{
	char key[WRITE_KEY_MAX + 1];
	if (write_key_parse(text, key) < 0)
		return;
	size_t len = strlen(key);
	assert(len > 0 && strstr(text, key));
	for (size_t i = 0; i < len; i++)
		assert(key[i] > 0x20 && key[i] < 0x7f);
}

/* Whatever version is read stands in the text as we write it. */
static void fuzz_match(const char *text)
{
	struct store_match match;
	if (write_match_parse(text, &match) < 0)
		return;
	assert(match.given != match.exists && match.count <= STORE_VERSIONS_MAX);
	assert(match.given || match.count == 0);
	for (size_t i = 0; i < match.count; i++) {
		char tag[20];
		(void)snprintf(tag, sizeof(tag), "\"%016" PRIx64 "\"", (uint64_t)match.versions[i]);
		assert(strstr(text, tag));
	}
}

/* What is taken leads back to where it came from. */
static void fuzz_cursor(const char *text)
{
	struct err err = {0};
	struct store_page page;
	char again[CURSOR_SIZE];
	struct cursor *cursor = cursor_new(NULL, text, &page, &err);
	if (!cursor) {
		assert(err.kind == ERR_REJECT && err.text[0] != '\0');
		return;
	}
	assert(page.created_at_us > 0);
	cursor_format(&page, again);
	assert(strcasecmp(again, text) == 0);
	cursor_free(cursor);
}

static void fuzz_name(const char *text)
{
	static const struct uuid team = {{1}};
	char slug[NAMING_SLUG_SIZE], again[NAMING_SLUG_SIZE], label[NAMING_LABEL_SIZE];
	size_t len;
	const char *trimmed = naming_trim(text, &len);
	assert(trimmed >= text && trimmed + len <= text + strlen(text));
	assert(naming_is_blank(text) == (len == 0));
	naming_slug(text, slug);
	naming_slug(slug, again);
	assert(naming_is_label(slug) && strcmp(slug, again) == 0);
	naming_domain_label(slug, &team, label);
	assert(naming_is_label(label) && strncmp(label, slug, strlen(slug)) == 0);
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
	switch (data[0] % 8) {
	case 0: fuzz_update(text, len); break;
	case 1: fuzz_route(line); break;
	case 2: fuzz_auth(line); break;
	case 3: fuzz_string(line); break;
	case 4: fuzz_key(line); break;
	case 5: fuzz_match(line); break;
	case 6: fuzz_cursor(line); break;
	default: fuzz_name(line); break;
	}
	free(text);
	free(line);
	return 0;
}
