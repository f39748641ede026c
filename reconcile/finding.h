/* Findings that are kept for longer than a callback. */
#ifndef RECONCILE_FINDING_H
#define RECONCILE_FINDING_H

#include "base/err.h"
#include "sql/store_reconcile.h"

/* A copy with its texts, in one piece that the caller frees. NULL and *err without memory. */
struct store_finding *finding_copy(const struct store_finding *finding, struct err *err) MUST_CHECK;

#endif
