/* One deletion in a worker's hands: a claimed ledger row on its way to an outcome. */
#ifndef WORKER_TARGET_H
#define WORKER_TARGET_H

#include "base/loop.h"
#include "base/trace.h"
#include "base/uuid.h"
#include "platform/platform.h"
#include "sql/store_worker.h"
#include "verdict.h"

/* Where a target is. The edges are a table in target.c; anything else is a bug and aborts. */
enum target_state {
	TARGET_CLAIMED, /* new */
	TARGET_READY,   /* in its team's queue, to be sent as soon as the budget allows */
	TARGET_SENT,    /* a call is out */
	TARGET_RESTING, /* until its timer: the next probe, or the confirmation */
	TARGET_DECIDED, /* its outcome waits to be recorded */
	TARGET_STATE_COUNT,
};

struct team;
struct target {
	enum target_state state;
	enum target_kind kind;
	enum target_step step;
	int64_t id, lease;
	int64_t lease_until_us;   /* loop time: after it the row may be another worker's */
	int64_t probing_since_us; /* loop time of the accepted DELETE; 0: none yet */
	int probes;               /* in this step */
	int attempts;             /* that failed before this claim */
	struct uuid team_id;
	struct team *team;                    /* of the fair queue that holds it */
	struct target *next, **link;          /* in that queue; later in the recorder's */
	struct target *held_next, *held_prev; /* everything the executor holds */
	struct loop_timer timer;
	struct platform_call *call;   /* while SENT */
	void *owner;                  /* the executor */
	struct store_outcome outcome; /* once DECIDED */
	char *error;                  /* owned: what outcome.error points to */
	char traceparent[TRACE_SIZE];
	const char *resource_id, *parent_id; /* inside `text` */
	char text[];
};

/* NULL without memory. A kind that is unknown is a bug of the schema: NULL too, *err FATAL. */
struct target *target_new(const struct store_claimed *row, struct err *err) MUST_CHECK;
void target_free(struct target *target);

/* The only writer of target->state. */
void target_set_state(struct target *target, enum target_state to);
bool target_edge_legal(enum target_state from, enum target_state to);

/* Decides: fills the outcome (texts are copied) and moves to DECIDED. status < 0: nothing was sent. */
void target_decide(struct target *target, enum store_outcome_kind kind, int64_t wait_ms, int status,
                   const char *error_class, const char *error);

#endif
