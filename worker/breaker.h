/* A circuit breaker toward the platform: closed (calls go), open (none until a time), half open
 * (a few probes decide). A table of {from, event, to, why}; pure state, the caller brings the time. */
#ifndef WORKER_BREAKER_H
#define WORKER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_STATE_COUNT };

struct breaker_policy {
	int window;   /* calls looked back at, 1..64 */
	int failures; /* of them failed: open. 1..window */
	int probes;   /* successes in a row that close it again, and the most in flight meanwhile */
	struct backoff open; /* how long it stays open, by the number of openings in a row */
};
struct breaker {
	struct breaker_policy policy;
	enum breaker_state state;
	uint64_t history; /* one bit a call, 1 = failed, newest lowest */
	int seen;         /* calls in the history */
	int probes_out, probes_ok;
	int openings;     /* in a row */
	int64_t until_us; /* open until */
};

void breaker_init(struct breaker *breaker, const struct breaker_policy *policy);
/* May a call be sent now? In half open each true is one probe that must be reported. */
bool breaker_allow(struct breaker *breaker, int64_t now_us);
/* A call ended. `failed`: the platform itself was at fault (no answer, 401, 429, 502, 503, 504),
 * not one resource. */
void breaker_report(struct breaker *breaker, bool failed, int64_t now_us);
/* A call that was allowed ended without telling anything (cancelled by us). */
void breaker_forget(struct breaker *breaker);
/* Microseconds until breaker_allow can say true again; 0 when it may now. */
int64_t breaker_wait_us(const struct breaker *breaker, int64_t now_us);
const char *breaker_state_name(enum breaker_state state);

#endif
