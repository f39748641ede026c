/* `sandsweep reconcile history` and `show`: what runs found and did. */
#ifndef RECONCILE_HISTORY_H
#define RECONCILE_HISTORY_H

#include "report.h"
#include "sql/store_history.h"

/* The newest `max` runs, as a table or as one JSON object; what observing has shown so far. */
int history_list(struct pg_sync *sync, int64_t max, bool json, FILE *out,
                 struct err *err) MUST_CHECK;
/* One run: its findings and its summary, in the form that the run itself had. ERR_REJECT "unknown": there
 * is none of this number. Memory: one page of findings. */
int history_show(struct pg_sync *sync, int64_t run, struct report *report,
                 struct err *err) MUST_CHECK;

#endif
