/* How many calls the platform takes at once: additive increase while it answers well, multiplicative
 * decrease when it says 429 or 503, times out, or when its latency grows past a multiple of the best
 * one seen lately. Pure state, no clock of its own; the caller counts what is in flight. */
#ifndef WORKER_LIMITER_H
#define WORKER_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

struct limiter_policy {
	double min, max, start; /* 1 <= min <= start <= max */
	double latency_factor;  /* > 1: mean latency past best * factor is congestion */
	int64_t slack_us;       /* unless it is within this of the best: scheduling, no congestion */
	double decrease;        /* in (0, 1): what is left of the limit after a decrease */
	int64_t hold_us;        /* at most one decrease in this time */
};
struct limiter {
	struct limiter_policy policy;
	double limit;
	double mean_us, best_us; /* smoothed latency and its lowest lately; best_us 0: none yet */
	int samples;             /* in the mean, counted up to its weight */
	int64_t held_until_us, best_at_us;
};
enum limiter_sign { LIMITER_OK, LIMITER_OVERLOAD };

void limiter_init(struct limiter *limiter, const struct limiter_policy *policy);
/* A call ended. `in_flight` is how many were out including it: the limit only grows while it is
 * really used (at least half). A call that failed for another reason than load is not reported at
 * all: a refused connection is fast, and every good call after it would look slow. */
void limiter_on_answer(struct limiter *limiter, enum limiter_sign sign, int64_t latency_us,
                       int in_flight, int64_t now_us);
int limiter_limit(const struct limiter *limiter); /* >= 1 */

#endif
