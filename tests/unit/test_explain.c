/* The words for what is known of a thing. */
#include "reconcile/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sql/ledger.h"

static const int64_t at_us = INT64_C(1767323045000000); /* 2026-01-02T03:04:05Z */

static struct store_owned an_owned(const char *state)
{
	struct store_owned owned = {
	    .id = 12,
	    .kind = "sandbox",
	    .resource_id = "sb-1",
	    .state = state,
	    .slug = "shop",
	    .enabled = true,
	    .active = true,
	    .revision_number = 3,
	    .created_at_us = at_us,
	    .released_at_us = at_us,
	    .doomed_at_us = at_us,
	    .ended_at_us = at_us,
	    .due_at_us = at_us,
	    .release_reason = "replaced",
	    .doom_reason = "event:runtime",
	};
	memset(&owned.team_id, 1, sizeof(owned.team_id));
	memset(&owned.function_id, 2, sizeof(owned.function_id));
	return owned;
}

static void assert_says(struct buf *words, const char *name, const char *want)
{
	if (words->failed || !words->data || !strstr(words->data, want))
		fail_msg("%s: no \"%s\" in: %s", name, want, words->data ? words->data : "");
	if (strchr(words->data, '\n') || strstr(words->data, "(null)") || strstr(words->data, "  "))
		fail_msg("%s: %s", name, words->data);
}

static void says(const struct store_owned *owned, const char *name, const char *want)
{
	struct buf words;
	buf_init(&words, 4096);
	explain_owned(owned, &words);
	assert_says(&words, name, want);
	buf_done(&words);
}

static const struct state_case {
	const char *state, *in_use_because, *want;
} state_cases[] = {
    {"in_use", "mapped", "It is in use: a revision maps it. Nothing deletes it"},
    {"in_use", "referenced",
     "It is in use: a revision of a function that is not deleted mounts it."},
    {"in_use", NULL, "as in use, but nothing names it"},
    {"released", NULL,
     "It was released at 2026-01-02T03:04:05Z: another sandbox took its place. It will be deleted"},
    {"released", "mapped", "the check before the delete would refuse it: a revision maps it."},
    {"doomed", NULL,
     "It was doomed at 2026-01-02T03:04:05Z: an event named it. It will be deleted"},
    {"doomed", "source_sandbox", "which is the user's own."},
    {"deleting", NULL, "It is being deleted by worker (unknown), whose lease ends at"},
    {"gone", NULL, "It was deleted, and proved absent at 2026-01-02T03:04:05Z"},
    {"dead", NULL, "`sandsweep targets redrive 12` tries again."},
    {"refused", NULL,
     "It was not deleted: refused at 2026-01-02T03:04:05Z, because somebody said so"},
};

static void test_every_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(state_cases); i++) {
		const struct state_case *c = &state_cases[i];
		struct store_owned owned = an_owned(c->state);
		owned.in_use_because = c->in_use_because;
		says(&owned, c->state, c->want);
	}
	/* None was forgotten: each says more than whose it is. */
	for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
		struct store_owned owned = an_owned(ledger_state_name((enum ledger_state)s));
		says(&owned, owned.state, "01010101-0101-0101-0101-010101010101. ");
	}
}

static void test_identity(void **state)
{
	(void)state;
	struct store_owned owned = an_owned("doomed");
	says(&owned, "a runtime",
	     "sandbox sb-1 is ours, number 12 in the ledger: a runtime of revision 3 (the one that "
	     "serves) of function \"shop\" (02020202-0202-0202-0202-020202020202, enabled), team "
	     "01010101");
	owned.kind = "snapshot";
	owned.parent_id = "vol-1";
	owned.active = owned.enabled = false;
	says(&owned, "a snapshot",
	     "made by the publish of revision 3 (not the one that serves) of function \"shop\" (");
	says(&owned, "its volume", ", of the volume vol-1.");
	says(&owned, "disabled", ", disabled)");
	owned.function_deleted_at_us = at_us;
	says(&owned, "deleted", ", deleted at 2026-01-02T03:04:05Z)");
	owned.state = "in_use";
	owned.in_use_because = "mapped";
	says(&owned, "mapped, though deleted",
	     "a reconciliation takes the mapping from it (unreleased)");
	owned.slug = NULL;
	owned.revision_number = 0;
	says(&owned, "without a function",
	     "a revision that is not there, of a function that is no longer there (02020202-");
}

static void test_details(void **state)
{
	(void)state;
	struct store_owned owned = an_owned("dead");
	owned.attempts = 12;
	owned.error_class = "http_500";
	owned.last_status = 500;
	owned.last_error = "boom";
	says(&owned, "attempts",
	     "Failed attempts so far: 12; the last trouble was http_500, HTTP 500 (boom).");
	owned = an_owned("refused");
	owned.error_class = "mapped";
	owned.last_error = "revision 7 maps it";
	says(&owned, "refusal", "because a revision maps it (revision 7 maps it).");
	owned = an_owned("doomed");
	memset(&owned.event_id, 4, sizeof(owned.event_id));
	says(&owned, "event", "(event 04040404-0404-0404-0404-040404040404)");
	owned.release_reason = owned.doom_reason = NULL;
	says(&owned, "no reason", "for a reason that was not written down");
	owned.doom_reason = "a word of tomorrow";
	says(&owned, "unknown reason", ": a word of tomorrow (event");
	owned = an_owned("deleting");
	owned.lease_owner = "host/7";
	says(&owned, "owner", "by worker host/7,");
}

/* Every reason that the reconciler gives has words: none is printed as it is. */
static void test_reasons_have_words(void **state)
{
	(void)state;
	static const char *const classes[] = {"missed_event",   "unreleased",    "stale_mapping",
	                                      "ghost",          "resurrected",   "stuck_lease",
	                                      "orphan_sandbox", "orphan_volume", "orphan_snapshot"};
	for (size_t i = 0; i < N_OF(classes); i++) {
		struct store_owned owned = an_owned("doomed");
		struct buf words;
		char reason[64];
		(void)snprintf(reason, sizeof(reason), "reconcile:%s", classes[i]);
		owned.doom_reason = reason;
		buf_init(&words, 4096);
		explain_owned(&owned, &words);
		assert_says(&words, classes[i], ": a reconciliation ");
		assert_null(strstr(words.data, reason));
		buf_done(&words);
	}
}

static void test_uses(void **state)
{
	(void)state;
	static const struct {
		const char *role, *want;
	} cases[] = {
	    {"mapping", "mapped by revision 3 (the one that serves) of function \"shop\" ("},
	    {"source_sandbox", "the sandbox that was published as revision 3"},
	    {"volume", "mounted by revision 3"},
	    {"source_volume", "the volume that was copied for revision 3"},
	    {"snapshot", "the snapshot between volume and copy of revision 3"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct store_use use = {.role = cases[i].role,
		                        .revision_number = 3,
		                        .slug = "shop",
		                        .active = true,
		                        .since_us = at_us};
		struct buf words;
		buf_init(&words, 4096);
		explain_use(&use, &words);
		assert_says(&words, cases[i].role, cases[i].want);
		assert_says(&words, cases[i].role, " since 2026-01-02T03:04:05Z");
		buf_done(&words);
	}
}

static void test_unowned(void **state)
{
	(void)state;
	static const struct {
		struct explain_unowned known;
		const char *want;
	} cases[] = {
	    {{.text = "x"}, "Nothing here knows x: "},
	    {{.text = "x", .sources = 2}, "x is the user's own: 2 revisions were published from it."},
	    {{.text = "x", .mappings = 1, .sources = 1}, "x is the user's own"},
	    {{.text = "x", .mappings = 1}, "x is mapped, but the ledger has no row"},
	    {{.text = "x", .mounts = 3}, "x is mounted by 3 revisions, but was not made by a publish"},
	    {{.text = "x", .open_attempts = 1, .closed_attempts = 1},
	     "x belongs to a restore that is open."},
	    {{.text = "x", .closed_attempts = 1}, "x belongs to a restore that is over."},
	    {{.text = "x", .findings = 2, .proved = true},
	     "x, live in team 00000000-0000-0000-0000-000000000000, is in no row of the ledger; but a "
	     "reconciliation proved it ours."},
	    {{.text = "x", .findings = 1},
	     "x, live in team 00000000-0000-0000-0000-000000000000, was seen by a reconciliation, and "
	     "nothing proves that it is ours."},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct buf words;
		buf_init(&words, 4096);
		explain_unowned(&cases[i].known, &words);
		assert_says(&words, cases[i].want, cases[i].want);
		buf_done(&words);
	}
}

static void test_functions(void **state)
{
	(void)state;
	static const struct {
		struct store_function function;
		const char *want;
	} cases[] = {
	    {{.slug = "shop", .enabled = true, .active_number = 2, .sandbox_id = "sb", .revisions = 3},
	     "has 3 revisions; revision 2 serves, in sandbox sb."},
	    {{.slug = "shop", .enabled = true, .active_number = 2}, "and no sandbox runs for it."},
	    {{.slug = "shop", .enabled = true}, "none serves, "},
	    {{.slug = "shop"}, "It is disabled: "},
	    {{.slug = "shop", .deleted_at_us = 1}, "It is deleted: "},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct buf words;
		buf_init(&words, 4096);
		explain_function(&cases[i].function, &words);
		assert_says(&words, "a function", cases[i].want);
		buf_done(&words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_state), cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_details),     cmocka_unit_test(test_reasons_have_words),
	    cmocka_unit_test(test_uses),        cmocka_unit_test(test_unowned),
	    cmocka_unit_test(test_functions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
