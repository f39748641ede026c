/* event_decode: one row per case, in binary and in structured mode; bounds at the maximum and one
 * past it; and every allocation made to fail once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "queue/event.h"

#define EVENT "0190f5a8-6d5c-7cc1-9d0a-111111111111"
#define TEAM "22222222-2222-4222-8222-222222222222"
#define FUNCTION "33333333-3333-4333-8333-333333333333"
#define REVISION "44444444-4444-4444-8444-444444444444"
#define NIL "00000000-0000-0000-0000-000000000000"
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

#define RECYCLED "io.sandsweep.runtime.recycled"
#define RESTARTED "io.sandsweep.runtime.restarted"
#define DISABLED "io.sandsweep.function.disabled"
#define DELETED "io.sandsweep.function.deleted"

/* Headers are written "name=value\n"; "name\n" is a header without a value. */
#define ATTRS(type) \
	"ce_specversion=1.0\nce_id=" EVENT "\nce_source=/sandsweep/api\nce_type=" type "\n"
#define JSON_TYPE "content-type=application/json\n"
#define CE_TYPE "content-type=application/cloudevents+json\n"

#define FUNCTION_DATA "{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\"}"
#define SANDBOX_OF(id)                                                                       \
	"{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\",\"revision_id\":\"" REVISION \
	"\",\"sandbox_id\":\"" id "\"}"
#define SANDBOX_DATA SANDBOX_OF("rs-default-7x9k2")
#define ENVELOPE(attrs, data) "{" attrs ",\"data\":" data "}"
#define CE_ATTRS(type)                                                                            \
	"\"specversion\":\"1.0\",\"id\":\"" EVENT "\",\"source\":\"/sandsweep/api\",\"type\":\"" type \
	"\""

#define A10 "aaaaaaaaaa"
#define A100 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

struct row {
	const char *name;
	const char *key; /* NULL: none */
	const char *headers;
	const char *value; /* NULL: none */
	const char *want;  /* the code; "" when it decodes */
};

static const struct row rows[] = {
    /* ---- binary mode ---- */
    {"recycled", FUNCTION, ATTRS(RECYCLED) JSON_TYPE, SANDBOX_DATA, ""},
    {"restarted", FUNCTION, ATTRS(RESTARTED) JSON_TYPE, SANDBOX_DATA, ""},
    {"disabled", FUNCTION, ATTRS(DISABLED) JSON_TYPE, FUNCTION_DATA, ""},
    {"deleted", FUNCTION, ATTRS(DELETED) JSON_TYPE, FUNCTION_DATA, ""},
    {"no key", NULL, ATTRS(DELETED) JSON_TYPE, FUNCTION_DATA, ""},
    {"no content type", FUNCTION, ATTRS(DELETED), FUNCTION_DATA, ""},
    {"content type with parameter", FUNCTION,
     ATTRS(DELETED) "content-type=application/json; charset=utf-8\n", FUNCTION_DATA, ""},
    {"content type with space before it", FUNCTION,
     ATTRS(DELETED) "content-type=Application/JSON ;q=1\n", FUNCTION_DATA, ""},
    {"with time", FUNCTION, ATTRS(DELETED) "ce_time=2026-01-02T03:04:05.123456Z\n", FUNCTION_DATA,
     ""},
    {"unknown attribute and field", FUNCTION,
     ATTRS(DELETED) "ce_subject=x\nce_partitionkey=y\nother=z\n",
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\",\"actor\":{\"deep\":[1,2]}}", ""},
    {"sandbox fields of a function event are not read", FUNCTION, ATTRS(DELETED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\",\"sandbox_id\":7}", ""},
    {"upper-case UUIDs", "ABCDEF01-3333-4333-8333-333333333333", ATTRS(DELETED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"ABCDEF01-3333-4333-8333-333333333333\"}", ""},
    {"empty object, no headers", NULL, "", "{}", "not_cloudevents"},
    {"text, no headers", NULL, "", "hello", "not_cloudevents"},
    {"nothing at all", NULL, "", NULL, "not_cloudevents"},
    {"an empty value", NULL, "", "", "not_cloudevents"},
    {"deep JSON, no headers", NULL, "",
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "not_cloudevents"},
    {"a batch", NULL, "content-type=application/cloudevents-batch+json\n", "[]", "not_cloudevents"},

    {"no specversion", NULL, "ce_id=" EVENT "\nce_source=/a\nce_type=" DELETED "\n", FUNCTION_DATA,
     "missing_attribute"},
    {"no id", NULL, "ce_specversion=1.0\nce_source=/a\nce_type=" DELETED "\n", FUNCTION_DATA,
     "missing_attribute"},
    {"no source", NULL, "ce_specversion=1.0\nce_id=" EVENT "\nce_type=" DELETED "\n", FUNCTION_DATA,
     "missing_attribute"},
    {"no type", NULL, "ce_specversion=1.0\nce_id=" EVENT "\nce_source=/a\n", FUNCTION_DATA,
     "missing_attribute"},
    {"only an unknown attribute", NULL, "ce_x=y\n", FUNCTION_DATA, "missing_attribute"},
    {"specversion 0.3", NULL,
     "ce_specversion=0.3\nce_id=" EVENT "\nce_source=/a\nce_type=" DELETED "\n", FUNCTION_DATA,
     "bad_specversion"},
    {"specversion 1.0.2", NULL, "ce_specversion=1.0.2\nce_id=" EVENT "\nce_source=/a\nce_type=x\n",
     FUNCTION_DATA, "bad_specversion"},
    {"specversion without a value", NULL,
     "ce_specversion\nce_id=" EVENT "\nce_source=/a\nce_type=x\n", FUNCTION_DATA,
     "bad_specversion"},
    {"id is no UUID", NULL, "ce_specversion=1.0\nce_id=42\nce_source=/a\nce_type=" DELETED "\n",
     FUNCTION_DATA, "bad_attribute"},
    {"id in braces", NULL,
     "ce_specversion=1.0\nce_id={" EVENT "}\nce_source=/a\nce_type=" DELETED "\n", FUNCTION_DATA,
     "bad_attribute"},
    {"id is nil", NULL, "ce_specversion=1.0\nce_id=" NIL "\nce_source=/a\nce_type=" DELETED "\n",
     FUNCTION_DATA, "bad_attribute"},
    {"source is empty", NULL,
     "ce_specversion=1.0\nce_id=" EVENT "\nce_source=\nce_type=" DELETED "\n", FUNCTION_DATA,
     "bad_attribute"},
    {"source has a space", NULL,
     "ce_specversion=1.0\nce_id=" EVENT "\nce_source=a b\nce_type=" DELETED "\n", FUNCTION_DATA,
     "bad_attribute"},
    {"source is not ASCII", NULL,
     "ce_specversion=1.0\nce_id=" EVENT "\nce_source=/\xc3\xa9\nce_type=" DELETED "\n",
     FUNCTION_DATA, "bad_attribute"},
    {"time is no time", NULL, ATTRS(DELETED) "ce_time=yesterday\n", FUNCTION_DATA, "bad_attribute"},
    {"time is empty", NULL, ATTRS(DELETED) "ce_time=\n", FUNCTION_DATA, "bad_attribute"},
    {"two ids", NULL, ATTRS(DELETED) "ce_id=" EVENT "\n", FUNCTION_DATA, "bad_attribute"},
    {"two of an unknown attribute", NULL, ATTRS(DELETED) "ce_x=1\nce_x=1\n", FUNCTION_DATA,
     "bad_attribute"},
    {"two foreign headers", NULL, ATTRS(DELETED) "x=1\nx=2\n", FUNCTION_DATA, ""},
    {"unknown type", NULL, ATTRS("io.sandsweep.function.paused"), FUNCTION_DATA, "unknown_type"},
    {"type in another case", NULL, ATTRS("IO.sandsweep.function.deleted"), FUNCTION_DATA,
     "unknown_type"},
    {"a longer type", NULL, ATTRS(DELETED ".v2"), FUNCTION_DATA, "unknown_type"},
    {"a result", NULL, ATTRS("io.sandsweep.resource.gone"), FUNCTION_DATA, "unknown_type"},
    {"content type text", NULL, ATTRS(DELETED) "content-type=text/plain\n", FUNCTION_DATA,
     "bad_content_type"},
    {"content type empty", NULL, ATTRS(DELETED) "content-type=\n", FUNCTION_DATA,
     "bad_content_type"},
    {"content type without a value", NULL, ATTRS(DELETED) "content-type\n", FUNCTION_DATA,
     "bad_content_type"},
    {"content type begins alike", NULL, ATTRS(DELETED) "content-type=application/jsonx\n",
     FUNCTION_DATA, "bad_content_type"},
    {"content type of JSON's family", NULL, ATTRS(DELETED) "content-type=application/vnd.a+json\n",
     FUNCTION_DATA, "bad_content_type"},
    {"two content types", NULL, ATTRS(DELETED) JSON_TYPE JSON_TYPE, FUNCTION_DATA,
     "bad_content_type"},
    {"a batch with headers", NULL,
     ATTRS(DELETED) "content-type=application/cloudevents-batch+json\n", "[]", "bad_content_type"},

    {"no value", NULL, ATTRS(DELETED), NULL, "bad_data"},
    {"empty value", NULL, ATTRS(DELETED), "", "bad_data"},
    {"broken JSON", NULL, ATTRS(DELETED), "{\"team_id\":", "bad_json"},
    {"two JSON texts", NULL, ATTRS(DELETED), FUNCTION_DATA "{}", "bad_json"},
    {"a key twice", NULL, ATTRS(DELETED),
     "{\"team_id\":\"" TEAM "\",\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\"}",
     "bad_json"},
    {"not UTF-8", NULL, ATTRS(DELETED), "{\"team_id\":\"\xff\"}", "bad_json"},
    {"32 deep", NULL, ATTRS(DELETED),
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "bad_data"},
    {"33 deep", NULL, ATTRS(DELETED),
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "json_depth"},
    {"data is an array", NULL, ATTRS(DELETED), "[]", "bad_data"},
    {"data is null", NULL, ATTRS(DELETED), "null", "bad_data"},
    {"data is text", NULL, ATTRS(DELETED), "\"x\"", "bad_data"},
    {"no team", NULL, ATTRS(DELETED), "{\"function_id\":\"" FUNCTION "\"}", "bad_data"},
    {"team is null", NULL, ATTRS(DELETED), "{\"team_id\":null,\"function_id\":\"" FUNCTION "\"}",
     "bad_data"},
    {"team is a number", NULL, ATTRS(DELETED), "{\"team_id\":1,\"function_id\":\"" FUNCTION "\"}",
     "bad_data"},
    {"team is nil", NULL, ATTRS(DELETED),
     "{\"team_id\":\"" NIL "\",\"function_id\":\"" FUNCTION "\"}", "bad_data"},
    {"no function", NULL, ATTRS(DELETED), "{\"team_id\":\"" TEAM "\"}", "bad_data"},
    {"function is a slug", NULL, ATTRS(DELETED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"my-fn\"}", "bad_data"},
    {"function without dashes", NULL, ATTRS(DELETED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"33333333333343338333333333333333\"}", "bad_data"},
    {"recycled without revision", NULL, ATTRS(RECYCLED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\",\"sandbox_id\":\"a\"}",
     "bad_data"},
    {"revision is nil", NULL, ATTRS(RECYCLED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\",\"revision_id\":\"" NIL
     "\",\"sandbox_id\":\"a\"}",
     "bad_data"},
    {"recycled without sandbox", NULL, ATTRS(RECYCLED), FUNCTION_DATA, "bad_data"},
    {"restarted without sandbox", NULL, ATTRS(RESTARTED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\",\"revision_id\":\"" REVISION "\"}",
     "bad_data"},
    {"sandbox id of 1 byte", NULL, ATTRS(RECYCLED), SANDBOX_OF("a"), ""},
    {"sandbox id of 127 bytes", NULL, ATTRS(RECYCLED), SANDBOX_OF(A100 A10 A10 "aaaaaaa"), ""},
    {"sandbox id of 128 bytes", NULL, ATTRS(RECYCLED), SANDBOX_OF(A100 A10 A10 "aaaaaaaa"),
     "bad_data"},
    {"sandbox id is empty", NULL, ATTRS(RECYCLED), SANDBOX_OF(""), "bad_data"},
    {"sandbox id is a number", NULL, ATTRS(RECYCLED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"" FUNCTION "\",\"revision_id\":\"" REVISION
     "\",\"sandbox_id\":7}",
     "bad_data"},
    {"sandbox id of strange but safe bytes", NULL, ATTRS(RECYCLED),
     SANDBOX_OF("~a_b.c:d@e!$&'()*+,;=[]|<>^`{}"), ""},
    {"sandbox id with three dots", NULL, ATTRS(RECYCLED), SANDBOX_OF("..."), ""},
    {"sandbox id .", NULL, ATTRS(RECYCLED), SANDBOX_OF("."), "bad_data"},
    {"sandbox id ..", NULL, ATTRS(RECYCLED), SANDBOX_OF(".."), "bad_data"},
    {"sandbox id with /", NULL, ATTRS(RECYCLED), SANDBOX_OF("a/b"), "bad_data"},
    {"sandbox id with backslash", NULL, ATTRS(RECYCLED), SANDBOX_OF("a\\\\b"), "bad_data"},
    {"sandbox id with ?", NULL, ATTRS(RECYCLED), SANDBOX_OF("a?force=true"), "bad_data"},
    {"sandbox id with #", NULL, ATTRS(RECYCLED), SANDBOX_OF("a#b"), "bad_data"},
    {"sandbox id with %", NULL, ATTRS(RECYCLED), SANDBOX_OF("%2e%2e"), "bad_data"},
    {"sandbox id with space", NULL, ATTRS(RECYCLED), SANDBOX_OF("a b"), "bad_data"},
    {"sandbox id with line end", NULL, ATTRS(RECYCLED), SANDBOX_OF("a\\nb"), "bad_data"},
    {"sandbox id with NUL", NULL, ATTRS(RECYCLED), SANDBOX_OF("a\\u0000b"), "bad_json"},
    {"sandbox id with DEL", NULL, ATTRS(RECYCLED), SANDBOX_OF("a\\u007f"), "bad_data"},
    {"sandbox id not ASCII", NULL, ATTRS(RECYCLED), SANDBOX_OF("\xc3\xa9"), "bad_data"},

    {"key is another function", TEAM, ATTRS(DELETED), FUNCTION_DATA, "key_mismatch"},
    {"key is empty", "", ATTRS(DELETED), FUNCTION_DATA, "key_mismatch"},
    {"key is in braces", "{" FUNCTION "}", ATTRS(DELETED), FUNCTION_DATA, "key_mismatch"},
    {"key is longer", FUNCTION " ", ATTRS(DELETED), FUNCTION_DATA, "key_mismatch"},
    {"key in another case", "ABCDEF01-3333-4333-8333-333333333333", ATTRS(DELETED),
     "{\"team_id\":\"" TEAM "\",\"function_id\":\"abcdef01-3333-4333-8333-333333333333\"}", ""},

    /* ---- structured mode ---- */
    {"structured", FUNCTION, CE_TYPE, ENVELOPE(CE_ATTRS(RECYCLED), SANDBOX_DATA), ""},
    {"structured, charset", FUNCTION, "content-type=application/cloudevents+json; charset=UTF-8\n",
     ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA), ""},
    {"structured, undeclared", NULL, "", ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA), ""},
    {"structured, declared as JSON", NULL, JSON_TYPE, ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA),
     ""},
    {"structured wins over headers", NULL, CE_TYPE "ce_id=nonsense\n",
     ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA), ""},
    {"structured with content type", NULL, CE_TYPE,
     ENVELOPE(CE_ATTRS(DELETED) ",\"datacontenttype\":\"application/json\"", FUNCTION_DATA), ""},
    {"structured with time", NULL, CE_TYPE,
     ENVELOPE(CE_ATTRS(DELETED) ",\"time\":\"2026-01-02T03:04:05+02:00\"", FUNCTION_DATA), ""},
    {"structured with unknown extension", NULL, CE_TYPE,
     ENVELOPE(CE_ATTRS(DELETED) ",\"x\":{\"y\":1}", FUNCTION_DATA), ""},
    {"structured, broken", NULL, CE_TYPE, "{", "bad_json"},
    {"structured, too deep", NULL, CE_TYPE,
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "json_depth"},
    {"structured, an array", NULL, CE_TYPE, "[]", "not_cloudevents"},
    {"structured, empty", NULL, CE_TYPE, "", "not_cloudevents"},
    {"structured without specversion", NULL, CE_TYPE, "{\"id\":\"" EVENT "\"}",
     "missing_attribute"},
    {"structured without type", NULL, CE_TYPE,
     "{\"specversion\":\"1.0\",\"id\":\"" EVENT "\",\"source\":\"/a\",\"data\":" FUNCTION_DATA "}",
     "missing_attribute"},
    {"structured, id null", NULL, CE_TYPE,
     "{\"specversion\":\"1.0\",\"id\":null,\"source\":\"/a\",\"type\":\"" DELETED "\"}",
     "missing_attribute"},
    {"structured, id a number", NULL, CE_TYPE,
     "{\"specversion\":\"1.0\",\"id\":7,\"source\":\"/a\",\"type\":\"" DELETED "\"}",
     "bad_attribute"},
    {"structured, specversion a number", NULL, CE_TYPE, "{\"specversion\":1.0}", "bad_attribute"},
    {"structured, specversion 2", NULL, CE_TYPE,
     "{\"specversion\":\"2.0\",\"id\":\"" EVENT "\",\"source\":\"/a\",\"type\":\"" DELETED "\"}",
     "bad_specversion"},
    {"structured, source empty", NULL, CE_TYPE,
     "{\"specversion\":\"1.0\",\"id\":\"" EVENT "\",\"source\":\"\",\"type\":\"" DELETED "\"}",
     "bad_attribute"},
    {"structured, unknown type", NULL, CE_TYPE, ENVELOPE(CE_ATTRS("x"), "{}"), "unknown_type"},
    {"structured, XML inside", NULL, CE_TYPE,
     ENVELOPE(CE_ATTRS(DELETED) ",\"datacontenttype\":\"text/xml\"", FUNCTION_DATA),
     "bad_content_type"},
    {"structured, no data", NULL, CE_TYPE, "{" CE_ATTRS(DELETED) "}", "bad_data"},
    {"structured, data null", NULL, CE_TYPE, ENVELOPE(CE_ATTRS(DELETED), "null"), "bad_data"},
    {"structured, data text", NULL, CE_TYPE, ENVELOPE(CE_ATTRS(DELETED), "\"x\""), "bad_data"},
    {"structured, base64", NULL, CE_TYPE, "{" CE_ATTRS(DELETED) ",\"data_base64\":\"e30=\"}",
     "bad_data"},
    {"structured, bad sandbox", NULL, CE_TYPE, ENVELOPE(CE_ATTRS(RECYCLED), SANDBOX_OF("a/b")),
     "bad_data"},
    {"structured, wrong key", TEAM, CE_TYPE, ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA),
     "key_mismatch"},
    {"undeclared, specversion null", NULL, "", "{\"specversion\":null}", "missing_attribute"},
};

/* A message in memory of exactly its size, so that the sanitizer sees any byte read past it. */
struct box {
	struct event_message message;
	struct event_field fields[64];
	char *text, *value, *key;
};

static void *exact(const void *data, size_t len)
{
	void *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, data, len);
	return copy;
}

static void box_init(struct box *box, const char *key, const char *headers, const char *value)
{
	*box = (struct box){.text = strdup(headers)};
	box->value = value ? exact(value, strlen(value)) : NULL;
	box->key = key ? exact(key, strlen(key)) : NULL;
	box->message = (struct event_message){
	    .key = box->key,
	    .key_len = key ? strlen(key) : 0,
	    .value = box->value,
	    .value_len = value ? strlen(value) : 0,
	    .fields = box->fields,
	};
	for (char *line = box->text; *line;) {
		char *end = strchr(line, '\n'), *equals = memchr(line, '=', (size_t)(end - line));
		*end = '\0';
		struct event_field *field = &box->fields[box->message.field_count++];
		field->name = line;
		if (equals) {
			*equals = '\0';
			field->len = (size_t)(end - equals) - 1;
			field->value = equals + 1;
		}
		line = end + 1;
	}
}

static void box_done(struct box *box)
{
	free(box->text);
	free(box->value);
	free(box->key);
}

static void check(const char *name, const struct event_message *message, const char *want)
{
	struct event event, before;
	struct err err = {0};
	memset(&event, 0x5a, sizeof(event));
	before = event;
	int rc = event_decode(message, &event, &err);
	if (strcmp(err.code, want) != 0 || rc != (*want ? -1 : 0))
		fail_msg("%s: got %d \"%s\" (%s), want \"%s\"", name, rc, err.code, err.text, want);
	if (rc < 0) {
		assert_int_equal(err.kind, ERR_REJECT);
		assert_true(err.text[0]);
		assert_memory_equal(&event, &before, sizeof(event));
	}
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct box box;
		box_init(&box, rows[i].key, rows[i].headers, rows[i].value);
		check(rows[i].name, &box.message, rows[i].want);
		box_done(&box);
	}
}

static struct event decode(const char *headers, const char *value)
{
	struct box box;
	struct event event;
	struct err err = {0};
	box_init(&box, FUNCTION, headers, value);
	if (event_decode(&box.message, &event, &err) < 0)
		fail_msg("%s: %s", err.code, err.text);
	box_done(&box);
	return event;
}

static void assert_uuid(const struct uuid *uuid, const char *want)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(uuid, text);
	assert_string_equal(text, want);
}

static void check_fields(const struct event *event, enum event_type type)
{
	assert_int_equal(event->type, type);
	assert_uuid(&event->id, EVENT);
	assert_uuid(&event->team_id, TEAM);
	assert_uuid(&event->function_id, FUNCTION);
	bool sandbox = type == EVENT_RUNTIME_RECYCLED || type == EVENT_RUNTIME_RESTARTED;
	assert_uuid(&event->revision_id, sandbox ? REVISION : NIL);
	assert_string_equal(event->sandbox_id, sandbox ? "rs-default-7x9k2" : "");
}

static void test_fields(void **state)
{
	(void)state;
	struct event event = decode(ATTRS(RECYCLED), SANDBOX_DATA);
	check_fields(&event, EVENT_RUNTIME_RECYCLED);
	event = decode(ATTRS(RESTARTED), SANDBOX_DATA);
	check_fields(&event, EVENT_RUNTIME_RESTARTED);
	event = decode(ATTRS(DISABLED), SANDBOX_DATA);
	check_fields(&event, EVENT_FUNCTION_DISABLED);
	event = decode(CE_TYPE, ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA));
	check_fields(&event, EVENT_FUNCTION_DELETED);
	event = decode(CE_TYPE, ENVELOPE(CE_ATTRS(RECYCLED), SANDBOX_DATA));
	check_fields(&event, EVENT_RUNTIME_RECYCLED);
}

static void test_traceparent(void **state)
{
	(void)state;
	static const char structured[] =
	    ENVELOPE(CE_ATTRS(DELETED) ",\"traceparent\":\"" TRACE "\"", FUNCTION_DATA);
	static const struct {
		const char *headers, *value, *want;
	} cases[] = {
	    {ATTRS(DELETED), FUNCTION_DATA, ""},
	    {ATTRS(DELETED) "ce_traceparent=" TRACE "\n", FUNCTION_DATA, TRACE},
	    {ATTRS(DELETED) "traceparent=" TRACE "\n", FUNCTION_DATA, TRACE},
	    {ATTRS(DELETED) "traceparent=nonsense\nce_traceparent=" TRACE "\n", FUNCTION_DATA, TRACE},
	    {ATTRS(DELETED) "ce_traceparent=nonsense\n", FUNCTION_DATA, ""},
	    {ATTRS(DELETED) "ce_traceparent=\n", FUNCTION_DATA, ""},
	    {ATTRS(DELETED) "ce_traceparent\n", FUNCTION_DATA, ""},
	    {ATTRS(DELETED) "ce_traceparent=" TRACE "x\n", FUNCTION_DATA, ""},
	    {ATTRS(DELETED) "ce_traceparent=01"
	                    "-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more\n",
	     FUNCTION_DATA, "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	    {CE_TYPE, structured, TRACE},
	    {CE_TYPE "traceparent=" TRACE "\n", ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA), TRACE},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct event event = decode(cases[i].headers, cases[i].value);
		assert_string_equal(event.traceparent, cases[i].want);
	}
}

/* Value and headers together may have EVENT_BYTES_MAX bytes, and not one more. */
static void test_size(void **state)
{
	(void)state;
	for (int extra = 0; extra <= 1; extra++) {
		struct box box;
		box_init(&box, FUNCTION, ATTRS(DELETED), FUNCTION_DATA);
		size_t headers = 0;
		for (size_t i = 0; i < box.message.field_count; i++)
			headers += strlen(box.fields[i].name) + box.fields[i].len;
		size_t len = EVENT_BYTES_MAX - headers + (size_t)extra;
		char *value = malloc(len);
		assert_non_null(value);
		memset(value, ' ', len);
		memcpy(value, FUNCTION_DATA, sizeof(FUNCTION_DATA) - 1);
		box.message.value = value;
		box.message.value_len = len;
		check("size", &box.message, extra ? "too_large" : "");
		free(value);
		box_done(&box);
	}
}

static void test_source_size(void **state)
{
	(void)state;
	for (int extra = 0; extra <= 1; extra++) {
		struct box box;
		char source[1025];
		box_init(&box, FUNCTION, ATTRS(DELETED), FUNCTION_DATA);
		memset(source, 'a', sizeof(source));
		for (size_t i = 0; i < box.message.field_count; i++)
			if (strcmp(box.fields[i].name, "ce_source") == 0) {
				box.fields[i].value = source;
				box.fields[i].len = 1024 + (size_t)extra;
			}
		check("source", &box.message, extra ? "bad_attribute" : "");
		box_done(&box);
	}
}

/* Of a message's headers the first EVENT_FIELD_MAX are looked at. */
static void test_field_count(void **state)
{
	(void)state;
	static const char twelve[] = "a=1\nb=1\nc=1\nd=1\ne=1\nf=1\ng=1\nh=1\ni=1\nj=1\nk=1\nl=1\n";
	char headers[1024];
	struct box box;
	(void)snprintf(headers, sizeof(headers), "%s%s", twelve, ATTRS(DELETED));
	box_init(&box, FUNCTION, headers, FUNCTION_DATA);
	assert_int_equal(box.message.field_count, EVENT_FIELD_MAX);
	check("sixteen", &box.message, "");
	box_done(&box);
	(void)snprintf(headers, sizeof(headers), "%sm=1\n%s", twelve, ATTRS(DELETED));
	box_init(&box, FUNCTION, headers, FUNCTION_DATA);
	check("seventeen", &box.message, "missing_attribute");
	box_done(&box);
}

static void test_types(void **state)
{
	(void)state;
	for (int i = 0; i < EVENT_TYPE_COUNT; i++) {
		const char *name = event_type_name((enum event_type)i);
		enum event_type type;
		assert_int_equal(event_type_parse(name, strlen(name), &type), 0);
		assert_int_equal(type, i);
		assert_int_equal(event_type_parse(name, strlen(name) - 1, &type), -1);
	}
	enum event_type type;
	assert_int_equal(event_type_parse("", 0, &type), -1);
	assert_string_equal(event_type_name(EVENT_TYPE_COUNT), "unknown");
}

/* ---- without memory ---- */

static int allocations, fail_at;
static int live;

static void *failing_malloc(size_t size)
{
	if (++allocations == fail_at)
		return NULL;
	live++;
	return malloc(size);
}

static void counting_free(void *memory)
{
	live -= memory != NULL;
	free(memory);
}

static void fail_each_allocation(const char *headers, const char *value)
{
	struct box box;
	struct event event;
	box_init(&box, FUNCTION, headers, value);
	for (fail_at = 1;; fail_at++) {
		struct err err = {0};
		allocations = 0;
		int rc = event_decode(&box.message, &event, &err);
		assert_int_equal(live, 0);
		if (allocations < fail_at) {
			assert_int_equal(rc, 0);
			break;
		}
		/* jansson takes some lacks of memory for a syntax error, or loses a byte of a text: then
		 * that is what it looks like */
		if (rc < 0)
			assert_true(err.kind == ERR_RETRY || err.kind == ERR_REJECT);
	}
	assert_true(fail_at > 10);
	box_done(&box);
}

static void test_no_memory(void **state)
{
	(void)state;
	json_malloc_t old_malloc;
	json_free_t old_free;
	json_get_alloc_funcs(&old_malloc, &old_free);
	json_set_alloc_funcs(failing_malloc, counting_free);
	fail_each_allocation(ATTRS(RECYCLED), SANDBOX_DATA);
	fail_each_allocation(CE_TYPE, ENVELOPE(CE_ATTRS(RECYCLED), SANDBOX_DATA));
	fail_each_allocation("", ENVELOPE(CE_ATTRS(DELETED), FUNCTION_DATA));
	json_set_alloc_funcs(old_malloc, old_free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),        cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_traceparent), cmocka_unit_test(test_size),
	    cmocka_unit_test(test_source_size), cmocka_unit_test(test_field_count),
	    cmocka_unit_test(test_types),       cmocka_unit_test(test_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
