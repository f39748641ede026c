#include "breaker.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/rand.h"

/* In half open with every probe out only a report changes anything; look again after this. */
enum { PROBE_POLL_US = 100000 };

enum event {
	EV_DUE,    /* the time to stay open is over */
	EV_OK,     /* a call went well */
	EV_FAILED, /* a call failed */
	EV_TRIP,   /* a call failed, and it was one too many in the window */
	EV_PROVED, /* a call went well, and it was the last probe needed */
};

static const struct edge {
	enum breaker_state from;
	enum event event;
	enum breaker_state to;
	const char *why;
} edges[] = {
    {BREAKER_CLOSED, EV_OK, BREAKER_CLOSED, "as it should be"},
    {BREAKER_CLOSED, EV_FAILED, BREAKER_CLOSED, "a few failures are everyday"},
    {BREAKER_CLOSED, EV_TRIP, BREAKER_OPEN, "more calls would only make it worse"},
    {BREAKER_OPEN, EV_OK, BREAKER_OPEN, "sent before it opened: too late to tell anything"},
    {BREAKER_OPEN, EV_FAILED, BREAKER_OPEN, "sent before it opened: nothing new"},
    {BREAKER_OPEN, EV_DUE, BREAKER_HALF_OPEN, "time to try a few"},
    {BREAKER_HALF_OPEN, EV_OK, BREAKER_HALF_OPEN, "one probe is not enough"},
    {BREAKER_HALF_OPEN, EV_PROVED, BREAKER_CLOSED, "enough probes in a row went well"},
    {BREAKER_HALF_OPEN, EV_FAILED, BREAKER_OPEN, "not yet; stay open longer"},
};

/* Half of the ceiling for certain, the rest by chance: processes that opened together do not come
 * back together, and none comes back at once. */
static int64_t open_time_us(const struct breaker *breaker)
{
	int64_t ceiling_us = backoff_ceiling_ms(&breaker->policy.open, breaker->openings) * 1000;
	return ceiling_us / 2 + (int64_t)rand_below((uint64_t)(ceiling_us / 2) + 1);
}

/* The one place that changes the state, with what entering it means. */
static void enter(struct breaker *breaker, enum breaker_state state, int64_t now_us)
{
	breaker->state = state;
	breaker->history = 0;
	breaker->seen = 0;
	breaker->probes_out = breaker->probes_ok = 0;
	if (state == BREAKER_OPEN) {
		breaker->until_us = now_us + open_time_us(breaker);
		breaker->openings++;
	}
	if (state == BREAKER_CLOSED)
		breaker->openings = 0;
}

static void happen(struct breaker *breaker, enum event event, int64_t now_us)
{
	for (size_t i = 0; i < N_OF(edges); i++) {
		if (edges[i].from != breaker->state || edges[i].event != event)
			continue;
		if (edges[i].to != breaker->state)
			enter(breaker, edges[i].to, now_us);
		return;
	}
	abort(); /* a bug: every event is chosen by the state it is for */
}

void breaker_init(struct breaker *breaker, const struct breaker_policy *policy)
{
	*breaker = (struct breaker){.policy = *policy, .state = BREAKER_CLOSED};
}

bool breaker_allow(struct breaker *breaker, int64_t now_us)
{
	if (breaker->state == BREAKER_OPEN && now_us >= breaker->until_us)
		happen(breaker, EV_DUE, now_us);
	if (breaker->state == BREAKER_HALF_OPEN) {
		if (breaker->probes_out + breaker->probes_ok >= breaker->policy.probes)
			return false;
		breaker->probes_out++;
	}
	return breaker->state != BREAKER_OPEN;
}

/* Takes a call into the window and says whether it was one failure too many. */
static bool window_full(struct breaker *breaker, bool failed)
{
	int window = breaker->policy.window;
	uint64_t mask = window >= 64 ? UINT64_MAX : (UINT64_C(1) << window) - 1;
	breaker->history = (breaker->history << 1 | failed) & mask;
	if (breaker->seen < window)
		breaker->seen++;
	return failed && __builtin_popcountll(breaker->history) >= breaker->policy.failures;
}

/* A call that was sent before the breaker opened and is reported only now cannot be told from a
 * probe. It counts as one: it is news of the same platform, and the count never goes below none. */
static bool probe_proves(struct breaker *breaker, bool failed)
{
	breaker_forget(breaker);
	if (failed)
		return false;
	return ++breaker->probes_ok >= breaker->policy.probes;
}

void breaker_report(struct breaker *breaker, bool failed, int64_t now_us)
{
	enum event event = failed ? EV_FAILED : EV_OK;
	if (breaker->state == BREAKER_CLOSED && window_full(breaker, failed))
		event = EV_TRIP;
	if (breaker->state == BREAKER_HALF_OPEN && probe_proves(breaker, failed))
		event = EV_PROVED;
	happen(breaker, event, now_us);
}

void breaker_forget(struct breaker *breaker)
{
	if (breaker->state == BREAKER_HALF_OPEN && breaker->probes_out > 0)
		breaker->probes_out--;
}

int64_t breaker_wait_us(const struct breaker *breaker, int64_t now_us)
{
	if (breaker->state == BREAKER_OPEN)
		return breaker->until_us > now_us ? breaker->until_us - now_us : 0;
	bool full = breaker->state == BREAKER_HALF_OPEN &&
	            breaker->probes_out + breaker->probes_ok >= breaker->policy.probes;
	return full ? PROBE_POLL_US : 0;
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[BREAKER_STATE_COUNT] = {"closed", "open", "half_open"};
	return (unsigned)state < BREAKER_STATE_COUNT ? names[state] : "unknown";
}
