/* Looks at single things, so that a finding becomes a proof or falls. */
#ifndef RECONCILE_PROVER_H
#define RECONCILE_PROVER_H

#include "pacer.h"
#include "reconcile.h"

struct prover_result {
	int64_t gets, retries;
	bool budget_spent; /* some findings were left unproved for want of looks */
};
/* GETs every finding that needs a proof ("to_prove"): "absent" means a trusted 404 twice, confirm_ms
 * apart, "present" a 200 of the same team; anything else is "unknown" and proves nothing. Results are
 * stored in batches. Drives the loop until all is there. -1 as lister_run. */
int prover_run(struct loop *loop, struct platform *platform, struct store_run *run,
               const struct reconcile_config *config, struct pacer *pacer, const bool *stop,
               const struct reconcile_watcher *watcher, struct prover_result *ret,
               struct err *err) MUST_CHECK;

#endif
