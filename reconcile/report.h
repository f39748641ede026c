/* What a person or a program sees of a run: findings and the summary as a table, as JSON, as JSON lines.
 * docs/reconcile.schema.json describes the JSON. */
#ifndef RECONCILE_REPORT_H
#define RECONCILE_REPORT_H

#include <stdio.h>

#include "reconcile.h"

enum report_format { REPORT_TABLE, REPORT_JSON, REPORT_JSONL };
int report_format_parse(const char *word, enum report_format *ret); /* 0, or -1 */

struct report {
	FILE *out;
	enum report_format format;
	bool color;
	int64_t count;
	int64_t now_us; /* wall clock: what ages are counted to */
};
void report_init(struct report *report, FILE *out, enum report_format format, bool color);
/* A store_finding_fn; arg is the report. Nothing is kept: a million findings cost no memory. */
void report_finding(void *report, const struct store_finding *finding);
void report_summary(struct report *report, const struct reconcile_summary *summary);
/* The summary as one JSON object, for the history; the caller frees it. NULL without memory. */
char *report_summary_json(const struct reconcile_summary *summary);
/* And back, as far as the text says: false when it is the summary of no run that ended. `ret->mode` is left
 * NULL. */
bool report_summary_parse(const char *json, struct reconcile_summary *ret);

/* In place of report_summary, for a run that has none: it was interrupted, or is going on. */
void report_end(struct report *report);

/* Prints a text that others wrote, for people: without what a terminal would obey (C0 and C1 controls).
 * Returns how many columns it took. */
int report_put(FILE *out, const char *text);

#endif
