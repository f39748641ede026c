/* What is counted about calls to the platform. */
#ifndef PLATFORM_METER_H
#define PLATFORM_METER_H

#include "platform.h"

enum {
	METER_STATUSES = 6,                                         /* 2xx, 404, 409, 429, 4xx, 5xx */
	METER_OUTCOMES = METER_STATUSES + PLATFORM_FAULT_COUNT - 1, /* PLATFORM_ANSWERED is no fault */
};

struct meter {
	struct metric *calls[PLATFORM_OP_COUNT][METER_OUTCOMES];
	struct metric *seconds[PLATFORM_OP_COUNT];
	struct metric *in_flight;
};

/* Registers all series; the label sets are fixed. */
void meter_init(struct meter *meter, struct metrics *metrics);
/* A call ended. The time of a cancelled one is not counted. */
void meter_count(struct meter *meter, enum platform_op op, const struct platform_answer *answer);
void meter_in_flight(struct meter *meter, int calls);

#endif
