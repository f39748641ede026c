/* UUIDs (RFC 9562). */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macros.h"

struct uuid {
	uint8_t bytes[16];
};
enum { UUID_TEXT_SIZE = 37 };

/* The four spellings that clients of the function API use: plain, without dashes, in braces and
 * with "urn:uuid:" in front; any case. Returns 0, or -1 and leaves *ret alone. */
int uuid_parse(const char *text, size_t len, struct uuid *ret) MUST_CHECK;
/* Only the plain spelling with dashes. */
int uuid_parse_plain(const char *text, size_t len, struct uuid *ret) MUST_CHECK;

/* Lower case with dashes and a NUL. `out` has UUID_TEXT_SIZE bytes. */
void uuid_format(const struct uuid *uuid, char *out);

/* Version 4, from the kernel's random source. Never fails: aborts if the kernel has none. */
struct uuid uuid_random(void);

bool uuid_equal(const struct uuid *a, const struct uuid *b);
bool uuid_is_nil(const struct uuid *uuid);

#endif
