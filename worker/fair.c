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
		(*at)->ready_tail = &(*at)->ready;
		fair->team_count++;
	}
	target->team = *at;
	target->team->held++;
	return 0;
}

static void turn_push(struct fair *fair, struct team *team)
{
	if (team->in_turn || !team->ready)
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

void fair_push(struct fair *fair, struct target *target)
{
	struct team *team = target->team;
	target->next = NULL;
	target->link = team->ready_tail;
	*team->ready_tail = target;
	team->ready_tail = &target->next;
	team->ready_count++;
	fair->ready_count++;
	turn_push(fair, team);
}

void fair_remove(struct fair *fair, struct target *target)
{
	struct team *team = target->team;
	*target->link = target->next;
	if (target->next)
		target->next->link = target->link;
	else
		team->ready_tail = target->link;
	team->ready_count--;
	fair->ready_count--;
	if (!team->ready && team->in_turn)
		turn_remove(fair, team);
}

struct target *fair_next(struct fair *fair, int team_max)
{
	/* Once around at most: every team in the ring may be at its limit. */
	for (int i = 0; i < fair->team_count && fair->turn; i++) {
		struct team *team = fair->turn;
		turn_remove(fair, team);
		if (team->out >= team_max) {
			turn_push(fair, team);
			continue;
		}
		struct target *target = team->ready;
		team->out++;
		fair_remove(fair, target);
		turn_push(fair, team);
		return target;
	}
	return NULL;
}

void fair_back(struct fair *fair, struct target *target)
{
	(void)fair;
	target->team->out--;
}

int fair_full_teams(const struct fair *fair, int held_max, struct uuid *ret, int max)
{
	int count = 0;
	for (int i = 0; i < FAIR_BUCKETS && count < max; i++)
		for (const struct team *team = fair->buckets[i]; team && count < max; team = team->bucket_next)
			if (team->held >= held_max)
				ret[count++] = team->id;
	return count;
}
