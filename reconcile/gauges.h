/* What is counted about runs. */
#ifndef RECONCILE_GAUGES_H
#define RECONCILE_GAUGES_H

#include "reconcile.h"

enum { GAUGES_VERDICTS = VERDICT_LOCKED + 1 };

struct gauges {
	struct metric *runs[GAUGES_VERDICTS], *acts[CLASS_COUNT], *findings[CLASS_COUNT];
	struct metric *incomplete, *pages, *gets, *seconds, *last_success;
	struct metric *topic_lag, *dead_letters;
	/* The oldest drift of each class that the last run left, wall clock; 0: none. */
	int64_t oldest_us[CLASS_COUNT];
	struct gauges_age {
		const struct gauges *gauges;
		int class_;
	} ages[CLASS_COUNT];
	struct loop *loop;
};

/* Registers all series; `metrics` may be NULL: they count into nothing. Must not move after. */
void gauges_init(struct gauges *gauges, struct loop *loop, struct metrics *metrics);
/* A run ended. `oldest_us` as above; what a run that did not look knows is not taken. */
void gauges_count(struct gauges *gauges, const struct reconcile_summary *summary,
                  const int64_t oldest_us[CLASS_COUNT]);

#endif
