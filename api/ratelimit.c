#include "ratelimit.h"

#include <stdlib.h>
#include <string.h>

/* A key's bucket is one of the PROBES slots that follow its hash. */
enum { PROBES = 8 };

struct bucket {
	struct uuid key_id;
	int64_t full_at_ns;
};
struct ratelimit {
	struct bucket buckets[RATELIMIT_BUCKETS];
};

struct ratelimit_verdict ratelimit_take(int64_t *full_at_ns, const struct ratelimit_rate *rate,
                                        int64_t now_us)
{
	const int64_t now = now_us * 1000, one = 1000000000 / rate->per_second;
	const int64_t whole = one * rate->burst;
	const int64_t full_at = *full_at_ns > now ? *full_at_ns : now;
	const int64_t after = full_at + one - now; /* what this request would leave to be refilled */
	if (after > whole)
		return (struct ratelimit_verdict){.retry_after_us = (after - whole + 999) / 1000,
		                                  .full_after_us = (full_at - now + 999) / 1000};
	*full_at_ns = full_at + one;
	return (struct ratelimit_verdict){
	    .allowed = true, .remaining = (whole - after) / one, .full_after_us = (after + 999) / 1000};
}

struct ratelimit *ratelimit_new(struct err *err)
{
	struct ratelimit *limit = calloc(1, sizeof(*limit));
	if (!limit)
		(void)err_oom(err);
	return limit;
}

void ratelimit_free(struct ratelimit *limit)
{
	free(limit);
}

/* The key's own bucket, or the fullest of its slots: a full one holds nothing to lose. */
static struct bucket *find(struct ratelimit *limit, const struct uuid *key_id)
{
	struct bucket *fullest = NULL;
	uint32_t hash;
	memcpy(&hash, key_id->bytes, sizeof(hash)); /* ids are random */
	for (uint32_t i = 0; i < PROBES; i++) {
		struct bucket *bucket = &limit->buckets[(hash + i) % RATELIMIT_BUCKETS];
		if (uuid_equal(&bucket->key_id, key_id))
			return bucket;
		if (!fullest || bucket->full_at_ns < fullest->full_at_ns)
			fullest = bucket;
	}
	*fullest = (struct bucket){.key_id = *key_id};
	return fullest;
}

struct ratelimit_verdict ratelimit_key(struct ratelimit *limit, const struct uuid *key_id,
                                       const struct ratelimit_rate *rate, int64_t now_us)
{
	return ratelimit_take(&find(limit, key_id)->full_at_ns, rate, now_us);
}
