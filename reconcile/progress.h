/* A line on a terminal that says how far a run is: a bar over the teams of a listing, or over the looks
 * of a proof. Where nobody watches it draws nothing. */
#ifndef RECONCILE_PROGRESS_H
#define RECONCILE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"

struct progress {
	FILE *out;
	const struct clock *clock;
	bool on, color, drawn;
	int columns;     /* of the terminal */
	int64_t next_us; /* monotonic: not drawn again before */
};
/* `out` is borrowed. Draws only when it is a terminal that can go back in its line; colours only
 * without NO_COLOR. */
void progress_init(struct progress *progress, FILE *out, const struct clock *clock);
/* For reconcile_watcher.progress; arg is the progress. Draws at most ten times a second.
 * total <= 0: unknown. Blocks as long as the terminal does. */
void progress_watch(void *progress, const char *phase, int64_t done, int64_t total);
/* Takes the line away, before something else is printed. */
void progress_clear(struct progress *progress);

/* True when texts for people may be coloured there: a terminal, not a dumb one, and no NO_COLOR. */
bool progress_colored(FILE *out);

#endif
