/* Fair queues: one per team, served in turn, each team limited in what it has out at once, so that
 * one team's trouble is not another's delay. Within a team, what has failed before takes turns with
 * what has not, and all of it together never takes the whole budget: a few resources that hang on
 * every attempt must not hold up the fresh ones. Pure state. */
#ifndef WORKER_FAIR_H
#define WORKER_FAIR_H

#include "target.h"

enum { FAIR_BUCKETS = 1024 };

struct team {
	struct uuid id;
	struct team *bucket_next;
	struct team *turn_next; /* in the ring of teams that have something ready */
	struct fair_queue {
		struct target *first, **tail;
	} ready[2];                 /* fresh ones, and those that failed before */
	int ready_count, out, held; /* queued; calls out; all of its targets that the executor holds */
	int next_queue;             /* of the two: whose turn it is */
	bool in_turn;
};
struct fair {
	struct team *buckets[FAIR_BUCKETS];
	struct team *turn, **turn_tail;
	int team_count, ready_count;
	int retries_out; /* calls out for targets that failed before */
};

void fair_init(struct fair *fair);
void fair_done(struct fair *fair); /* the targets are not its own */

/* The executor holds this target from now on. -1: no memory for its team. */
int fair_hold(struct fair *fair, struct target *target, struct err *err) MUST_CHECK;
/* It no longer does: a team without targets is forgotten. */
void fair_drop(struct fair *fair, struct target *target);

/* Queues a target behind its team's others. */
void fair_push(struct fair *fair, struct target *target);
/* Takes a queued target out of its queue, wherever it stands. */
void fair_remove(struct fair *fair, struct target *target);
/* The next target whose team has fewer than `team_max` calls out, and, if it failed before, while fewer than
 * `retry_max` of those are out; NULL: none may go now. It counts as out until fair_back(). */
struct target *fair_next(struct fair *fair, int team_max, int retry_max);
void fair_back(struct fair *fair, struct target *target);

/* Teams that hold at least `held_max` targets or have at least `ready_max` ready, for the claim to pass
 * over; at most `max` of them. */
int fair_full_teams(const struct fair *fair, int held_max, int ready_max, struct uuid *ret,
                    int max);

#endif
