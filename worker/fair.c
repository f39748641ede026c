#include "fair.h"

#include <stdlib.h>
#include <string.h>

void fair_init(struct fair *fair)
{
	*fair = (struct fair){0};
	fair->turn_tail = &fair->turn;
}

void fair_done(struct fair *fair)
{
	for (int i = 0; i < FAIR_BUCKETS; i++)
		while (fair->buckets[i]) {
			struct team *team = fair->buckets[i];
			fair->buckets[i] = team->bucket_next;
			free(team);
		}
	fair_init(fair);
}

static struct team **find(struct fair *fair, const struct uuid *id)
{
	/* Random UUIDs: any of their bytes are a hash. */
	unsigned at = (unsigned)(id->bytes[14] << 8 | id->bytes[15]) % FAIR_BUCKETS;
	struct team **team = &fair->buckets[at];
	while (*team && !uuid_equal(&(*team)->id, id))
		team = &(*team)->bucket_next;
	return team;
}

int fair_hold(struct fair *fair, struct target *target, struct err *err)
{
	struct team **at = find(fair, &target->team_id);
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return err_oom(err);
		(*at)->id = target->team_id;
		for (int i = 0; i < 2; i++)
			(*at)->ready[i].tail = &(*at)->ready[i].first;
		fair->team_count++;
	}
	target->team = *at;
	target->team->held++;
	return 0;
}

static void turn_push(struct fair *fair, struct team *team)
{
	if (team->in_turn || team->ready_count == 0)
		return;
	team->in_turn = true;
	team->turn_next = NULL;
	*fair->turn_tail = team;
	fair->turn_tail = &team->turn_next;
}

static void turn_remove(struct fair *fair, struct team *team)
{
	struct team **at = &fair->turn;
	while (*at && *at != team)
		at = &(*at)->turn_next;
	if (!*at)
		return;
	*at = team->turn_next;
	if (!*at)
		fair->turn_tail = at;
	team->in_turn = false;
}

void fair_drop(struct fair *fair, struct target *target)
{
	struct team *team = target->team;
	target->team = NULL;
	if (--team->held > 0)
		return;
	turn_remove(fair, team);
	*find(fair, &team->id) = team->bucket_next;
	fair->team_count--;
	free(team);
}

static struct fair_queue *queue_of(const struct target *target)
{
	return &target->team->ready[target->attempts > 0];
}

void fair_push(struct fair *fair, struct target *target)
{
	struct fair_queue *queue = queue_of(target);
	target->next = NULL;
	target->link = queue->tail;
	*queue->tail = target;
	queue->tail = &target->next;
	target->team->ready_count++;
	fair->ready_count++;
	turn_push(fair, target->team);
}

void fair_remove(struct fair *fair, struct target *target)
{
	struct team *team = target->team;
	*target->link = target->next;
	if (target->next)
		target->next->link = target->link;
	else
		queue_of(target)->tail = target->link;
	team->ready_count--;
	fair->ready_count--;
	if (team->ready_count == 0 && team->in_turn)
		turn_remove(fair, team);
}

/* The head of one of the team's queues, which take turns while both have something that may go. */
static struct target *choose(const struct fair *fair, struct team *team, int retry_max)
{
	struct target *heads[2] = {team->ready[0].first,
	                           fair->retries_out < retry_max ? team->ready[1].first : NULL};
	int queue = heads[team->next_queue] ? team->next_queue : !team->next_queue;
	team->next_queue = !queue;
	return heads[queue];
}

struct target *fair_next(struct fair *fair, int team_max, int retry_max)
{
	/* Once around at most: every team in the ring may be at its limit. */
	for (int i = 0; i < fair->team_count && fair->turn; i++) {
		struct team *team = fair->turn;
		struct target *target = team->out < team_max ? choose(fair, team, retry_max) : NULL;
		turn_remove(fair, team);
		if (target) {
			team->out++;
			fair->retries_out += target->attempts > 0;
			fair_remove(fair, target);
		}
		turn_push(fair, team);
		if (target)
			return target;
	}
	return NULL;
}

void fair_back(struct fair *fair, struct target *target)
{
	target->team->out--;
	fair->retries_out -= target->attempts > 0;
}

int fair_full_teams(const struct fair *fair, int held_max, int ready_max, struct uuid *ret, int max)
{
	int count = 0;
	for (int i = 0; i < FAIR_BUCKETS && count < max; i++)
		for (const struct team *team = fair->buckets[i]; team && count < max;
		     team = team->bucket_next)
			if (team->held >= held_max || team->ready_count >= ready_max)
				ret[count++] = team->id;
	return count;
}
