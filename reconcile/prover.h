/* Looks at single things, so that a finding becomes a proof or falls. */
#ifndef RECONCILE_PROVER_H
#define RECONCILE_PROVER_H

#include "pacer.h"
#include "reconcile.h"

struct prover_result {
	int64_t findings;      /* that were to be proved */
	int64_t gets, retries; /* looks, each counted once; further attempts of them */
	bool budget_spent;     /* some findings were left unproved for want of looks */
};
/* GETs every finding that needs a proof ("to_prove"): "absent" means a trusted 404 twice, confirm_ms
 * apart (once, where presence is to be proved: it disproves that), "present" a 200 of the same team;
 * anything else is "unknown" and proves nothing. A snapshot cannot be looked at. With gets_max spent,
 * what is left is "unknown" for "get_budget"; no look is begun whose second could not be paid for.
 * Details of a proof: {"looks":[{"at":"RFC 3339","status":404} or {"at":...,"fault":"timeout"},...]}, and
 * of a sandbox that was seen "state", "template", "created_at", "marker" (null: none) and "mounts".
 * Results are stored in batches. Drives the loop until all is there. -1 as lister_run. */
int prover_run(struct loop *loop, struct platform *platform, struct store_run *run,
               const struct reconcile_config *config, struct pacer *pacer, const bool *stop,
               const struct reconcile_watcher *watcher, struct prover_result *ret,
               struct err *err) MUST_CHECK;

#endif
