/* How fast the platform is asked: calls in flight, calls a second, and backing off on 429 and 503. The
 * lister and the prover share one. */
#ifndef RECONCILE_PACER_H
#define RECONCILE_PACER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"
#include "base/loop.h"
#include "platform/platform.h"

struct pacer {
	struct loop *loop;
	int64_t in_flight, in_flight_max;
	int64_t interval_us; /* between two beginnings; 0: none */
	int64_t next_us;     /* monotonic: no call begins before */
	struct backoff backoff;
	int64_t attempts_max;
};
void pacer_init(struct pacer *pacer, struct loop *loop, int64_t in_flight_max,
                int64_t calls_per_second, const struct backoff *backoff, int64_t attempts_max);
/* 0: a call may begin now, and has been counted; otherwise microseconds until it is worth asking
 * again (INT64_MAX: when a call has ended). */
int64_t pacer_take(struct pacer *pacer);
void pacer_done(struct pacer *pacer);
/* What to do with an answer: -1 keep it; otherwise the wait in microseconds before the call's next
 * attempt (`attempt`: how many were made). 429 and 503 hold back every other call too, for as long as
 * Retry-After says. Faults, 5xx and malformed answers are tried again until attempts_max. */
int64_t pacer_retry_us(struct pacer *pacer, const struct platform_answer *answer, int64_t attempt);

#endif
