/* Lists what is live, team by team, several pages and teams in flight, straight into the run's COPY. */
#ifndef RECONCILE_LISTER_H
#define RECONCILE_LISTER_H

#include "pacer.h"
#include "reconcile.h"

struct lister_result {
	int64_t teams, listings, rows, pages, retries;
};
/* Lists sandboxes and volumes of every team of the run, and stores how complete each listing is.
 * Drives the loop until all is there. Memory: pages in flight, and a small record of each of the some
 * thousand teams that are listed together, in one COPY: not of how many there are.
 * -1 and *err only when Postgres or the loop fail, or *stop became true; what the platform does wrong
 * ends in the listings. */
int lister_run(struct loop *loop, struct platform *platform, struct store_run *run,
               const struct reconcile_config *config, struct pacer *pacer, const bool *stop,
               const struct reconcile_watcher *watcher, struct lister_result *ret,
               struct err *err) MUST_CHECK;

#endif
