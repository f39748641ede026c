/* JSON at the edge (jansson): a size that was checked, a depth that is checked before the parser
 * recurses, duplicate keys refused, and one strict step from json_t into a struct. Business code
 * never walks a json_t. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "uuid.h"

enum { JSON_DEPTH_MAX = 32 };

/* Parses exactly one JSON text of `len` bytes, nested at most JSON_DEPTH_MAX deep.
 * The caller owns the result (json_decref). NULL and *err: ERR_REJECT "bad_json" (what and
 * where), "json_depth"; ERR_RETRY "ENOMEM". */
json_t *json_parse(const char *text, size_t len, struct err *err) MUST_CHECK;

/* For AUTO(json_drop) on a json_t *. */
void json_drop(json_t **json);

enum json_kind {
	JSON_KIND_STR,  /* const char *, borrowed from the json_t; `max` bytes at most, no NUL inside */
	JSON_KIND_UUID, /* struct uuid, plain spelling */
	JSON_KIND_I64,  /* int64_t within [min, max] */
	JSON_KIND_BOOL, /* bool */
	JSON_KIND_OBJ,  /* json_t *, borrowed: an object for another json_decode */
	JSON_KIND_ARR,  /* json_t *, borrowed: an array */
};
struct json_field {
	const char *name;
	enum json_kind kind;
	size_t offset;     /* of the value in the target struct */
	size_t has_offset; /* of a bool that says whether the field was there; JSON_REQUIRED: must be */
	int64_t min, max;
};
#define JSON_REQUIRED ((size_t)-1)

/* Fills `ret` (zeroed by the caller) from an object. Unknown fields are ignored, as the function
 * API asks; null counts as absent. 0, or -1 and *err: ERR_REJECT "bad_json", naming the field.
 * On failure `ret` may be half filled. */
int json_decode(json_t *object, const struct json_field *fields, size_t field_count, void *ret,
                struct err *err) MUST_CHECK;

/* Puts one value into an object; null where there is none: NULL (or what is no UTF-8, which JSON cannot
 * say), the nil UUID, time 0 (microseconds since 1970, written as RFC 3339). */
void json_put_text(json_t *object, const char *key, const char *value);
void json_put_uuid(json_t *object, const char *key, const struct uuid *value);
void json_put_time(json_t *object, const char *key, int64_t wall_us);
void json_put_i64(json_t *object, const char *key, int64_t value);
void json_put_bool(json_t *object, const char *key, bool value);
/* `value` is JSON text, such as a jsonb column; null when it cannot be read. */
void json_put_json(json_t *object, const char *key, const char *value);

/* The compact text of `json`, which the caller frees; NULL without memory. */
char *json_text(const json_t *json);

#endif
