#include "backoff.h"

#include "rand.h"

int64_t backoff_ceiling_ms(const struct backoff *policy, int attempt)
{
	int64_t wait = policy->base_ms;
	for (int i = 0; i < attempt && wait < policy->cap_ms; i++)
		if (__builtin_mul_overflow(wait, 2, &wait))
			return policy->cap_ms;
	return wait < policy->cap_ms ? wait : policy->cap_ms;
}

int64_t backoff_full_jitter_ms(const struct backoff *policy, int attempt)
{
	return (int64_t)rand_below((uint64_t)backoff_ceiling_ms(policy, attempt) + 1);
}
