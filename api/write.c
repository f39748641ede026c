#include "write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "exchange.h"

/* ---- texts ---- */

int write_key_parse(const char *text, char out[WRITE_KEY_MAX + 1])
{
	size_t len = strlen(text);
	bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';
	text += quoted;
	len -= quoted ? 2 : 0;
	if (len == 0 || len > WRITE_KEY_MAX)
		return -1;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return -1;
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

enum { TAG_LEN = 16 };

static void add_tag(const char *tag, size_t len, bool weak, struct store_match *ret)
{
	uint8_t bytes[TAG_LEN / 2];
	uint64_t version = 0;
	/* Ours are in lower case, and a tag is compared byte by byte. */
	if (weak || len != TAG_LEN || strspn(tag, "0123456789abcdef") < len ||
	    num_unhex(tag, len, bytes) < 0)
		return;
	for (size_t i = 0; i < sizeof(bytes); i++)
		version = version << 8 | bytes[i];
	ret->versions[ret->count++] = (int64_t)version;
}

int write_match_parse(const char *text, struct store_match *ret)
{
	static const char blank[] = " \t";
	*ret = (struct store_match){0};
	if (!text)
		return 0;
	text += strspn(text, blank);
	if (*text == '*' && text[1 + strspn(text + 1, blank)] == '\0') {
		ret->exists = true;
		return 0;
	}
	ret->given = true;
	for (size_t tags = 0;; tags++) {
		bool weak = strncmp(text, "W/", 2) == 0;
		text += weak ? 2 : 0;
		size_t len = *text == '"' ? strcspn(text + 1, "\"") : 0;
		if (*text != '"' || text[1 + len] != '"' || tags == STORE_VERSIONS_MAX)
			return -1;
		add_tag(text + 1, len, weak, ret);
		text += len + 2;
		text += strspn(text, blank);
		if (*text == '\0')
			return 0;
		if (*text != ',')
			return -1;
		text += 1 + strspn(text + 1, blank);
	}
}

void write_etag(struct exchange *x, int64_t updated_at_us)
{
	exchange_header(x, "ETag", "\"%016" PRIx64 "\"", (uint64_t)updated_at_us);
}

/* ---- steps ---- */

/* Two requests are the same when they do the same: method, path, body. */
static int digest_request(struct exchange *x)
{
	size_t len;
	const char *body = http_req_body(x->http, &len);
	const char *method = http_req_method(x->http), *path = http_req_path(x->http);
	uint8_t digest[HASH_SIZE];
	struct hash_stream *stream = hash_begin();
	if (!stream)
		return -1;
	hash_more(stream, method, strlen(method) + 1);
	hash_more(stream, path, strlen(path) + 1);
	hash_more(stream, body, len);
	hash_end(&stream, digest);
	num_hex(digest, HASH_SIZE, x->write.fingerprint);
	return 0;
}

void write_begin(struct exchange *x, write_step *replay, write_step *change)
{
	struct write *write = &x->write;
	const char *key = http_req_header(x->http, "Idempotency-Key");
	write->keyed = key != NULL;
	write->change = change;
	write->replay = replay;
	if (key && write_key_parse(key, write->key) < 0)
		exchange_fail(x, 400, "Idempotency-Key must be 1 to 255 visible ASCII characters");
	else if (write_match_parse(http_req_header(x->http, "If-Match"), &write->match) < 0)
		exchange_fail(x, 400, "If-Match must be * or at most 16 entity tags");
	else if (key && digest_request(x) < 0)
		exchange_fail(x, 500, "out of memory");
	else if (key)
		replay(x);
	else
		change(x);
}

void write_not_kept(struct exchange *x, const struct err *err, const char *failure)
{
	struct write *write = &x->write;
	if (err && strcmp(err->code, "SW007") == 0)
		exchange_fail(x, 422, "this Idempotency-Key was used for another request");
	else if (err)
		exchange_fail_store(x, err, failure);
	else if (write->lost)
		exchange_fail(x, write->lost_status, write->lost_why);
	else
		write->change(x);
}

void write_replayed(struct exchange *x)
{
	exchange_header(x, "Idempotency-Replayed", "true");
}

bool write_beaten(struct exchange *x, int status, const char *why)
{
	struct write *write = &x->write;
	if (!write->keyed || write->lost)
		return false;
	write->lost = true;
	write->lost_status = status;
	write->lost_why = why;
	write->replay(x);
	return true;
}
