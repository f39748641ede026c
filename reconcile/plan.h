/* A sealed plan: what a run found and would do, as canonical JSON with a digest, so that it can be read,
 * agreed to, and then done exactly. */
#ifndef RECONCILE_PLAN_H
#define RECONCILE_PLAN_H

#include <stdio.h>

#include "base/hash.h"
#include "reconcile.h"

enum { PLAN_VERSION = 1, PLAN_BYTES_MAX = 256 << 20 };

/* Writing: begin, one call a finding (as reconcile_run gives them), end. Canonical: keys sorted, no
 * spaces, UTF-8, one object a line: what it is, the items, where and when and out of what it was made;
 * the last line holds the SHA-256 of all bytes before it.
 * Only findings that would be acted on enter. The file appears under its name only when it is whole
 * (written beside it, synced, renamed). */
struct plan_writer;
struct plan_writer *plan_writer_new(const char *path, struct err *err) MUST_CHECK;
void plan_writer_item(struct plan_writer *writer, const struct store_finding *finding);
/* Frees the writer. -1 and *err when anything could not be written: the file is not there then. */
int plan_writer_end(struct plan_writer *writer, const struct reconcile_summary *summary,
                    struct err *err) MUST_CHECK;
void plan_writer_drop(struct plan_writer **writer); /* for AUTO; leaves no file */

struct reconcile_plan {
	int64_t made_us;
	int64_t system_id;
	char database[128];
	int64_t item_count;
	/* private */
	FILE *file;
	uint8_t digest[HASH_SIZE];
};
/* Opens a plan and checks its form and digest (reads the file once). ERR_REJECT "plan": not a plan,
 * altered, of another version. */
int plan_open(const char *path, struct reconcile_plan *ret, struct err *err) MUST_CHECK;
void plan_close(struct reconcile_plan *plan); /* for AUTO */
/* Too old (by the database's clock), or of another database: ERR_REJECT "plan" with a sentence. */
int plan_check(const struct reconcile_plan *plan, int64_t now_us, int64_t max_age_ms,
               int64_t system_id, const char *database, struct err *err) MUST_CHECK;
/* The items, in order, without verdict, result and why; a finding's texts live during fn. fn returns 0, or
 * -1 and *err to stop. The digest is looked at once more on the way: a file that changed since plan_open
 * fails at its end, ERR_REJECT "plan". So nothing may be acted on before this has returned 0. */
int plan_each(struct reconcile_plan *plan,
              int (*fn)(void *arg, const struct store_finding *finding, struct err *err), void *arg,
              struct err *err) MUST_CHECK;

#endif
