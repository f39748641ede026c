/* The blast radius: how much one run may change before a person has to say so. Pure. */
#ifndef RECONCILE_GUARD_H
#define RECONCILE_GUARD_H

#include "reconcile.h"

/* True when the run may act. Otherwise `ret_text` is one sentence that says which guard, how many acts,
 * what the limit is, and how to allow it. `blasts[0]` is the whole run, the others teams. A dry run
 * never asks. */
bool guard_allows(const struct reconcile_config *config, const struct store_blast *blasts,
                  int count, int64_t allow, char ret_text[512]);

#endif
