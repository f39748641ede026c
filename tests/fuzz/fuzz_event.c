/* libFuzzer target for event_decode. The input is cut into what a Kafka message is made of:
 *
 *   byte 0      number of headers, modulo 24
 *   then each   one byte: which name (those that the decoder looks for, or one of its own),
 *               one byte: the value's length, and the value
 *   then        one byte: the key's length, 255 for no key, and the key
 *   the rest    the value */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
    "ce_specversion", "ce_id",       "ce_source", "ce_type", "ce_time", "ce_traceparent",
    "content-type",   "traceparent", "ce_x",      "other",   "",        "ce_",
};

/* What is left of the input. */
struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t take_byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/* Copied into memory of exactly its size, so that a read past it is seen. */
static void *take(struct input *in, size_t len)
{
	len = len < in->left ? len : in->left;
	void *copy = malloc(len ? len : 1);
	if (!copy)
		abort();
	memcpy(copy, in->at, len);
	in->at += len;
	in->left -= len;
	return copy;
}

static size_t clip(const struct input *in, size_t len)
{
	return len < in->left ? len : in->left;
}

static void check(const struct event *event)
{
	size_t len = strnlen(event->sandbox_id, sizeof(event->sandbox_id));
	assert(len <= EVENT_ID_MAX);
	assert(!uuid_is_nil(&event->function_id) && !uuid_is_nil(&event->team_id));
	assert((len > 0) == !uuid_is_nil(&event->revision_id));
	assert(!strpbrk(event->sandbox_id, "/\\?#% \n\t"));
	assert(!*event->traceparent || trace_valid(event->traceparent, strlen(event->traceparent)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct event_field fields[24] = {0};
	struct event event;
	struct err err = {0};
	size_t count = take_byte(&in) % 24u;
	for (size_t i = 0; i < count; i++) {
		fields[i].name = names[take_byte(&in) % N_OF(names)];
		size_t len = take_byte(&in);
		fields[i].len = clip(&in, len);
		fields[i].value = take(&in, fields[i].len);
	}
	size_t key_len = take_byte(&in);
	bool has_key = key_len != 255;
	key_len = has_key ? clip(&in, key_len) : 0;
	void *key = has_key ? take(&in, key_len) : NULL;
	size_t value_len = in.left;
	void *value = take(&in, value_len);
	struct event_message message = {.key = key,
	                                .key_len = key_len,
	                                .value = value,
	                                .value_len = value_len,
	                                .fields = fields,
	                                .field_count = count};
	if (event_decode(&message, &event, &err) == 0)
		check(&event);
	else
		assert(err.kind == ERR_REJECT && *err.code);
	for (size_t i = 0; i < count; i++)
		free((void *)(uintptr_t)fields[i].value);
	free(key);
	free(value);
	return 0;
}
