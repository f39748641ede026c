#include "worker/fair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

enum { NO_LIMIT = 1000000 };

/* Teams 26 apart share everything but their first byte, and with it their bucket; team 0 is in the
 * first of all. */
static struct uuid team_id(int team)
{
	struct uuid id = {{0}};
	id.bytes[0] = (uint8_t)(1 + team / 26);
	id.bytes[15] = (uint8_t)(team % 26);
	return id;
}

static struct target *new_target(int team, int attempts)
{
	struct target *target = calloc(1, sizeof(*target));
	assert_non_null(target);
	target->team_id = team_id(team);
	target->attempts = attempts;
	return target;
}

static void hold(struct fair *fair, struct target *target)
{
	struct err err = {0};
	assert_int_equal(fair_hold(fair, target, &err), 0);
}

/* ---- in turn ----
 * Each letter is a target of that team: a capital is fresh, a small one has failed before. */
enum { TARGETS = 32 };
static const struct turn_case {
	const char *name, *pushed;
	int team_max, retry_max;
	const char *want; /* what comes out until nothing may go, without any coming back */
} turn_cases[] = {
    {"nothing", "", NO_LIMIT, NO_LIMIT, ""},
    {"one", "A", NO_LIMIT, NO_LIMIT, "A"},
    {"one team, in order", "AAA", NO_LIMIT, NO_LIMIT, "AAA"},
    {"two teams in turn", "AAABBB", NO_LIMIT, NO_LIMIT, "ABABAB"},
    {"by order of coming", "BAAC", NO_LIMIT, NO_LIMIT, "BACA"},
    {"a big one and small ones", "AAAAAABC", NO_LIMIT, NO_LIMIT, "ABCAAAAA"},
    {"five teams", "AABBCCDDEE", NO_LIMIT, NO_LIMIT, "ABCDEABCDE"},
    {"limit of one", "AAABBC", 1, NO_LIMIT, "ABC"},
    {"limit of two", "AAABBBBCC", 2, NO_LIMIT, "ABCABC"},
    {"limit of nothing", "AAB", 0, NO_LIMIT, ""},
    {"limit below nothing", "AAB", -1, NO_LIMIT, ""},
    {"failed ones only", "aab", NO_LIMIT, NO_LIMIT, "aba"},
    {"fresh and failed take turns", "AAAaaa", NO_LIMIT, NO_LIMIT, "AaAaAa"},
    {"whichever came first", "aaaAAA", NO_LIMIT, NO_LIMIT, "AaAaAa"},
    {"more failed than fresh", "Aaaaa", NO_LIMIT, NO_LIMIT, "Aaaaa"},
    {"more fresh than failed", "aAAAA", NO_LIMIT, NO_LIMIT, "AaAAA"},
    {"in two teams", "AAaaBBbb", NO_LIMIT, NO_LIMIT, "ABabABab"},
    {"limit of failed ones", "AAAaaa", NO_LIMIT, 1, "AaAA"},
    {"limit of failed ones in all teams", "AAaaBBbb", NO_LIMIT, 1, "ABaBA"},
    {"no failed ones at all", "AaBbb", NO_LIMIT, 0, "AB"},
    {"only failed ones, and none may go", "aabb", NO_LIMIT, 0, ""},
    {"only failed ones, and two may go", "aabb", NO_LIMIT, 2, "ab"},
    {"both limits", "AAAaaaBb", 2, 1, "ABa"},
};

static char letter_of(const struct target *target)
{
	return (char)((target->attempts ? 'a' : 'A') + target->team_id.bytes[15]);
}

static void test_in_turn(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(turn_cases); i++) {
		const struct turn_case *c = &turn_cases[i];
		static struct fair fair;
		struct target *targets[TARGETS], *next;
		int count = 0, out = 0;
		char said[TARGETS + 1] = "";
		fair_init(&fair);
		for (const char *p = c->pushed; *p; p++, count++) {
			targets[count] = new_target(*p >= 'a' ? *p - 'a' : *p - 'A', *p >= 'a');
			hold(&fair, targets[count]);
			fair_push(&fair, targets[count]);
		}
		while (out < count && (next = fair_next(&fair, c->team_max, c->retry_max)))
			said[out++] = letter_of(next);
		if (strcmp(said, c->want) != 0)
			fail_msg("%s: %s", c->name, said);
		assert_null(fair_next(&fair, c->team_max, c->retry_max));
		assert_int_equal(fair.ready_count, count - out);
		fair_done(&fair);
		assert_int_equal(fair.team_count, 0);
		assert_int_equal(fair.ready_count, 0);
		assert_null(fair_next(&fair, NO_LIMIT, NO_LIMIT));
		for (int n = 0; n < count; n++)
			free(targets[n]);
	}
}

/* ---- one by one ---- */

struct rig {
	struct fair fair;
	struct target *a[4], *b[2];
};

static int set_up(void **state)
{
	static struct rig rig;
	fair_init(&rig.fair);
	for (size_t i = 0; i < N_OF(rig.a); i++)
		hold(&rig.fair, rig.a[i] = new_target(0, 0));
	for (size_t i = 0; i < N_OF(rig.b); i++)
		hold(&rig.fair, rig.b[i] = new_target(1, 0));
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	fair_done(&rig->fair);
	for (size_t i = 0; i < N_OF(rig->a); i++)
		free(rig->a[i]);
	for (size_t i = 0; i < N_OF(rig->b); i++)
		free(rig->b[i]);
	return 0;
}

static struct target *next(struct rig *rig)
{
	return fair_next(&rig->fair, NO_LIMIT, NO_LIMIT);
}

/* Which of a's four are removed again, as bits; the others keep their order. */
static void test_removing_from_anywhere(void **state)
{
	struct rig *rig = *state;
	for (int gone = 0; gone < 16; gone++) {
		for (size_t i = 0; i < 4; i++)
			fair_push(&rig->fair, rig->a[i]);
		fair_push(&rig->fair, rig->b[0]);
		for (size_t i = 0; i < 4; i++)
			if (gone >> i & 1)
				fair_remove(&rig->fair, rig->a[i]);
		int left = 4 - __builtin_popcount((unsigned)gone);
		assert_int_equal(rig->fair.ready_count, left + 1);
		bool b_seen = false;
		for (size_t i = 0; i < 4; i++) {
			if (gone >> i & 1)
				continue;
			struct target *target = next(rig);
			if (target == rig->b[0]) {
				b_seen = true;
				target = next(rig);
			}
			assert_ptr_equal(target, rig->a[i]);
			fair_back(&rig->fair, target);
		}
		if (!b_seen)
			assert_ptr_equal(next(rig), rig->b[0]);
		fair_back(&rig->fair, rig->b[0]);
		assert_null(next(rig));
		assert_int_equal(rig->fair.ready_count, 0);
	}
}

static void test_pushing_behind_what_was_removed(void **state)
{
	struct rig *rig = *state;
	fair_push(&rig->fair, rig->a[0]);
	fair_push(&rig->fair, rig->a[1]);
	fair_remove(&rig->fair, rig->a[1]); /* the last */
	fair_push(&rig->fair, rig->a[2]);
	fair_remove(&rig->fair, rig->a[0]); /* the first */
	fair_push(&rig->fair, rig->a[3]);
	fair_push(&rig->fair, rig->a[0]);
	assert_ptr_equal(next(rig), rig->a[2]);
	assert_ptr_equal(next(rig), rig->a[3]);
	assert_ptr_equal(next(rig), rig->a[0]);
	assert_null(next(rig));
}

static void test_a_team_at_its_limit_waits_for_one_to_come_back(void **state)
{
	struct rig *rig = *state;
	for (size_t i = 0; i < 4; i++)
		fair_push(&rig->fair, rig->a[i]);
	assert_ptr_equal(fair_next(&rig->fair, 2, NO_LIMIT), rig->a[0]);
	assert_ptr_equal(fair_next(&rig->fair, 2, NO_LIMIT), rig->a[1]);
	assert_null(fair_next(&rig->fair, 2, NO_LIMIT));
	fair_push(&rig->fair, rig->b[0]); /* no matter of b's */
	assert_ptr_equal(fair_next(&rig->fair, 2, NO_LIMIT), rig->b[0]);
	fair_back(&rig->fair, rig->a[1]);
	assert_ptr_equal(fair_next(&rig->fair, 2, NO_LIMIT), rig->a[2]);
	assert_null(fair_next(&rig->fair, 2, NO_LIMIT));
	assert_ptr_equal(fair_next(&rig->fair, 3, NO_LIMIT), rig->a[3]); /* a limit may change */
}

static void test_failed_ones_wait_for_one_of_any_team(void **state)
{
	struct rig *rig = *state;
	rig->a[0]->attempts = rig->b[0]->attempts = rig->b[1]->attempts = 1;
	fair_push(&rig->fair, rig->a[0]);
	fair_push(&rig->fair, rig->b[0]);
	fair_push(&rig->fair, rig->b[1]);
	assert_ptr_equal(fair_next(&rig->fair, NO_LIMIT, 2), rig->a[0]);
	assert_ptr_equal(fair_next(&rig->fair, NO_LIMIT, 2), rig->b[0]);
	assert_null(fair_next(&rig->fair, NO_LIMIT, 2));
	fair_push(&rig->fair, rig->a[1]); /* a fresh one goes all the same */
	assert_ptr_equal(fair_next(&rig->fair, NO_LIMIT, 2), rig->a[1]);
	fair_back(&rig->fair, rig->a[1]);
	assert_null(fair_next(&rig->fair, NO_LIMIT, 2));
	fair_back(&rig->fair, rig->a[0]);
	assert_ptr_equal(fair_next(&rig->fair, NO_LIMIT, 2), rig->b[1]);
	assert_int_equal(rig->fair.retries_out, 2);
	fair_back(&rig->fair, rig->b[0]);
	fair_back(&rig->fair, rig->b[1]);
	assert_int_equal(rig->fair.retries_out, 0);
}

static void test_drop_forgets_a_team_with_its_last_target(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig->fair.team_count, 2);
	assert_ptr_equal(rig->a[0]->team, rig->a[3]->team);
	assert_ptr_not_equal(rig->a[0]->team, rig->b[0]->team);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(rig->fair.team_count, 2);
		fair_drop(&rig->fair, rig->a[i]);
		assert_null(rig->a[i]->team);
	}
	assert_int_equal(rig->fair.team_count, 1);
	fair_push(&rig->fair, rig->b[0]);
	assert_ptr_equal(next(rig), rig->b[0]); /* b is none the worse for it */
	hold(&rig->fair, rig->a[0]);
	assert_int_equal(rig->fair.team_count, 2);
	assert_int_equal(rig->a[0]->team->held, 1); /* and a is new */
	assert_int_equal(rig->a[0]->team->out, 0);
	fair_push(&rig->fair, rig->a[0]);
	assert_ptr_equal(next(rig), rig->a[0]);
}

static void test_done_on_nothing(void **state)
{
	(void)state;
	static struct fair fair;
	fair_init(&fair);
	assert_null(fair_next(&fair, 1, 1));
	fair_done(&fair);
	fair_done(&fair);
	assert_int_equal(fair.team_count, 0);
}

/* ---- full teams ---- */

static const struct full_case {
	const char *name;
	int held_max, ready_max, max; /* team n holds n + 1 targets, and n of them are ready */
	int want;                     /* bits of the teams */
} full_cases[] = {
    {"none", 6, 6, 10, 0},
    {"by what they hold", 4, 6, 10, 0x18},
    {"all of them hold one", 1, 6, 10, 0x1f},
    {"by what is ready", 6, 3, 10, 0x18},
    {"by either", 5, 2, 10, 0x1c},
    {"all of them have nothing ready", 6, 0, 10, 0x1f},
    {"no room at all", 1, 6, 0, 0},
};

static void check_full(struct fair *fair, const struct full_case *c)
{
	struct uuid full[10];
	int bits = 0, count = fair_full_teams(fair, c->held_max, c->ready_max, full, c->max);
	for (int i = 0; i < count; i++)
		for (int team = 0; team < 5; team++) {
			struct uuid id = team_id(team * 26); /* one bucket */
			if (uuid_equal(&id, &full[i]))
				bits |= 1 << team;
		}
	if (bits != c->want || count != __builtin_popcount((unsigned)c->want))
		fail_msg("%s: %d teams, %x", c->name, count, (unsigned)bits);
}

static void test_full_teams(void **state)
{
	(void)state;
	static struct fair fair;
	struct target *targets[15];
	struct uuid full[10];
	int count = 0;
	fair_init(&fair);
	for (int team = 0; team < 5; team++)
		for (int i = 0; i <= team; i++, count++) {
			targets[count] = new_target(team * 26, i % 2);
			hold(&fair, targets[count]);
			if (i > 0)
				fair_push(&fair, targets[count]);
		}
	assert_int_equal(fair.team_count, 5);
	for (size_t i = 0; i < N_OF(full_cases); i++)
		check_full(&fair, &full_cases[i]);
	memset(full, 0, sizeof(full));
	assert_int_equal(fair_full_teams(&fair, 1, NO_LIMIT, full, 3), 3); /* at most as many as fit */
	assert_false(uuid_is_nil(&full[2]));
	assert_true(uuid_is_nil(&full[3]));
	fair_done(&fair);
	for (int i = 0; i < count; i++)
		free(targets[i]);
}

/* ---- random steps against a reference ---- */

enum { TEAMS = 20, ALL = 400, TEAM_MAX = 3, RETRY_MAX = 7, STEPS = 100000 };
enum where { NOWHERE, HELD, QUEUED, OUT, PLACES };

static struct {
	struct target *target[ALL];
	enum where where[ALL];
	int team[ALL];
	long queued_at[ALL];         /* the step of its push */
	int count[TEAMS][PLACES][2]; /* by team, place, and whether it failed before */
	int retries_out, served;
	int last_queue[TEAMS];    /* that the team was served from; -1: new */
	int passed[TEAMS][TEAMS]; /* how often [a] was served since [b] may go, or went */
} ref;

static uint64_t random_below(uint64_t bound)
{
	static uint64_t seed = 7;
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % bound;
}

static int retry_of(int i)
{
	return ref.target[i]->attempts > 0;
}

static void move(int i, enum where to)
{
	int retry = retry_of(i);
	ref.count[ref.team[i]][ref.where[i]][retry]--;
	ref.count[ref.team[i]][to][retry]++;
	ref.retries_out += retry * ((to == OUT) - (ref.where[i] == OUT));
	ref.where[i] = to;
}

static int count_of(int team, enum where where)
{
	return ref.count[team][where][0] + ref.count[team][where][1];
}

static int held_by(int team)
{
	return count_of(team, HELD) + count_of(team, QUEUED) + count_of(team, OUT);
}

static bool queue_may_go(int team, int retry)
{
	return ref.count[team][QUEUED][retry] > 0 && (!retry || ref.retries_out < RETRY_MAX);
}

static bool may_go(int team)
{
	return count_of(team, OUT) < TEAM_MAX && (queue_may_go(team, 0) || queue_may_go(team, 1));
}

/* Whichever of a team's queue has waited longest. */
static int head(int team, int retry)
{
	int first = -1;
	for (int i = 0; i < ALL; i++)
		if (ref.team[i] == team && ref.where[i] == QUEUED && retry_of(i) == retry &&
		    (first < 0 || ref.queued_at[i] < ref.queued_at[first]))
			first = i;
	return first;
}

/* A team that may not go (any more) has nothing to complain about. */
static void forgive(void)
{
	for (int team = 0; team < TEAMS; team++)
		if (!may_go(team))
			for (int other = 0; other < TEAMS; other++)
				ref.passed[other][team] = 0;
}

/* This one was served: was it right? */
static void check_served(int served)
{
	int team = ref.team[served], retry = retry_of(served);
	if (!may_go(team) || !queue_may_go(team, retry))
		fail_msg("one of team %d went that may not", team);
	if (served != head(team, retry))
		fail_msg("one of team %d went before its turn", team);
	if (queue_may_go(team, !retry) && ref.last_queue[team] == retry)
		fail_msg("the queues of team %d did not take turns", team);
	if (queue_may_go(team, 0) && ref.last_queue[team] < 0 && retry)
		fail_msg("team %d did not begin with a fresh one", team);
	for (int other = 0; other < TEAMS; other++)
		if (other != team && may_go(other) && ++ref.passed[team][other] > 1)
			fail_msg("team %d was served twice while team %d waited", team, other);
	for (int other = 0; other < TEAMS; other++)
		ref.passed[other][team] = 0;
	ref.last_queue[team] = retry;
	ref.served++;
	move(served, OUT);
}

static void step_next(struct fair *fair)
{
	struct target *target = fair_next(fair, TEAM_MAX, RETRY_MAX);
	if (!target) {
		for (int team = 0; team < TEAMS; team++)
			if (may_go(team))
				fail_msg("team %d may go", team);
		return;
	}
	int served = 0;
	while (served < ALL && ref.target[served] != target)
		served++;
	assert_in_range(served, 0, ALL - 1);
	check_served(served);
}

static void step_hold(struct fair *fair, int i)
{
	ref.team[i] = (int)random_below(TEAMS);
	ref.target[i]->team_id = team_id(ref.team[i] % 4 * 26 + ref.team[i] / 4); /* four to a bucket */
	ref.target[i]->attempts = random_below(3) == 0 ? 2 : 0;
	if (held_by(ref.team[i]) == 0)
		ref.last_queue[ref.team[i]] = -1;
	move(i, HELD);
	hold(fair, ref.target[i]);
}

/* What can be done with a target where it is, by chance. */
static void step_one(struct fair *fair, int i, long step)
{
	struct target *target = ref.target[i];
	bool rarely = random_below(4) == 0;
	if (ref.where[i] == NOWHERE) {
		step_hold(fair, i);
	} else if (ref.where[i] == HELD && rarely) {
		fair_drop(fair, target);
		move(i, NOWHERE);
	} else if (ref.where[i] == HELD) {
		fair_push(fair, target);
		ref.queued_at[i] = step;
		move(i, QUEUED);
	} else if (ref.where[i] == QUEUED && rarely) {
		fair_remove(fair, target);
		move(i, HELD);
	} else if (ref.where[i] == OUT) {
		fair_back(fair, target);
		move(i, HELD);
	}
}

static void check_counts(const struct fair *fair)
{
	struct uuid full[TEAMS];
	int teams = 0, ready = 0, want_full = 0;
	for (int team = 0; team < TEAMS; team++) {
		teams += held_by(team) > 0;
		ready += count_of(team, QUEUED);
		want_full += held_by(team) >= 20 || count_of(team, QUEUED) >= 14;
	}
	assert_int_equal(fair->team_count, teams);
	assert_int_equal(fair->ready_count, ready);
	assert_int_equal(fair->retries_out, ref.retries_out);
	assert_int_equal(fair_full_teams(fair, 20, 14, full, TEAMS), want_full);
}

static void end_all(struct fair *fair)
{
	for (int i = 0; i < ALL; i++) {
		if (ref.where[i] == QUEUED)
			fair_remove(fair, ref.target[i]);
		if (ref.where[i] == OUT)
			fair_back(fair, ref.target[i]);
		if (ref.where[i] != NOWHERE)
			fair_drop(fair, ref.target[i]);
		free(ref.target[i]);
	}
}

static void test_random_steps_against_a_reference(void **state)
{
	(void)state;
	static struct fair fair;
	memset(&ref, 0, sizeof(ref));
	fair_init(&fair);
	for (int i = 0; i < ALL; i++)
		ref.target[i] = new_target(0, 0);
	for (long step = 0; step < STEPS; step++) {
		if (random_below(10) < 3)
			step_next(&fair);
		else
			step_one(&fair, (int)random_below(ALL), step);
		forgive();
		if (step % 16 == 0)
			check_counts(&fair);
	}
	assert_in_range(ref.served, STEPS / 20, STEPS);
	end_all(&fair);
	assert_int_equal(fair.team_count, 0); /* all forgotten: nothing is left to be freed */
	assert_null(fair.turn);
	for (int i = 0; i < FAIR_BUCKETS; i++)
		assert_null(fair.buckets[i]);
}

#define FAIR_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_in_turn),
	    FAIR_TEST(test_removing_from_anywhere),
	    FAIR_TEST(test_pushing_behind_what_was_removed),
	    FAIR_TEST(test_a_team_at_its_limit_waits_for_one_to_come_back),
	    FAIR_TEST(test_failed_ones_wait_for_one_of_any_team),
	    FAIR_TEST(test_drop_forgets_a_team_with_its_last_target),
	    cmocka_unit_test(test_done_on_nothing),
	    cmocka_unit_test(test_full_teams),
	    cmocka_unit_test(test_random_steps_against_a_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
