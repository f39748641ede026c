/* How many requests a key may send: a token bucket per key, kept as one number, the time at which
 * it will be full again (the generic cell rate algorithm of ITU-T I.371). */
#ifndef API_RATELIMIT_H
#define API_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"

enum { RATELIMIT_BUCKETS = 4096, RATELIMIT_PER_SECOND_MAX = 1000000 };

struct ratelimit_rate {
	int64_t per_second; /* 1 to RATELIMIT_PER_SECOND_MAX: refilled at this rate */
	int64_t burst;      /* >= 1: requests that a full bucket holds */
};

struct ratelimit_verdict {
	bool allowed;
	int64_t remaining;      /* requests left in the bucket after this one */
	int64_t retry_after_us; /* when refused: until the next one would be allowed; otherwise 0 */
	int64_t full_after_us;  /* until the bucket is full again */
};

/* Takes one request out of the bucket, whose state is *full_at_ns (0: full). Pure: `now_us` is any
 * monotonic time. A refused request takes nothing. */
struct ratelimit_verdict ratelimit_take(int64_t *full_at_ns, const struct ratelimit_rate *rate,
                                        int64_t now_us);

/* The buckets of this process. */
struct ratelimit;
struct ratelimit *ratelimit_new(struct err *err) MUST_CHECK;
void ratelimit_free(struct ratelimit *limit);
/* As ratelimit_take, on the bucket of `key_id`. When more keys are busy than there are buckets, the
 * one that is nearest to full makes room: it errs in the client's favour. */
struct ratelimit_verdict ratelimit_key(struct ratelimit *limit, const struct uuid *key_id,
                                       const struct ratelimit_rate *rate, int64_t now_us);

#endif
