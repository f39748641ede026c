/* The reconciler: compares Postgres with what is live on the platform, and repairs the difference. A
 * listing is a hint, a GET is proof, a compare-and-set is the act. */
#ifndef RECONCILE_RECONCILE_H
#define RECONCILE_RECONCILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/metrics.h"
#include "platform/platform.h"
#include "queue/probe.h"
#include "sql/store_reconcile.h"

/* In the order in which they are looked for: a thing has one finding, of the first class that fits. */
enum reconcile_class {
	CLASS_UNRELEASED, /* mapped, though its function is deleted or disabled or serves another revision */
	CLASS_MISSED_EVENT, /* released, and no event doomed it in time; or refused for a cause that passed */
	CLASS_STALE_MAPPING,  /* mapped, but not live */
	CLASS_GHOST,          /* the ledger says dead or in use, the platform has nothing */
	CLASS_RESURRECTED,    /* the ledger says gone, the platform shows it */
	CLASS_STUCK_LEASE,    /* being deleted by somebody who is long overdue */
	CLASS_ORPHAN_SANDBOX, /* live, proved ours, known to nobody */
	CLASS_ORPHAN_VOLUME, /* ours, of a revision that does not exist or a function that is deleted */
	CLASS_ORPHAN_SNAPSHOT, /* the same */
	CLASS_COUNT,
};
const char *reconcile_class_name(enum reconcile_class class_);          /* "stale_mapping" */
int reconcile_class_parse(const char *name, enum reconcile_class *ret); /* 0, or -1 */

/* The [reconcile] section. */
struct reconcile_config {
	const char *metrics_listen; /* of --watch */
	const char *mode;           /* "observe" or "repair" */
	const char *shard;
	int64_t interval_ms;      /* of --watch; jittered by a quarter either way */
	int64_t query_timeout_ms; /* of the set-based statements */
	int64_t page_rows;        /* rows of a page of the listing, at most 200 */
	int64_t
	    pages_in_flight; /* calls to the platform that may be out at once, listing and proving */
	int64_t calls_per_second; /* and how many may begin in a second; 0: no limit */
	int64_t call_attempts;    /* of one page or one look, with backoff */
	int64_t backoff_base_ms, backoff_cap_ms;
	int64_t gets_max;                  /* looks at single things, in one run */
	int64_t confirm_ms;                /* between the two looks that prove something absent */
	int64_t max_acts, max_acts_team;   /* blast radius by count: of a run, of one team in it */
	int64_t max_share, max_share_team; /* by share, percent of what the ledger owns */
	int64_t min_acts;                  /* the share is not asked below so many acts */
	int64_t plan_max_age_ms;
	int64_t pipeline_grace_ms;
	int64_t keep_days;
	bool adopt_volumes;        /* what lost calls of publishes made is adopted, not only told of */
	bool enabled[CLASS_COUNT]; /* <class>_enabled */
	int64_t grace_ms[CLASS_COUNT]; /* <class>_grace_ms */
};
extern const struct config_section reconcile_section;

/* The verdict of a run is its exit code; the same word stands in the JSON and in the history. */
enum reconcile_verdict {
	VERDICT_IN_SYNC = 0,    /* "in_sync": no drift */
	VERDICT_FAILED = 1,     /* "failed": see the error */
	VERDICT_DRIFT = 2,      /* "drift": found by a dry run, or in observe mode */
	VERDICT_REPAIRED = 3,   /* "repaired": all of it */
	VERDICT_PARTLY = 4,     /* "repaired_in_part": some acts came too late or failed */
	VERDICT_GUARDED = 5,    /* "guarded": a guard stopped it before the first act */
	VERDICT_INCOMPLETE = 6, /* "incomplete": the evidence was; what was proved is repaired */
	VERDICT_LOCKED = 7,     /* "locked": another run holds the lock */
};
const char *reconcile_verdict_name(enum reconcile_verdict verdict);

/* What a run is asked to do. */
struct reconcile_request {
	const char *actor, *holder;
	bool dry;
	struct uuid team_id, function_id; /* nil: all */
	bool only[CLASS_COUNT];           /* with any_only: no other class */
	bool any_only;
	int64_t allow; /* acts that a person allows beyond the blast radius; 0: none */
	/* A sealed plan instead of looking for findings; NULL: look. Every item is proved anew, and the blast
	 * radius holds: a plan may have been made by nobody's hand. Read during the run, not kept. */
	struct reconcile_plan *plan;
};

/* What it says on the way, all from within reconcile_run(). Any may be NULL. */
struct reconcile_watcher {
	/* phase "list" (teams), "find" (classes), "prove" (findings), "act" (findings); total 0: not known. */
	void (*progress)(void *arg, const char *phase, int64_t done, int64_t total);
	void *arg;
};

struct reconcile_class_counts {
	int64_t found, young, proved, disproved, unproved; /* found = the sum of the others and notes */
	int64_t notes;
	int64_t acted, stale, skipped, failed;
};
struct reconcile_summary {
	enum reconcile_verdict verdict;
	char text[512];   /* one sentence: what stopped it, who holds the lock */
	const char *mode; /* as the request and the configuration have it */
	bool dry;
	int64_t run_id, term, t0_us;
	int64_t system_id;
	char database[128];
	struct reconcile_class_counts classes[CLASS_COUNT];
	int64_t teams, listings, incomplete; /* listings: one of a team and kind each */
	int64_t rows, pages, gets, retries;
	int64_t duration_us;
	struct store_pipeline pipeline;
	bool pipeline_read;
	struct queue_probe queue;
	bool queue_read; /* it was asked, whatever it answered */
};

struct reconciler; /* the parts that several runs share: loop, platform client, metrics */
struct reconciler_opts {
	const struct reconcile_config *config;
	const struct pg_config *postgres;
	const struct platform_config *platform;
	struct metrics *metrics;          /* NULL: none */
	const struct kafka_config *kafka; /* NULL: the queue is not looked at */
};
struct reconciler *reconciler_new(struct loop *loop, const struct reconciler_opts *opts,
                                  struct err *err) MUST_CHECK;
void reconciler_free(struct reconciler *reconciler);
/* From a signal: the run that is going on ends after the act that it is in, as VERDICT_FAILED. */
void reconciler_stop(struct reconciler *reconciler);

/* One run, from its lock to its row in the history; drives the loop while it waits for the platform.
 * Findings are given to `each` (may be NULL) at the end, in the order of finding, with their results.
 * A run over everything looks at the queue too, where Kafka is configured: that blocks for up to three seconds
 * when no broker answers, and two more where librdkafka's threads do not end. A signal waits as long.
 * Never fails otherwise than in ret->verdict and ret->text; *err holds the error of VERDICT_FAILED. */
void reconcile_run(struct reconciler *reconciler, const struct reconcile_request *request,
                   const struct reconcile_watcher *watcher, store_finding_fn *each, void *each_arg,
                   struct reconcile_summary *ret, struct err *err);

#endif
