#include "reconcile_fixture.h"

#include "reconcile/lister.h"

/* ---- what a listing may suffer: each a hook ---- */

static bool is_page(const struct platform_request *request, int64_t offset)
{
	return request->op == PLATFORM_SANDBOX_LIST && request->offset == offset;
}

static int seen_before; /* how often the page in question was asked for */

/* A sandbox is deleted between the first page and the others: those behind it move up by one. */
static bool row_is_skipped(struct fake *f, const struct platform_request *request, int call,
                           struct reply *reply)
{
	(void)call;
	(void)reply;
	if (is_page(request, 10))
		f->sandboxes[0].gone = true;
	return false;
}

/* A sandbox is made between the first page and the others: one comes twice, and one more is there. */
static bool row_is_repeated(struct fake *f, const struct platform_request *request, int call,
                            struct reply *reply)
{
	(void)call;
	(void)reply;
	if (!is_page(request, 10) || seen_before++ > 0)
		return false;
	memmove(&f->sandboxes[1], &f->sandboxes[0], sizeof(struct thing) * (size_t)f->sandbox_count);
	f->sandbox_count++;
	(void)strcpy(f->sandboxes[0].id, "new");
	return false;
}

/* One goes and one comes: the numbers agree, and the pages do not. */
static bool first_page_moves(struct fake *f, const struct platform_request *request, int call,
                             struct reply *reply)
{
	(void)call;
	(void)reply;
	if (is_page(request, 20))
		(void)strcpy(f->sandboxes[0].id, "another");
	return false;
}

static bool count_disagrees(struct fake *f, const struct platform_request *request, int call,
                            struct reply *reply)
{
	(void)f;
	(void)call;
	if (!is_page(request, 20))
		return false;
	(void)buf_str(reply->body, "{\"success\":true,\"data\":{\"sandboxes\":[],\"count\":3,"
	                           "\"has_more\":false}}");
	return true;
}

/* A cluster is away while one page is made. */
static bool cluster_is_missing(struct fake *f, const struct platform_request *request, int call,
                               struct reply *reply)
{
	(void)call;
	(void)reply;
	for (int i = 0; i < f->sandbox_count; i += 2)
		f->sandboxes[i].gone = is_page(request, 10);
	return false;
}

static bool half_a_page(struct fake *f, const struct platform_request *request, int call,
                        struct reply *reply)
{
	(void)call;
	if (!is_page(request, 10))
		return false;
	struct platform_request half = *request;
	half.limit = 5;
	list_sandboxes(f, &half, reply->body);
	return true;
}

static bool everything_is_hidden(struct fake *f, const struct platform_request *request, int call,
                                 struct reply *reply)
{
	(void)call;
	(void)reply;
	(void)request;
	for (int i = 0; i < f->sandbox_count; i++)
		f->sandboxes[i].gone = true;
	return false;
}

static bool middle_fails(struct fake *f, const struct platform_request *request, int call,
                         struct reply *reply)
{
	(void)f;
	(void)call;
	if (is_page(request, 10))
		fault(reply, PLATFORM_ANSWERED, 500);
	return is_page(request, 10);
}

static bool all_fail(struct fake *f, const struct platform_request *request, int call,
                     struct reply *reply)
{
	(void)f;
	(void)call;
	if (request->op == PLATFORM_SANDBOX_LIST)
		fault(reply, PLATFORM_RESET, 0);
	return request->op == PLATFORM_SANDBOX_LIST;
}

static bool fails_behind_the_first(struct fake *f, const struct platform_request *request, int call,
                                   struct reply *reply)
{
	(void)f;
	(void)call;
	bool fails = request->op == PLATFORM_SANDBOX_LIST && request->offset > 0;
	if (fails)
		fault(reply, PLATFORM_TIMEOUT, 0);
	return fails;
}

static bool fails_twice(struct fake *f, const struct platform_request *request, int call,
                        struct reply *reply)
{
	(void)f;
	(void)call;
	bool fails = is_page(request, 10) && seen_before++ < 2;
	if (fails)
		fault(reply, PLATFORM_RESET, 0);
	return fails;
}

static bool second_look_fails(struct fake *f, const struct platform_request *request, int call,
                              struct reply *reply)
{
	(void)f;
	(void)call;
	bool fails = is_page(request, 0) && seen_before++ > 0;
	if (fails)
		fault(reply, PLATFORM_ANSWERED, 502);
	return fails;
}

/* An envelope, and no listing in it. */
static bool body_is_nonsense(struct fake *f, const struct platform_request *request, int call,
                             struct reply *reply)
{
	(void)f;
	(void)call;
	if (is_page(request, 10))
		(void)buf_str(reply->body, "{\"success\":true,\"data\":{\"sandboxes\":[{}],\"count\":1,"
		                           "\"has_more\":false}}");
	return is_page(request, 10);
}

static bool body_is_nonsense_once(struct fake *f, const struct platform_request *request, int call,
                                  struct reply *reply)
{
	return is_page(request, 10) && seen_before++ == 0 && body_is_nonsense(f, request, call, reply);
}

/* The page that ends exactly at the total says that more follows. */
static bool more_at_the_end(struct fake *f, const struct platform_request *request, int call,
                            struct reply *reply)
{
	struct buf plain;
	(void)call;
	if (request->op != PLATFORM_SANDBOX_LIST)
		return false;
	buf_init(&plain, BODY_MAX_BYTES);
	list_sandboxes(f, request, &plain);
	char *at = strstr(plain.data, "\"has_more\":");
	assert_non_null(at);
	*at = '\0';
	(void)buf_printf(reply->body, "%s\"has_more\":true}}", plain.data);
	buf_done(&plain);
	return true;
}

static bool volume_comes(struct fake *f, const struct platform_request *request, int call,
                         struct reply *reply)
{
	(void)call;
	(void)reply;
	if (request->op == PLATFORM_VOLUME_LIST && seen_before++ == 1)
		add_things(f->volumes, &f->volume_count, "vol", 1);
	return false;
}

/* ---- the table ---- */

static const struct {
	const char *name;
	hook_fn *hook;
	int sandboxes, volumes;
	const char *cluster;
	bool some_sandboxes, some_volumes;
	const char *want_sandboxes, *want_volumes; /* the reason; "complete" */
	int want_rows, want_lists;                 /* -1: any */
} cases[] = {
    {"nothing", NULL, 0, 0, "", false, false, "complete", "complete", 0, 4},
    {"one page", NULL, 9, 3, "a", true, true, "complete", "complete", 12, 4},
    {"a full page", NULL, 10, 0, "", true, false, "complete", "complete", 10, 4},
    {"some pages", NULL, 35, 350, "", true, true, "complete", "complete", 385, 7},
    {"more at the end", more_at_the_end, 20, 0, "", true, false, "complete", "complete", 20, 6},
    {"a row is skipped", row_is_skipped, 35, 0, "", true, false, "count", "complete", -1, -1},
    {"a row is repeated", row_is_repeated, 35, 0, "", true, false, "count", "complete", -1, -1},
    {"the first page moves", first_page_moves, 35, 0, "", true, false, "moved", "complete", 35, 7},
    {"the count disagrees", count_disagrees, 35, 0, "", true, false, "count", "complete", -1, -1},
    {"a cluster is missing", cluster_is_missing, 35, 0, "", true, false, "count", "complete", -1,
     -1},
    {"half a page", half_a_page, 35, 0, "", true, false, "short", "complete", 30, 6},
    {"hidden: nothing where something is", everything_is_hidden, 35, 0, "", true, false, "empty",
     "complete", 0, 4},
    {"hidden: no volumes where some are", NULL, 5, 0, "", true, true, "complete", "empty", 5, 4},
    {"the cap of a cluster", NULL, 200, 0, "a", true, false, "capped", "complete", 200, 23},
    {"the cap of all", NULL, 200, 0, "", true, false, "capped", "complete", 200, 23},
    {"past the cap", NULL, 201, 0, "a", true, false, "complete", "complete", 201, 24},
    {"the middle fails, and the rest is read", middle_fails, 35, 0, "", true, false, "error",
     "complete", 25, 8},
    {"it fails twice, and not again", fails_twice, 35, 0, "", true, false, "complete", "complete",
     35, 9},
    {"all fails", all_fail, 35, 4, "", true, true, "error", "complete", 4, 5},
    {"behind the first page all fails", fails_behind_the_first, 400, 0, "", true, false, "error",
     "complete", 10, -1},
    {"the second look fails", second_look_fails, 35, 0, "", true, false, "error", "complete", 35,
     9},
    {"a page is nonsense", body_is_nonsense, 35, 0, "", true, false, "error", "complete", 25, 8},
    {"a page is nonsense once", body_is_nonsense_once, 35, 0, "", true, false, "complete",
     "complete", 35, 8},
    {"a volume comes between the looks", volume_comes, 0, 3, "", false, true, "complete", "moved",
     3, 4},
};

static int run_lister(struct fake *f, const struct reconcile_config *config,
                      struct lister_result *ret, struct err *err)
{
	static const bool never = false;
	const struct backoff backoff = {config->backoff_base_ms, config->backoff_cap_ms};
	struct pacer pacer;
	struct store_run *run = calloc(1, sizeof(*run));
	assert_non_null(run);
	seen_before = 0;
	pacer_init(&pacer, f->loop, config->pages_in_flight, config->calls_per_second, &backoff,
	           config->call_attempts);
	int rc = lister_run(f->loop, f->platform, run, config, &pacer, &never, NULL, ret, err);
	assert_int_equal(pacer.in_flight, 0);
	free(run);
	return rc;
}

static const struct store_listing *listing_of(const struct fake *f, int team, const char *kind)
{
	for (int i = 0; i < f->listing_count; i++)
		if (f->listings[i].team_id.bytes[0] == team && strcmp(f->listings[i].kind, kind) == 0)
			return &f->listings[i];
	fail_msg("no listing of %s of team %d", kind, team);
	return NULL;
}

static void expect_reason(const char *name, const struct store_listing *listing, const char *want)
{
	const char *got = listing->reason ? listing->reason : "complete";
	if (strcmp(got, want) != 0 || listing->complete != (strcmp(want, "complete") == 0))
		fail_msg("%s: %s is %s, not %s", name, listing->kind, got, want);
}

static void judges_every_pathology(void **state)
{
	const struct reconcile_config config = usual_config();
	for (size_t i = 0; i < N_OF(cases); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct lister_result result;
		struct err err = {0};
		f->team_count = 1;
		f->hook = cases[i].hook;
		f->some_sandboxes = cases[i].some_sandboxes;
		f->some_volumes = cases[i].some_volumes;
		add_things(f->sandboxes, &f->sandbox_count, "sb", cases[i].sandboxes);
		add_things(f->volumes, &f->volume_count, "vol", cases[i].volumes);
		for (int k = 0; k < f->sandbox_count; k++)
			(void)strcpy(f->sandboxes[k].cluster, cases[i].cluster);
		if (run_lister(f, &config, &result, &err) < 0)
			fail_msg("%s: %s", cases[i].name, err.text);
		assert_int_equal(f->listing_count, 2);
		expect_reason(cases[i].name, listing_of(f, 1, "sandbox"), cases[i].want_sandboxes);
		expect_reason(cases[i].name, listing_of(f, 1, "volume"), cases[i].want_volumes);
		if (cases[i].want_rows >= 0 && f->row_count != cases[i].want_rows)
			fail_msg("%s: %d rows", cases[i].name, f->row_count);
		if (cases[i].want_lists >= 0 && f->lists != cases[i].want_lists)
			fail_msg("%s: %d calls", cases[i].name, f->lists);
		assert_int_equal(result.rows, f->row_count);
		if (cases[i].hook == row_is_repeated)
			assert_true(f->again_rows > 0);
		else if (strcmp(cases[i].want_sandboxes, "complete") == 0)
			assert_int_equal(f->again_rows, 0);
		assert_int_equal(f->gets, 0);
		assert_int_equal(fake_teardown(state), 0);
	}
}

static void hands_on_whose_volumes_are(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	struct lister_result result;
	struct err err = {0};
	f->team_count = 1;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 2);
	add_things(f->volumes, &f->volume_count, "vol", 5);
	f->volumes[1].user = f->volumes[3].user = "u-1";
	assert_int_equal(run_lister(f, &config, &result, &err), 0);
	assert_int_equal(f->row_count, 7);
	assert_int_equal(f->user_rows, 2);
}

/* A session that is full is asked for nothing before what is on its way has come; the fixture checks that
 * nothing is, when it is waited for. */
static void waits_for_a_full_session(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	struct lister_result result;
	struct err err = {0};
	f->team_count = 4;
	f->full_rows = 30;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 95);
	assert_int_equal(run_lister(f, &config, &result, &err), 0);
	assert_int_equal(f->row_count, 4 * 95);
	assert_in_range(f->waits, 4, 4 * 95 / 30);
	for (int i = 0; i < f->listing_count; i++)
		assert_true(f->listings[i].complete);
	assert_string_equal(f->trace, "teams copy copy_wait copy_end listings teams ");
}

/* Which things of which team come is not mixed up by many listings at a time. */
static void lists_teams_side_by_side(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	struct lister_result result;
	struct err err = {0};
	f->team_count = TEAMS_MAX;
	f->some_sandboxes = true;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 42);
	assert_int_equal(run_lister(f, &config, &result, &err), 0);
	assert_int_equal(f->listing_count, TEAMS_MAX * 2);
	for (int team = 1; team <= TEAMS_MAX; team++) {
		const struct store_listing *listing = listing_of(f, team, "sandbox");
		expect_reason("side by side", listing, "complete");
		assert_int_equal(listing->rows, 42);
		assert_int_equal(listing->pages, 5);
	}
	assert_int_equal(f->row_count, TEAMS_MAX * 42);
	assert_int_equal(f->in_flight_most, 4);
	assert_int_equal(result.teams, TEAMS_MAX);
	assert_int_equal(result.listings, TEAMS_MAX * 2);
	assert_int_equal(result.pages, TEAMS_MAX * (6 + 2));
	assert_int_equal(result.retries, 0);
	assert_string_equal(f->trace, "teams copy copy_end listings teams ");
}

enum { PAUSE_MS = 30 };
static int64_t told_at_us;
static int told_after; /* so many calls had been sent */

static bool too_much_once(struct fake *f, const struct platform_request *request, int call,
                          struct reply *reply)
{
	(void)request;
	if (call != 2)
		return false;
	fault(reply, PLATFORM_ANSWERED, 429);
	reply->answer.retry_after_ms = PAUSE_MS;
	told_at_us = loop_now_us(f->loop);
	told_after = f->calls;
	return true;
}

static void keeps_to_retry_after(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	struct lister_result result;
	struct err err = {0};
	f->team_count = 4;
	f->hook = too_much_once;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 35);
	assert_int_equal(run_lister(f, &config, &result, &err), 0);
	assert_int_equal(result.retries, 1);
	for (int i = 0; i < f->listing_count; i++)
		assert_true(f->listings[i].complete);
	/* Whatever was asked after the answer was asked after the pause. */
	for (int i = told_after + 1; i <= f->calls; i++)
		assert_true(f->asked_at_us[i] >= told_at_us + PAUSE_MS * 1000);
	assert_true(f->calls > told_after + 4);
}

/* The session's loss ends the listing, with every call dropped. */
static void ends_with_the_session(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	static const char *const places[] = {"teams",     "copy",     "copy_row",
	                                     "copy_wait", "copy_end", "listings"};
	f->team_count = 4;
	f->full_rows = 30;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 35);
	for (size_t i = 0; i < N_OF(places); i++) {
		struct lister_result result;
		struct err err = {0};
		f->fails = places[i];
		f->copying = false;
		f->listing_count = f->held_rows = 0;
		assert_int_equal(run_lister(f, &config, &result, &err), -1);
		assert_string_equal(err.code, "08006");
		assert_int_equal(f->in_flight, 0);
	}
}

static bool stop_now;

static bool stop_in_the_middle(struct fake *f, const struct platform_request *request, int call,
                               struct reply *reply)
{
	(void)f;
	(void)request;
	(void)reply;
	stop_now = call == 3;
	return false;
}

static void stops_when_told(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	const struct backoff backoff = {1, 1};
	struct lister_result result;
	struct store_run run = {0};
	struct pacer pacer;
	struct err err = {0};
	f->team_count = 4;
	f->hook = stop_in_the_middle;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 35);
	pacer_init(&pacer, f->loop, 4, 0, &backoff, 3);
	assert_int_equal(
	    lister_run(f->loop, f->platform, &run, &config, &pacer, &stop_now, NULL, &result, &err),
	    -1);
	assert_string_equal(err.code, "stopped");
	assert_int_equal(f->in_flight, 0);
	assert_int_equal(pacer.in_flight, 0);
	assert_int_equal(f->listing_count, 0);
}

/* A platform that fails page after page is not asked for all of them. */
static void gives_up_a_listing(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	struct lister_result result;
	struct err err = {0};
	int failed = 3, in_flight = 4, others = 1 + 2; /* the first page, and the volumes twice */
	f->team_count = 1;
	f->hook = fails_behind_the_first;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 400);
	assert_int_equal(run_lister(f, &config, &result, &err), 0);
	expect_reason("given up", listing_of(f, 1, "sandbox"), "error");
	assert_in_range(f->lists, others + failed * 3, others + (failed + in_flight - 1) * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(judges_every_pathology),
	    cmocka_unit_test_setup_teardown(hands_on_whose_volumes_are, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(waits_for_a_full_session, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(lists_teams_side_by_side, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(gives_up_a_listing, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(keeps_to_retry_after, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(ends_with_the_session, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(stops_when_told, fake_setup, fake_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
