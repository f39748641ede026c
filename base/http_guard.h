/* The check in front of every handler: what two HTTP servers could read differently is refused
 * (RFC 9112 sections 3.2, 5.1, 6.1 and 6.3), so that nothing can be smuggled past a proxy. */
#ifndef BASE_HTTP_GUARD_H
#define BASE_HTTP_GUARD_H

#include <stddef.h>

struct http_field {
	const char *name, *value;
	size_t name_len, value_len;
};

/* `version` is "HTTP/1.0" or "HTTP/1.1". Returns NULL when the fields are fine, otherwise a fixed
 * sentence that says what is wrong: Content-Length with Transfer-Encoding, a second or malformed
 * Content-Length, no Host (1.1), a second or malformed one, Transfer-Encoding other than exactly
 * "chunked" or on HTTP/1.0 or repeated, a field name that is not a token (a space, a control byte),
 * a control byte (other than tab) in a value, another version. Pure; never blocks. */
const char *http_guard(const char *version, const struct http_field *fields, size_t field_count);

#endif
