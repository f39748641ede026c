#include "limiter.h"

enum {
	MEAN_OF = 16,            /* calls that weigh in the mean */
	BEST_KEEP_US = 30000000, /* a best older than this says nothing about the platform of now */
};

void limiter_init(struct limiter *limiter, const struct limiter_policy *policy)
{
	*limiter = (struct limiter){.policy = *policy, .limit = policy->start};
}

/* The best is the lowest mean, not the lowest call, and not before the mean has settled: one lucky
 * call would make all others look slow. */
static void take_latency(struct limiter *limiter, int64_t latency_us, int64_t now_us)
{
	if (latency_us <= 0)
		return;
	if (limiter->samples < MEAN_OF)
		limiter->samples++;
	limiter->mean_us += ((double)latency_us - limiter->mean_us) / limiter->samples;
	if (limiter->samples < MEAN_OF)
		return;
	bool old = now_us - limiter->best_at_us >= BEST_KEEP_US;
	if (limiter->best_us <= 0 || limiter->mean_us < limiter->best_us || old) {
		limiter->best_us = limiter->mean_us;
		limiter->best_at_us = now_us;
	}
}

static bool congested(const struct limiter *limiter)
{
	return limiter->best_us > 0 &&
	       limiter->mean_us > limiter->best_us * limiter->policy.latency_factor &&
	       limiter->mean_us > limiter->best_us + (double)limiter->policy.slack_us;
}

/* Answers to calls that were already out say the same thing over again, so one decrease holds for
 * a while. */
static void decrease(struct limiter *limiter, int64_t now_us)
{
	if (now_us < limiter->held_until_us)
		return;
	limiter->held_until_us = now_us + limiter->policy.hold_us;
	limiter->limit *= limiter->policy.decrease;
	if (limiter->limit < limiter->policy.min)
		limiter->limit = limiter->policy.min;
}

/* One more for every `limit` good answers. */
static void increase(struct limiter *limiter)
{
	limiter->limit += 1 / limiter->limit;
	if (limiter->limit > limiter->policy.max)
		limiter->limit = limiter->policy.max;
}

void limiter_on_answer(struct limiter *limiter, enum limiter_sign sign, int64_t latency_us,
                       int in_flight, int64_t now_us)
{
	if (sign == LIMITER_OVERLOAD) { /* its latency is a refusal's or a deadline's */
		decrease(limiter, now_us);
		return;
	}
	take_latency(limiter, latency_us, now_us);
	if (congested(limiter))
		decrease(limiter, now_us);
	else if (in_flight * 2 >= limiter_limit(limiter))
		increase(limiter);
}

int limiter_limit(const struct limiter *limiter)
{
	return limiter->limit < 1 ? 1 : (int)limiter->limit;
}
