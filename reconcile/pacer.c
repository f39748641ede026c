#include "pacer.h"

#include <limits.h>

/* After a pause, or when the loop came late, so much of what was not used is made up for. */
enum { SLACK_US = 20000 };

void pacer_init(struct pacer *pacer, struct loop *loop, int64_t in_flight_max,
                int64_t calls_per_second, const struct backoff *backoff, int64_t attempts_max)
{
	*pacer = (struct pacer){
	    .loop = loop,
	    .in_flight_max = in_flight_max,
	    .interval_us = calls_per_second > 0 ? 1000000 / calls_per_second : 0,
	    .next_us = loop_now_us(loop),
	    .backoff = *backoff,
	    .attempts_max = attempts_max,
	};
}

int64_t pacer_take(struct pacer *pacer)
{
	int64_t now_us = loop_now_us(pacer->loop);
	if (pacer->in_flight >= pacer->in_flight_max)
		return INT64_MAX;
	if (pacer->next_us > now_us)
		return pacer->next_us - now_us;
	if (pacer->next_us < now_us - SLACK_US)
		pacer->next_us = now_us - SLACK_US;
	pacer->next_us += pacer->interval_us;
	pacer->in_flight++;
	return 0;
}

void pacer_done(struct pacer *pacer)
{
	pacer->in_flight--;
}

static void hold_all(struct pacer *pacer, int64_t wait_us)
{
	int64_t until_us = loop_now_us(pacer->loop) + wait_us;
	if (pacer->next_us < until_us)
		pacer->next_us = until_us;
}

/* Whatever said it: something between us and the platform may be what is too busy. */
static bool overloaded(const struct platform_answer *answer)
{
	return (answer->fault == PLATFORM_ANSWERED || answer->fault == PLATFORM_MALFORMED) &&
	       (answer->status == 429 || answer->status == 503);
}

static bool worth_another_try(const struct platform_answer *answer)
{
	switch (answer->fault) {
	case PLATFORM_ANSWERED: return answer->status >= 500;
	case PLATFORM_CONNECT:
	case PLATFORM_TIMEOUT:
	case PLATFORM_RESET:
	case PLATFORM_MALFORMED: return true;
	case PLATFORM_TOO_LARGE: /* and will be the next time */
	case PLATFORM_CANCELLED:
	case PLATFORM_FAULT_COUNT: return false;
	}
	return false;
}

int64_t pacer_retry_us(struct pacer *pacer, const struct platform_answer *answer, int64_t attempt)
{
	bool overload = overloaded(answer), last = attempt >= pacer->attempts_max;
	int earlier = attempt > INT_MAX ? INT_MAX : (int)attempt - 1;
	if (!overload && !worth_another_try(answer))
		return -1;
	int64_t wait_us = backoff_full_jitter_ms(&pacer->backoff, earlier) * 1000;
	if (overload && answer->retry_after_ms * 1000 > wait_us)
		wait_us = answer->retry_after_ms * 1000;
	if (overload)
		hold_all(pacer, wait_us);
	return last ? -1 : wait_us;
}
