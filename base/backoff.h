/* How long to wait before the next attempt: exponential with full jitter. */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

/* A policy is a value that is passed in, not a habit hidden in a loop. */
struct backoff {
	int64_t base_ms; /* > 0: the upper bound of the first wait */
	int64_t cap_ms;  /* >= base_ms: no wait is longer */
};

/* Uniform in [0, min(cap_ms, base_ms * 2^attempt)], attempt counted from 0. No overflow for any
 * attempt. */
int64_t backoff_full_jitter_ms(const struct backoff *policy, int attempt);

/* The upper bound itself, without the jitter. */
int64_t backoff_ceiling_ms(const struct backoff *policy, int attempt);

#endif
