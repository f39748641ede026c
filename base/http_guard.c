#include "http_guard.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "macros.h"

/* What a byte may be part of: a field name (a token, RFC 9110 section 5.6.2), a field value, or the
 * value of Host (RFC 3986 section 3.2, without the comma: a list is two hosts in one field). */
enum { NAME = 1, VALUE = 2, HOST = 4 };
static const unsigned char allowed[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = NAME | VALUE | HOST,
    ['"'] = VALUE,
    ['#'] = NAME | VALUE,
    ['$' ... '\''] = NAME | VALUE | HOST,
    ['(' ... ')'] = VALUE | HOST,
    ['*' ... '+'] = NAME | VALUE | HOST,
    [','] = VALUE,
    ['-' ... '.'] = NAME | VALUE | HOST,
    ['/'] = VALUE,
    ['0' ... '9'] = NAME | VALUE | HOST,
    [':' ... ';'] = VALUE | HOST,
    ['<'] = VALUE,
    ['='] = VALUE | HOST,
    ['>' ... '@'] = VALUE,
    ['A' ... 'Z'] = NAME | VALUE | HOST,
    ['['] = VALUE | HOST,
    ['\\'] = VALUE,
    [']'] = VALUE | HOST,
    ['^'] = NAME | VALUE,
    ['_'] = NAME | VALUE | HOST,
    ['`'] = NAME | VALUE,
    ['a' ... 'z'] = NAME | VALUE | HOST,
    ['{'] = VALUE,
    ['|'] = NAME | VALUE,
    ['}'] = VALUE,
    ['~'] = NAME | VALUE | HOST,
    [0x80 ... 0xff] = VALUE,
};

static bool only(int part, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(allowed[(unsigned char)text[i]] & part))
			return false;
	return true;
}

static bool host_ok(const char *value, size_t len)
{
	return only(HOST, value, len);
}

/* Digits and nothing else; 18 of them fit every reader's integer. */
static bool length_ok(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (value[i] < '0' || value[i] > '9')
			return false;
	return len > 0 && len <= 18;
}

static bool coding_ok(const char *value, size_t len)
{
	return len == 7 && memcmp(value, "chunked", 7) == 0;
}

/* The fields that say where a request ends and whom it is for: once each, and well-formed. */
enum framing { FIELD_HOST, FIELD_LENGTH, FIELD_CODING, FRAMING_COUNT };
static const struct rule {
	const char *name;
	size_t name_len;
	bool (*ok)(const char *value, size_t len);
	const char *malformed, *repeated;
} rules[FRAMING_COUNT] = {
    [FIELD_HOST] = {"host", 4, host_ok, "malformed Host", "more than one Host"},
    [FIELD_LENGTH] = {"content-length", 14, length_ok, "malformed Content-Length",
                      "more than one Content-Length"},
    [FIELD_CODING] = {"transfer-encoding", 17, coding_ok, "Transfer-Encoding is not \"chunked\"",
                      "more than one Transfer-Encoding"},
};

static const char *check_field(const struct http_field *field, bool seen[FRAMING_COUNT])
{
	if (field->name_len == 0 || !only(NAME, field->name, field->name_len))
		return "malformed field name";
	if (!only(VALUE, field->value, field->value_len))
		return "control byte in a field value";
	for (size_t i = 0; i < N_OF(rules); i++) {
		const struct rule *rule = &rules[i];
		if (field->name_len != rule->name_len ||
		    strncasecmp(field->name, rule->name, rule->name_len) != 0)
			continue;
		if (seen[i])
			return rule->repeated;
		seen[i] = true;
		if (!rule->ok(field->value, field->value_len))
			return rule->malformed;
	}
	return NULL;
}

const char *http_guard(const char *version, const struct http_field *fields, size_t field_count)
{
	bool is_1_1 = strcmp(version, "HTTP/1.1") == 0;
	if (!is_1_1 && strcmp(version, "HTTP/1.0") != 0)
		return "neither HTTP/1.1 nor HTTP/1.0";
	bool seen[FRAMING_COUNT] = {false};
	for (size_t i = 0; i < field_count; i++) {
		const char *why = check_field(&fields[i], seen);
		if (why)
			return why;
	}
	if (is_1_1 && !seen[FIELD_HOST])
		return "no Host";
	if (!is_1_1 && seen[FIELD_CODING])
		return "Transfer-Encoding on HTTP/1.0";
	if (seen[FIELD_LENGTH] && seen[FIELD_CODING])
		return "Content-Length with Transfer-Encoding";
	return NULL;
}
