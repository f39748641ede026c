/* Time, injectable. Intervals are measured on the monotonic clock, dates on the wall clock;
 * the two are never mixed. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

struct clock {
	int64_t (*mono_us)(void *arg); /* microseconds since an arbitrary start, never goes back */
	int64_t (*wall_us)(void *arg); /* microseconds since 1970-01-01 UTC */
	void *arg;
};

/* CLOCK_MONOTONIC and CLOCK_REALTIME. */
const struct clock *clock_system(void);

enum { CLOCK_RFC3339_SIZE = 28 }; /* "2026-01-02T03:04:05.123456Z" and its NUL */

/* Writes wall_us as RFC 3339 in UTC with six digits of fraction. Years 1 to 9999; anything
 * outside is clamped. `out` has CLOCK_RFC3339_SIZE bytes. */
void clock_rfc3339(int64_t wall_us, char *out);

/* Reads an RFC 3339 date-time of exactly `len` bytes: 'T' and 'Z' in upper or lower case, zone Z
 * or +hh:mm, fraction of any length (cut to microseconds), second 60 read as 59.
 * Returns 0, or -1 and leaves *ret_wall_us alone. */
int clock_parse_rfc3339(const char *text, size_t len, int64_t *ret_wall_us);

#endif
