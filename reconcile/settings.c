#include "reconcile.h"

#include <stddef.h>

#include "base/macros.h"

#define ROW(field, type, min, max, def, help)                                              \
	{                                                                                      \
#field, type, offsetof(struct reconcile_config, field), min, max, def, false, help \
	}
/* Every class has a switch and a grace. */
#define CLASS_ROWS(name, class_, grace, what)                                                  \
	{#name "_enabled",                                                                         \
	 CONFIG_BOOL,                                                                              \
	 offsetof(struct reconcile_config, enabled[class_]),                                       \
	 0,                                                                                        \
	 0,                                                                                        \
	 "true",                                                                                   \
	 false,                                                                                    \
	 "Whether to look for: " what "."},                                                        \
	{                                                                                          \
#name "_grace_ms", CONFIG_I64, offsetof(struct reconcile_config, grace_ms[class_]), 0, \
		    2592000000, grace, false, "How long that may be so before it is drift."            \
	}

static const struct config_row rows[] = {
    ROW(metrics_listen, CONFIG_STR, 0, 0, "127.0.0.1:9466",
        "Where a repeated reconciler serves /metrics, /livez and /readyz."),
    ROW(mode, CONFIG_STR, 0, 0, "repair",
        "repair: what is proved is repaired. observe: it is only recorded, and counted later how "
        "much of it "
        "was used again."),
    ROW(shard, CONFIG_STR, 0, 0, "default",
        "One run at a time has the lock of a shard; shards run side by side."),
    ROW(interval_ms, CONFIG_I64, 1000, 86400000, "300000",
        "Between two runs of a repeated reconciler, a quarter more or less by chance."),
    ROW(query_timeout_ms, CONFIG_I64, 1000, 86400000, "600000",
        "The longest time for one statement over all that was listed."),
    ROW(page_rows, CONFIG_I64, 1, 200, "200", "Rows of one page of a listing."),
    ROW(pages_in_flight, CONFIG_I64, 1, 256, "16",
        "Calls to the platform that may be out at once: pages, and looks at single things."),
    ROW(calls_per_second, CONFIG_I64, 0, 100000, "200",
        "How many of them may begin in a second. 0: as many as there are answers."),
    ROW(call_attempts, CONFIG_I64, 1, 100, "5",
        "How often one call is tried before its page is missing or its thing unproved."),
    ROW(backoff_base_ms, CONFIG_I64, 1, 3600000, "200",
        "The wait after a failed call is random between 0 and this, doubled with every failure."),
    ROW(backoff_cap_ms, CONFIG_I64, 1, 3600000, "10000",
        "The longest such wait. A Retry-After of the platform is kept to however long it is."),
    ROW(gets_max, CONFIG_I64, 0, 10000000, "2000",
        "Looks at single things in one run. What is left over is unproved, and waits for the "
        "next."),
    ROW(confirm_ms, CONFIG_I64, 0, 600000, "2000",
        "Between the first look that shows a thing absent and the one that proves it."),
    ROW(max_acts, CONFIG_I64, 0, 10000000, "500",
        "A run that would do more acts does none, and says so."),
    ROW(max_acts_team, CONFIG_I64, 0, 10000000, "100",
        "The same for the acts on one team's things in a run."),
    ROW(max_share, CONFIG_I64, 0, 100, "10",
        "Acts of a run in percent of what the ledger owns: a run that would do more does none."),
    ROW(max_share_team, CONFIG_I64, 0, 100, "50", "The same for one team, of what that team owns."),
    ROW(min_acts, CONFIG_I64, 0, 10000000, "10",
        "The two shares are asked only of more acts than this, since one thing of two is half."),
    ROW(plan_max_age_ms, CONFIG_I64, 1000, 2592000000, "3600000",
        "A sealed plan older than this is refused."),
    ROW(pipeline_grace_ms, CONFIG_I64, 1000, 86400000, "300000",
        "How long an event, a release or a due row may wait before it counts as stuck."),
    ROW(keep_days, CONFIG_I64, 1, 3650, "30",
        "History of runs, and ledger rows of what is gone, are kept for so long."),
    ROW(adopt_volumes, CONFIG_BOOL, 0, 0, "true",
        "Whether volumes that a publish asked for and never heard of are deleted. The platform "
        "tells "
        "them by the user whose key platform.token is, so nobody but Sandsweep may be that user. "
        "false: they are only told of."),
    CLASS_ROWS(unreleased, CLASS_UNRELEASED, "600000",
               "mapped though the function is deleted or disabled or serves another revision"),
    CLASS_ROWS(missed_event, CLASS_MISSED_EVENT, "300000", "released, and no event doomed it"),
    CLASS_ROWS(stale_mapping, CLASS_STALE_MAPPING, "120000", "mapped, and not live"),
    CLASS_ROWS(ghost, CLASS_GHOST, "300000", "in the ledger, and the platform has nothing"),
    CLASS_ROWS(resurrected, CLASS_RESURRECTED, "60000",
               "gone in the ledger, and the platform shows it"),
    CLASS_ROWS(stuck_lease, CLASS_STUCK_LEASE, "60000",
               "claimed by a worker whose lease ended, and not claimed since"),
    CLASS_ROWS(orphan_sandbox, CLASS_ORPHAN_SANDBOX, "900000",
               "a live sandbox, proved ours, that nothing knows"),
    CLASS_ROWS(orphan_volume, CLASS_ORPHAN_VOLUME, "3600000",
               "a volume of ours without a revision that needs it"),
    CLASS_ROWS(orphan_snapshot, CLASS_ORPHAN_SNAPSHOT, "3600000",
               "a snapshot of ours without a revision that needs it"),
};

const struct config_section reconcile_section = {
    "reconcile", "The reconciler: finds what is not as Postgres says, proves it, repairs it.", rows,
    N_OF(rows), false};
