#include "sql/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "sql/migrate.h"

static const char *const state_names[LEDGER_STATE_COUNT] = {
    [LEDGER_IN_USE] = "in_use",     [LEDGER_RELEASED] = "released", [LEDGER_DOOMED] = "doomed",
    [LEDGER_DELETING] = "deleting", [LEDGER_GONE] = "gone",         [LEDGER_DEAD] = "dead",
    [LEDGER_REFUSED] = "refused",
};
static const char *const event_names[LEDGER_EVENT_COUNT] = {
    [LEDGER_EV_RELEASE] = "release",   [LEDGER_EV_DOOM] = "doom",
    [LEDGER_EV_CLAIM] = "claim",       [LEDGER_EV_BACKOFF] = "backoff",
    [LEDGER_EV_CONFIRM] = "confirm",   [LEDGER_EV_EXHAUST] = "exhaust",
    [LEDGER_EV_REFUSE] = "refuse",     [LEDGER_EV_REDRIVE] = "redrive",
    [LEDGER_EV_REAPPEAR] = "reappear",
};

/* Every state times every event: where it leads; "" is illegal. */
static const char *const next[LEDGER_STATE_COUNT][LEDGER_EVENT_COUNT] = {
    /* release, doom, claim, backoff, confirm, exhaust, refuse, redrive, reappear */
    [LEDGER_IN_USE] = {"released", "", "", "", "", "", "", "", ""},
    [LEDGER_RELEASED] = {"", "doomed", "", "", "", "", "", "", ""},
    [LEDGER_DOOMED] = {"", "", "deleting", "", "", "", "refused", "", ""},
    [LEDGER_DELETING] = {"", "", "deleting", "doomed", "gone", "dead", "refused", "", ""},
    [LEDGER_GONE] = {"", "", "", "", "", "", "", "", "doomed"},
    [LEDGER_DEAD] = {"", "", "", "", "", "", "refused", "doomed", ""},
    [LEDGER_REFUSED] = {"", "", "", "", "", "", "", "doomed", ""},
};

static void test_every_state_and_event(void **state)
{
	(void)state;
	for (int from = 0; from < LEDGER_STATE_COUNT; from++)
		for (int event = 0; event < LEDGER_EVENT_COUNT; event++) {
			const char *want = next[from][event];
			enum ledger_state to = LEDGER_STATE_COUNT;
			bool legal = ledger_next((enum ledger_state)from, (enum ledger_event)event, &to);
			if (legal != (*want != '\0') || strcmp(legal ? state_names[to] : "", want) != 0)
				fail_msg("%s in %s leads to %s, not to \"%s\"", event_names[event],
				         state_names[from], legal ? state_names[to] : "nothing", want);
			if (!legal)
				assert_int_equal(to, LEDGER_STATE_COUNT); /* left alone */
		}
}

static bool some_event_leads(int from, int to)
{
	for (int event = 0; event < LEDGER_EVENT_COUNT; event++)
		if (strcmp(next[from][event], state_names[to]) == 0)
			return true;
	return false;
}

static void test_every_state_and_state(void **state)
{
	(void)state;
	for (int from = 0; from < LEDGER_STATE_COUNT; from++)
		for (int to = 0; to < LEDGER_STATE_COUNT; to++)
			if (ledger_legal((enum ledger_state)from, (enum ledger_state)to) !=
			    some_event_leads(from, to))
				fail_msg("from %s to %s", state_names[from], state_names[to]);
}

static void test_what_is_no_state_or_event(void **state)
{
	(void)state;
	enum ledger_state to;
	assert_false(ledger_next(LEDGER_STATE_COUNT, LEDGER_EV_DOOM, &to));
	assert_false(ledger_next(LEDGER_RELEASED, LEDGER_EVENT_COUNT, &to));
	assert_false(ledger_legal(LEDGER_STATE_COUNT, LEDGER_DOOMED));
	assert_false(ledger_legal(LEDGER_RELEASED, LEDGER_STATE_COUNT));
}

/* The table itself: one edge for a state and an event, each with a reason. */
static void test_edges(void **state)
{
	(void)state;
	size_t want = 0;
	for (int i = 0; i < LEDGER_STATE_COUNT * LEDGER_EVENT_COUNT; i++)
		want += *next[i / LEDGER_EVENT_COUNT][i % LEDGER_EVENT_COUNT] != '\0';
	assert_int_equal(ledger_edge_count, want);
	for (size_t i = 0; i < ledger_edge_count; i++) {
		assert_true(ledger_edges[i].from < LEDGER_STATE_COUNT);
		assert_true(ledger_edges[i].to < LEDGER_STATE_COUNT);
		assert_true(ledger_edges[i].event < LEDGER_EVENT_COUNT);
		assert_true(strlen(ledger_edges[i].why) > 0);
		for (size_t n = 0; n < i; n++)
			assert_false(ledger_edges[i].from == ledger_edges[n].from &&
			             ledger_edges[i].event == ledger_edges[n].event);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < LEDGER_STATE_COUNT; i++) {
		enum ledger_state back = LEDGER_STATE_COUNT;
		assert_string_equal(ledger_state_name((enum ledger_state)i), state_names[i]);
		assert_int_equal(ledger_state_parse(state_names[i], &back), 0);
		assert_int_equal(back, i);
	}
	assert_non_null(ledger_state_name(LEDGER_STATE_COUNT));
	assert_non_null(ledger_state_name((enum ledger_state)INT32_MAX));
}

static void test_names_of_nothing(void **state)
{
	(void)state;
	static const char *const words[] = {"",      "in use", "IN_USE", "Gone",    " gone",
	                                    "gone ", "gon",    "gones",  "unknown", "0"};
	for (size_t i = 0; i < N_OF(words); i++) {
		enum ledger_state to = LEDGER_STATE_COUNT;
		if (ledger_state_parse(words[i], &to) != -1 || to != LEDGER_STATE_COUNT)
			fail_msg("\"%s\" is a state", words[i]);
	}
}

/* The schema's trigger holds the same edges (a claim of what is being deleted changes no state). */
static void test_the_schema_holds_the_same_edges(void **state)
{
	(void)state;
	const char *sql = NULL;
	for (int i = 0; i < sql_migration_count; i++)
		if (strstr(sql_migrations[i].sql, "CREATE TRIGGER ledger_edge "))
			sql = strstr(sql_migrations[i].sql, "CREATE TRIGGER ledger_edge ");
	assert_non_null(sql);
	const char *end = strstr(sql, "EXECUTE FUNCTION");
	assert_non_null(end);
	char trigger[4096];
	assert_in_range(end - sql, 1, sizeof(trigger) - 1);
	(void)snprintf(trigger, sizeof(trigger), "%.*s", (int)(end - sql), sql);
	int pairs = 0, legal = 0;
	for (const char *at = trigger; (at = strstr(at, "('")); at++)
		pairs++;
	for (int from = 0; from < LEDGER_STATE_COUNT; from++)
		for (int to = 0; to < LEDGER_STATE_COUNT; to++) {
			char pair[64];
			(void)snprintf(pair, sizeof(pair), "('%s', '%s')", state_names[from], state_names[to]);
			bool want = from != to && ledger_legal((enum ledger_state)from, (enum ledger_state)to);
			if ((strstr(trigger, pair) != NULL) != want)
				fail_msg("the trigger has %s %s", want ? "no" : "a", pair);
			legal += want;
		}
	assert_int_equal(pairs, legal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_state_and_event),
	    cmocka_unit_test(test_every_state_and_state),
	    cmocka_unit_test(test_what_is_no_state_or_event),
	    cmocka_unit_test(test_edges),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_names_of_nothing),
	    cmocka_unit_test(test_the_schema_holds_the_same_edges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
