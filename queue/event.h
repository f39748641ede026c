/* The events: CloudEvents 1.0 over Kafka. docs/events.md is the format's reference.
 * Written in binary content mode (attributes in headers "ce_*"), read in binary and in
 * structured mode (one JSON object with "specversion"). Source: CloudEvents 1.0.2, and its
 * Kafka protocol binding. */
#ifndef QUEUE_EVENT_H
#define QUEUE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/trace.h"
#include "base/uuid.h"

enum {
	EVENT_ID_MAX = 127,      /* bytes of a resource id */
	EVENT_BYTES_MAX = 65536, /* value and headers of one message; past it: a dead letter */
	EVENT_FIELD_MAX = 16,    /* headers that are looked at */
	EVENT_REASON_MAX = 160,
};

enum event_type {
	EVENT_RUNTIME_RECYCLED,  /* io.sandsweep.runtime.recycled: names one sandbox */
	EVENT_RUNTIME_RESTARTED, /* io.sandsweep.runtime.restarted: names one sandbox */
	EVENT_FUNCTION_DISABLED, /* io.sandsweep.function.disabled: every released sandbox of it */
	EVENT_FUNCTION_DELETED,  /* io.sandsweep.function.deleted: everything of it */
	EVENT_TYPE_COUNT,
};

/* A decoded event: flat, of a fixed size, so that a batch of them has a bounded size too. */
struct event {
	enum event_type type;
	struct uuid id; /* the CloudEvents id, a UUID; the same in every redelivery */
	struct uuid team_id;
	struct uuid function_id;
	struct uuid revision_id;           /* nil unless the type names a sandbox */
	char sandbox_id[EVENT_ID_MAX + 1]; /* "" unless the type names a sandbox */
	char traceparent[TRACE_SIZE];      /* "" when the message carries none that is valid */
};

/* What a Kafka message is made of, borrowed. A missing key or value is NULL with length 0. */
struct event_field {
	const char *name;
	const void *value;
	size_t len;
};
struct event_message {
	const void *key, *value;
	size_t key_len, value_len;
	const struct event_field *fields;
	size_t field_count;
};

/* Decodes and checks one message. Returns 0 or -1 with ERR_REJECT and a stable code that goes to
 * the dead letter's reason: "too_large", "bad_json", "json_depth", "not_cloudevents",
 * "bad_specversion", "bad_content_type", "missing_attribute", "bad_attribute", "unknown_type",
 * "bad_data", "key_mismatch" (the key is there and not the function id). ERR_RETRY: no memory.
 * Pure; never blocks. Unknown attributes and data fields are ignored. */
int event_decode(const struct event_message *message, struct event *ret,
                 struct err *err) MUST_CHECK;

/* "io.sandsweep.runtime.recycled" and so on. */
const char *event_type_name(enum event_type type);
/* 0, or -1 for an unknown name. */
int event_type_parse(const char *name, size_t len, enum event_type *ret);

#endif
