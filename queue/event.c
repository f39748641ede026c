#include "event.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"

enum { SOURCE_MAX = 1024 };

static const char *const type_names[] = {
    [EVENT_RUNTIME_RECYCLED] = "io.sandsweep.runtime.recycled",
    [EVENT_RUNTIME_RESTARTED] = "io.sandsweep.runtime.restarted",
    [EVENT_FUNCTION_DISABLED] = "io.sandsweep.function.disabled",
    [EVENT_FUNCTION_DELETED] = "io.sandsweep.function.deleted",
};

const char *event_type_name(enum event_type type)
{
	return (size_t)type < N_OF(type_names) ? type_names[type] : "unknown";
}

int event_type_parse(const char *name, size_t len, enum event_type *ret)
{
	for (size_t i = 0; i < N_OF(type_names); i++)
		if (strlen(type_names[i]) == len && memcmp(type_names[i], name, len) == 0) {
			*ret = (enum event_type)i;
			return 0;
		}
	return -1;
}

static bool names_sandbox(enum event_type type)
{
	return type == EVENT_RUNTIME_RECYCLED || type == EVENT_RUNTIME_RESTARTED;
}

/* ---- the attributes, wherever they came from ---- */

/* Borrowed text; data NULL: not there. */
struct text {
	const char *data;
	size_t len;
};
enum attribute {
	ATTR_SPECVERSION,
	ATTR_ID,
	ATTR_SOURCE,
	ATTR_TYPE,
	ATTR_TIME,
	ATTR_CONTENT_TYPE, /* of the data */
	ATTR_TRACEPARENT,
	ATTR_COUNT,
};
static const struct {
	const char *name;
	bool required;
} attributes[ATTR_COUNT] = {
    [ATTR_SPECVERSION] = {"specversion", true},
    [ATTR_ID] = {"id", true},
    [ATTR_SOURCE] = {"source", true},
    [ATTR_TYPE] = {"type", true},
    [ATTR_TIME] = {"time", false},
    [ATTR_CONTENT_TYPE] = {"datacontenttype", false},
    [ATTR_TRACEPARENT] = {"traceparent", false},
};

static int reject(struct err *err, const char *code, const char *text)
{
	return err_set(err, ERR_REJECT, code, "%s", text);
}

/* What the JSON layer only calls bad JSON, under the code that says which part was bad. A lack of
 * memory stays what it is. */
static int reject_as(struct err *err, const char *code, const struct err *inner)
{
	if (inner->kind != ERR_REJECT)
		return err_set(err, inner->kind, inner->code, "%s", inner->text);
	return err_set(err, ERR_REJECT, code, "%s", inner->text);
}

/* A media type's name before any parameter (RFC 9110, 8.3.1), compared as it asks. */
static bool media_type_is(struct text type, const char *want)
{
	const char *end = memchr(type.data, ';', type.len);
	size_t len = end ? (size_t)(end - type.data) : type.len, want_len = strlen(want);
	while (len > 0 && (type.data[len - 1] == ' ' || type.data[len - 1] == '\t'))
		len--;
	return len == want_len && strncasecmp(type.data, want, len) == 0;
}

static int check_content_type(struct text type, struct err *err)
{
	if (!type.data || media_type_is(type, "application/json"))
		return 0;
	return reject(err, "bad_content_type", "the data's content type must be application/json");
}

/* A URI-reference is visible ASCII (RFC 3986); what exactly it says is the producer's affair. */
static bool source_valid(struct text source)
{
	for (size_t i = 0; i < source.len; i++)
		if (source.data[i] <= 0x20 || source.data[i] >= 0x7f)
			return false;
	return source.len > 0 && source.len <= SOURCE_MAX;
}

static int check_required(const struct text attrs[ATTR_COUNT], struct err *err)
{
	for (size_t i = 0; i < ATTR_COUNT; i++)
		if (attributes[i].required && !attrs[i].data)
			return err_set(err, ERR_REJECT, "missing_attribute", "the attribute %s is missing",
			               attributes[i].name);
	return 0;
}

/* An unusable trace only costs the trace. */
static void take_traceparent(struct text trace, struct event *event)
{
	if (trace.data && trace_valid(trace.data, trace.len))
		memcpy(event->traceparent, trace.data, TRACE_SIZE - 1);
}

static int take_attributes(const struct text attrs[ATTR_COUNT], struct event *event,
                           struct err *err)
{
	struct text version = attrs[ATTR_SPECVERSION], id = attrs[ATTR_ID], type = attrs[ATTR_TYPE],
	            when = attrs[ATTR_TIME];
	int64_t time_us;
	if (check_required(attrs, err) < 0)
		return -1;
	if (version.len != 3 || memcmp(version.data, "1.0", 3) != 0)
		return reject(err, "bad_specversion", "specversion must be 1.0");
	if (uuid_parse_plain(id.data, id.len, &event->id) < 0 || uuid_is_nil(&event->id))
		return reject(err, "bad_attribute", "id must be a UUID");
	if (!source_valid(attrs[ATTR_SOURCE]))
		return reject(err, "bad_attribute", "source must be a URI-reference of 1 to 1024 bytes");
	if (when.data && clock_parse_rfc3339(when.data, when.len, &time_us) < 0)
		return reject(err, "bad_attribute", "time must be an RFC 3339 date-time");
	if (event_type_parse(type.data, type.len, &event->type) < 0)
		return err_set(err, ERR_REJECT, "unknown_type", "the type %.*s is not known",
		               (int)(type.len < 100 ? type.len : 100), type.data);
	take_traceparent(attrs[ATTR_TRACEPARENT], event);
	return check_content_type(attrs[ATTR_CONTENT_TYPE], err);
}

/* ---- data ---- */

struct data {
	struct uuid team_id, function_id, revision_id;
	const char *sandbox_id;
};
/* The first two are every event's, the others only those of an event that names a sandbox. */
static const struct json_field data_fields[] = {
    {"team_id", JSON_KIND_UUID, offsetof(struct data, team_id), JSON_REQUIRED, 0, 0},
    {"function_id", JSON_KIND_UUID, offsetof(struct data, function_id), JSON_REQUIRED, 0, 0},
    {"revision_id", JSON_KIND_UUID, offsetof(struct data, revision_id), JSON_REQUIRED, 0, 0},
    {"sandbox_id", JSON_KIND_STR, offsetof(struct data, sandbox_id), JSON_REQUIRED, 1,
     EVENT_ID_MAX},
};
enum { DATA_FIELDS_FUNCTION = 2 };

/* The id becomes one segment of a URL path. It is percent-encoded there, but proxies and clients
 * decode, split and normalise paths before they route them: nothing that could then reach another
 * path is taken. */
static bool sandbox_id_valid(const char *id)
{
	if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return false;
	for (; *id; id++)
		if (*id <= 0x20 || *id >= 0x7f || strchr("/\\?#%", *id))
			return false;
	return true;
}

static int take_data(json_t *json, struct event *event, struct err *err)
{
	struct data data = {0};
	struct err inner = {0};
	bool sandbox = names_sandbox(event->type);
	size_t field_count = sandbox ? N_OF(data_fields) : DATA_FIELDS_FUNCTION;
	if (json_decode(json, data_fields, field_count, &data, &inner) < 0)
		return reject_as(err, "bad_data", &inner);
	if (uuid_is_nil(&data.team_id) || uuid_is_nil(&data.function_id) ||
	    (sandbox && uuid_is_nil(&data.revision_id)))
		return reject(err, "bad_data",
		              "team_id, function_id and revision_id must not be nil UUIDs");
	if (sandbox && !sandbox_id_valid(data.sandbox_id))
		return reject(err, "bad_data",
		              "sandbox_id must be visible ASCII without / \\ ? # %, and neither . nor ..");
	event->team_id = data.team_id;
	event->function_id = data.function_id;
	event->revision_id = data.revision_id;
	if (sandbox)
		memcpy(event->sandbox_id, data.sandbox_id, strlen(data.sandbox_id) + 1);
	return 0;
}

/* ---- the two content modes ---- */

static struct text field_text(const struct event_field *field)
{
	return (struct text){field->value ? field->value : "", field->len};
}

static size_t looked_at(const struct event_message *message)
{
	return message->field_count < EVENT_FIELD_MAX ? message->field_count : EVENT_FIELD_MAX;
}

/* The value of the header `name`; of two, *ret_twice says so. */
static struct text find_field(const struct event_message *message, const char *name,
                              bool *ret_twice)
{
	struct text found = {0};
	for (size_t i = 0; i < looked_at(message); i++) {
		if (strcmp(message->fields[i].name, name) != 0)
			continue;
		*ret_twice = *ret_twice || found.data;
		found = field_text(&message->fields[i]);
	}
	return found;
}

static bool is_attribute_field(const struct event_field *field)
{
	return strncmp(field->name, "ce_", 3) == 0;
}

static bool has_attribute_fields(const struct event_message *message)
{
	for (size_t i = 0; i < looked_at(message); i++)
		if (is_attribute_field(&message->fields[i]))
			return true;
	return false;
}

/* Two of one name, known or not: two readers of the message could see two events. */
static int refuse_twins(const struct event_message *message, struct err *err)
{
	for (size_t i = 0; i < looked_at(message); i++)
		for (size_t j = 0; j < i; j++)
			if (is_attribute_field(&message->fields[i]) &&
			    strcmp(message->fields[i].name, message->fields[j].name) == 0)
				return err_set(err, ERR_REJECT, "bad_attribute", "the header %.100s comes twice",
				               message->fields[i].name);
	return 0;
}

static int decode_binary(const struct event_message *message, struct text content_type,
                         struct event *event, struct err *err)
{
	struct text attrs[ATTR_COUNT];
	bool twice = false; /* refused before */
	if (refuse_twins(message, err) < 0)
		return -1;
	for (size_t i = 0; i < ATTR_COUNT; i++) {
		char name[32] = "ce_";
		strncat(name, attributes[i].name, sizeof(name) - sizeof("ce_"));
		attrs[i] = find_field(message, name, &twice);
	}
	/* The Kafka binding maps this one attribute to a header of its own. */
	attrs[ATTR_CONTENT_TYPE] = content_type;
	if (!attrs[ATTR_TRACEPARENT].data)
		attrs[ATTR_TRACEPARENT] = find_field(message, "traceparent", &twice);
	if (take_attributes(attrs, event, err) < 0)
		return -1;
	if (message->value_len == 0)
		return reject(err, "bad_data", "the message has no value");
	AUTO(json_drop) json_t *json = json_parse(message->value, message->value_len, err);
	return json ? take_data(json, event, err) : -1;
}

struct envelope {
	const char *attrs[ATTR_COUNT];
	bool has_attrs[ATTR_COUNT];
	json_t *data;
	bool has_data;
};

static int decode_envelope(json_t *json, struct envelope *envelope, struct err *err)
{
	struct json_field fields[ATTR_COUNT];
	struct err inner = {0};
	for (size_t i = 0; i < ATTR_COUNT; i++)
		fields[i] = (struct json_field){attributes[i].name,
		                                JSON_KIND_STR,
		                                offsetof(struct envelope, attrs) + i * sizeof(char *),
		                                offsetof(struct envelope, has_attrs) + i * sizeof(bool),
		                                0,
		                                EVENT_BYTES_MAX};
	if (json_decode(json, fields, N_OF(fields), envelope, &inner) < 0)
		return reject_as(err, "bad_attribute", &inner);
	static const struct json_field data = {"data",
	                                       JSON_KIND_OBJ,
	                                       offsetof(struct envelope, data),
	                                       offsetof(struct envelope, has_data),
	                                       0,
	                                       0};
	if (json_decode(json, &data, 1, envelope, &inner) < 0)
		return reject_as(err, "bad_data", &inner);
	return 0;
}

static int decode_structured(const struct event_message *message, json_t *json, struct event *event,
                             struct err *err)
{
	struct envelope envelope = {0};
	struct text attrs[ATTR_COUNT] = {0};
	bool twice = false;
	if (decode_envelope(json, &envelope, err) < 0)
		return -1;
	for (size_t i = 0; i < ATTR_COUNT; i++)
		if (envelope.has_attrs[i])
			attrs[i] = (struct text){envelope.attrs[i], strlen(envelope.attrs[i])};
	if (!attrs[ATTR_TRACEPARENT].data)
		attrs[ATTR_TRACEPARENT] = find_field(message, "traceparent", &twice);
	if (take_attributes(attrs, event, err) < 0)
		return -1;
	if (!envelope.has_data)
		return reject(err, "bad_data", "data is missing (data_base64 is not read)");
	return take_data(envelope.data, event, err);
}

/* Says so itself, or is taken for one because it has no ce_ header and looks like one. */
static int decode_maybe_structured(const struct event_message *message, bool declared,
                                   struct event *event, struct err *err)
{
	static const char neither[] = "neither ce_ headers nor a JSON object with specversion";
	struct err inner = {0};
	if (message->value_len == 0)
		return reject(err, "not_cloudevents", neither);
	AUTO(json_drop) json_t *json = json_parse(message->value, message->value_len, &inner);
	if (!json)
		return reject_as(err, declared ? inner.code : "not_cloudevents", &inner);
	if (!json_is_object(json) || (!declared && !json_object_get(json, "specversion")))
		return reject(err, "not_cloudevents", neither);
	return decode_structured(message, json, event, err);
}

/* ---- */

static int check_size(const struct event_message *message, struct err *err)
{
	size_t bytes = message->value_len;
	for (size_t i = 0; i < message->field_count; i++)
		bytes += strlen(message->fields[i].name) + message->fields[i].len;
	if (bytes <= EVENT_BYTES_MAX)
		return 0;
	return err_set(err, ERR_REJECT, "too_large", "value and headers have %zu bytes, more than %d",
	               bytes, EVENT_BYTES_MAX);
}

/* The key decides the partition, and with it the order: another one would undo both. */
static int check_key(const struct event_message *message, const struct event *event,
                     struct err *err)
{
	struct uuid key;
	if (!message->key || (uuid_parse_plain(message->key, message->key_len, &key) == 0 &&
	                      uuid_equal(&key, &event->function_id)))
		return 0;
	return reject(err, "key_mismatch", "the key is there and is not the function_id as plain text");
}

int event_decode(const struct event_message *message, struct event *ret, struct err *err)
{
	struct event event = {0};
	bool twice = false;
	if (check_size(message, err) < 0)
		return -1;
	struct text type = find_field(message, "content-type", &twice);
	if (twice)
		return reject(err, "bad_content_type", "the header content-type comes twice");
	bool declared = type.data && media_type_is(type, "application/cloudevents+json");
	int failed = !declared && has_attribute_fields(message)
	                 ? decode_binary(message, type, &event, err)
	                 : decode_maybe_structured(message, declared, &event, err);
	if (failed || check_key(message, &event, err) < 0)
		return -1;
	*ret = event;
	return 0;
}
