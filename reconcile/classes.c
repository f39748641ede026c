#include <stddef.h>
#include <string.h>

#include "base/macros.h"
#include "reconcile.h"

static const char *const class_names[CLASS_COUNT] = {
    [CLASS_UNRELEASED] = "unreleased",           [CLASS_MISSED_EVENT] = "missed_event",
    [CLASS_STALE_MAPPING] = "stale_mapping",     [CLASS_GHOST] = "ghost",
    [CLASS_RESURRECTED] = "resurrected",         [CLASS_STUCK_LEASE] = "stuck_lease",
    [CLASS_ORPHAN_SANDBOX] = "orphan_sandbox",   [CLASS_ORPHAN_VOLUME] = "orphan_volume",
    [CLASS_ORPHAN_SNAPSHOT] = "orphan_snapshot",
};

static const char *const verdict_names[] = {
    [VERDICT_IN_SYNC] = "in_sync",
    [VERDICT_FAILED] = "failed",
    [VERDICT_DRIFT] = "drift",
    [VERDICT_REPAIRED] = "repaired",
    [VERDICT_PARTLY] = "repaired_in_part",
    [VERDICT_GUARDED] = "guarded",
    [VERDICT_INCOMPLETE] = "incomplete",
    [VERDICT_LOCKED] = "locked",
};

const char *reconcile_class_name(enum reconcile_class class_)
{
	return (unsigned)class_ < CLASS_COUNT ? class_names[class_] : "unknown";
}

int reconcile_class_parse(const char *name, enum reconcile_class *ret)
{
	for (int i = 0; i < CLASS_COUNT; i++)
		if (strcmp(class_names[i], name) == 0) {
			*ret = (enum reconcile_class)i;
			return 0;
		}
	return -1;
}

const char *reconcile_verdict_name(enum reconcile_verdict verdict)
{
	return (unsigned)verdict < N_OF(verdict_names) ? verdict_names[verdict] : "unknown";
}
