#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reconcile/guard.h"

/* The run, then teams; a team's number stands for its id. */
struct blast {
	int team;
	int64_t acts, owned;
};
static const struct {
	const char *name;
	struct blast blasts[3];
	int64_t allow;
	const char *says[4]; /* none: it may act */
} cases[] = {
    {"nothing to do", {{0, 0, 0}}, 0, {NULL}},
    {"as many as a run may", {{0, 500, 1000000}}, 0, {NULL}},
    {"one more",
     {{0, 501, 1000000}},
     0,
     {"the run would do 501 acts", "reconcile.max_acts allows 500", "--allow 501"}},
    {"as many as a team may", {{0, 100, 100000}, {1, 100, 1000}}, 0, {NULL}},
    {"one more of a team",
     {{0, 101, 100000}, {1, 101, 1000}},
     0,
     {"team 01000000-0000-0000-0000-000000000000", "101 acts", "reconcile.max_acts_team allows 100",
      "--allow 101"}},
    {"the second team",
     {{0, 151, 100000}, {1, 50, 1000}, {2, 101, 1000}},
     0,
     {"team 02000000", "--allow 151"}},
    {"the share of a run, at its bound", {{0, 11, 110}}, 0, {NULL}},
    {"and past it",
     {{0, 12, 119}},
     0,
     {"12 acts on 119 owned", "reconcile.max_share allows 10 percent", "--allow 12"}},
    {"the share is not asked of a few", {{0, 10, 10}, {1, 10, 10}}, 0, {NULL}},
    {"but of one more", {{0, 11, 11}}, 0, {"reconcile.max_share allows"}},
    {"where nothing is owned", {{0, 11, 0}}, 0, {"11 acts on 0 owned"}},
    {"the share of a team, at its bound", {{0, 11, 1000}, {1, 11, 22}}, 0, {NULL}},
    {"and past it",
     {{0, 11, 1000}, {1, 11, 21}},
     0,
     {"team 01000000", "reconcile.max_share_team allows 50 percent"}},
    {"the share of a team is not asked of a few", {{0, 11, 1000}, {1, 10, 10}}, 0, {NULL}},
    {"allowed exactly", {{0, 501, 501}, {1, 501, 501}}, 501, {NULL}},
    {"allowed one too few", {{0, 501, 501}}, 500, {"--allow 501"}},
    {"allowed for less than a team does",
     {{0, 120, 100000}, {1, 101, 1000}},
     101,
     {"reconcile.max_acts_team", "--allow 120"}},
    {"numbers beyond all sense", {{0, INT64_MAX, INT64_MAX}}, 0, {"reconcile.max_acts allows"}},
};

static const struct reconcile_config usual = {
    .max_acts = 500,
    .max_acts_team = 100,
    .max_share = 10,
    .max_share_team = 50,
    .min_acts = 10,
};

static int blasts_of(const struct blast *from, struct store_blast *ret)
{
	int n = 1;
	ret[0] = (struct store_blast){.acts = from[0].acts, .owned = from[0].owned};
	for (; n < 3 && from[n].team; n++)
		ret[n] = (struct store_blast){
		    .team_id.bytes = {(uint8_t)from[n].team}, .acts = from[n].acts, .owned = from[n].owned};
	return n;
}

static void keeps_the_blast_small(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct store_blast blasts[3];
		char text[512];
		int n = blasts_of(cases[i].blasts, blasts);
		bool may = guard_allows(&usual, blasts, n, cases[i].allow, text);
		if (may != !cases[i].says[0])
			fail_msg("%s: %s", cases[i].name, may ? "allowed" : text);
		for (size_t k = 0; k < N_OF(cases[i].says) && cases[i].says[k]; k++)
			if (!strstr(text, cases[i].says[k]))
				fail_msg("%s: '%s' is not in '%s'", cases[i].name, cases[i].says[k], text);
	}
}

/* Settings at their lower ends stop everything. */
static void zero_is_none(void **state)
{
	(void)state;
	const struct reconcile_config none = {0};
	const struct reconcile_config shares = {.max_acts = 1000, .max_acts_team = 1000};
	const struct store_blast one = {.acts = 1, .owned = 1000};
	char text[512];
	assert_false(guard_allows(&none, &one, 1, 0, text));
	assert_non_null(strstr(text, "reconcile.max_acts "));
	assert_false(guard_allows(&shares, &one, 1, 0, text));
	assert_non_null(strstr(text, "reconcile.max_share "));
	assert_true(guard_allows(&none, &one, 1, 1, text));
	assert_true(guard_allows(&none, NULL, 0, 0, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keeps_the_blast_small),
	    cmocka_unit_test(zero_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
