/* Plain words for what the ledger and the function tables say of a thing. Pure: no I/O. */
#ifndef RECONCILE_EXPLAIN_H
#define RECONCILE_EXPLAIN_H

#include "base/buf.h"
#include "sql/store_explain.h"

/* What it is and whose; its state and why; what would become of it next, and what could stop that. Full
 * sentences, one after the other, without a line end behind. */
void explain_owned(const struct store_owned *owned, struct buf *out);
/* One revision that names the thing: "mapped by revision 3 of function "shop" (enabled, serves)". */
void explain_use(const struct store_use *use, struct buf *out);
void explain_function(const struct store_function *function, struct buf *out);

/* What is known of a thing that the ledger has no row of. */
struct explain_unowned {
	const char *text; /* what was asked for */
	int mappings;     /* revisions that map it */
	int sources;      /* that have it as the sandbox or volume that they were published from */
	int mounts;       /* that mount it, or have it as a snapshot */
	int open_attempts, closed_attempts;
	int findings;        /* of reconciliations about it */
	bool proved;         /* by the newest of them, to be ours */
	struct uuid team_id; /* of the newest; nil: none */
};
void explain_unowned(const struct explain_unowned *known, struct buf *out);

#endif
