#include "meter.h"

#include <stddef.h>

enum outcome {
	OUT_2XX,
	OUT_404,
	OUT_409,
	OUT_429,
	OUT_4XX,
	OUT_5XX,
	OUT_FAULT, /* the first fault; the others follow in their order */
};
#define OUTCOME(op, outcome) "op=\"" op "\",outcome=\"" outcome "\""
#define OUTCOMES(op)                                                                    \
	{                                                                                   \
		OUTCOME(op, "2xx"), OUTCOME(op, "404"), OUTCOME(op, "409"), OUTCOME(op, "429"), \
		    OUTCOME(op, "4xx"), OUTCOME(op, "5xx"), OUTCOME(op, "connect"),             \
		    OUTCOME(op, "timeout"), OUTCOME(op, "reset"), OUTCOME(op, "malformed"),     \
		    OUTCOME(op, "too_large"), OUTCOME(op, "cancelled")                          \
	}

static const struct {
	const char *op, *outcomes[METER_OUTCOMES];
} labels[PLATFORM_OP_COUNT] = {
    [PLATFORM_SANDBOX_DELETE] = {"op=\"sandbox_delete\"", OUTCOMES("sandbox_delete")},
    [PLATFORM_SANDBOX_GET] = {"op=\"sandbox_get\"", OUTCOMES("sandbox_get")},
    [PLATFORM_VOLUME_DELETE] = {"op=\"volume_delete\"", OUTCOMES("volume_delete")},
    [PLATFORM_VOLUME_GET] = {"op=\"volume_get\"", OUTCOMES("volume_get")},
    [PLATFORM_SNAPSHOT_DELETE] = {"op=\"snapshot_delete\"", OUTCOMES("snapshot_delete")},
    [PLATFORM_SANDBOX_LIST] = {"op=\"sandbox_list\"", OUTCOMES("sandbox_list")},
    [PLATFORM_VOLUME_LIST] = {"op=\"volume_list\"", OUTCOMES("volume_list")},
    [PLATFORM_SNAPSHOT_CREATE] = {"op=\"snapshot_create\"", OUTCOMES("snapshot_create")},
    [PLATFORM_VOLUME_CREATE] = {"op=\"volume_create\"", OUTCOMES("volume_create")},
};

_Static_assert((int)OUT_FAULT == (int)METER_STATUSES, "labels are in the order of outcomes");

void meter_init(struct meter *meter, struct metrics *metrics)
{
	for (int op = 0; op < PLATFORM_OP_COUNT; op++)
		for (int out = 0; out < METER_OUTCOMES; out++)
			meter->calls[op][out] = metrics_counter(
			    metrics, "sandsweep_platform_calls_total", labels[op].outcomes[out],
			    "Calls to the platform that ended, by what they called and how they ended.");
	for (int op = 0; op < PLATFORM_OP_COUNT; op++)
		meter->seconds[op] =
		    metrics_histogram(metrics, "sandsweep_platform_call_seconds", labels[op].op,
		                      "How long a call took, from sending it to its end.");
	meter->in_flight = metrics_gauge(metrics, "sandsweep_platform_in_flight", NULL,
	                                 "Calls to the platform under way.");
}

static int outcome_of(const struct platform_answer *answer)
{
	if (answer->fault != PLATFORM_ANSWERED)
		return OUT_FAULT + (int)answer->fault - 1;
	switch (answer->status) {
	case 404: return OUT_404;
	case 409: return OUT_409;
	case 429: return OUT_429;
	}
	return answer->status < 300 ? OUT_2XX : answer->status < 500 ? OUT_4XX : OUT_5XX;
}

void meter_count(struct meter *meter, enum platform_op op, const struct platform_answer *answer)
{
	metric_add(meter->calls[op][outcome_of(answer)], 1);
	if (answer->fault != PLATFORM_CANCELLED)
		metric_observe(meter->seconds[op], (double)answer->latency_us / 1e6);
}

void meter_in_flight(struct meter *meter, int calls)
{
	metric_set(meter->in_flight, calls);
}
