/* The simulated platform's rules (tests/sim): what is there, how it goes, what a listing shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "tests/sim/listing.h"
#include "tests/sim/volumes.h"

#define START_US 1000000000000 /* any time will do, on both clocks */

/* A world with team "a" (number 0) and team "b" (number 1), and a clock of its own. */
struct fixture {
	struct settings settings;
	struct world world;
	int64_t now_us;
};
enum { TEAM_A, TEAM_B };

static void change(struct fixture *f, const char *json)
{
	struct err err = {0};
	json_t *object AUTO(json_drop) = json_parse(json, strlen(json), &err);
	assert_int_equal(settings_update(&f->settings, object, &err), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	settings_init(&f->settings);
	world_init(&f->world, &f->settings);
	f->now_us = START_US;
	world_tick(&f->world, f->now_us, f->now_us);
	assert_int_equal(world_add_team(&f->world, "a"), TEAM_A);
	assert_int_equal(world_add_team(&f->world, "b"), TEAM_B);
	assert_int_equal(ids_add(&f->world.templates, "t", 1), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	world_done(&f->world);
	free(f);
	return 0;
}

static void again(void **state)
{
	teardown(state);
	setup(state);
}

static void pass_ms(struct fixture *f, int64_t ms)
{
	f->now_us += ms * 1000;
	world_tick(&f->world, f->now_us, f->now_us);
}

static uint32_t add_sandbox_with(struct fixture *f, const char *id, const struct sandbox_spec *more)
{
	struct sandbox_spec spec = more ? *more : (struct sandbox_spec){.cluster = IDS_NONE};
	uint32_t slot;
	spec.id = id;
	spec.created_us = spec.created_us ? spec.created_us : f->now_us;
	assert_int_equal(world_add_sandbox(&f->world, &spec, &slot), WORLD_OK);
	return slot;
}

static uint32_t add_mounted(struct fixture *f, const char *id, uint32_t volume)
{
	struct sandbox_mount mount = {.volume = volume, .point = (char[]){"/data"}};
	return add_sandbox_with(
	    f, id, &(struct sandbox_spec){.cluster = IDS_NONE, .mounts = &mount, .mount_count = 1});
}

static uint32_t add_volume(struct fixture *f, const char *id, enum access_mode access, bool owned)
{
	const struct volume_spec spec = {
	    .id = id, .source = IDS_NONE, .access = access, .created_us = f->now_us, .owned = owned};
	uint32_t slot;
	assert_int_equal(volume_add(&f->world, &spec, &slot), WORLD_OK);
	return slot;
}

static uint32_t add_snapshot(struct fixture *f, const char *id, uint32_t volume)
{
	const struct snapshot_spec spec = {
	    .id = id, .name = "n", .description = "", .team = TEAM_A, .volume = volume};
	uint32_t slot;
	assert_int_equal(snapshot_add(&f->world, &spec, &slot), WORLD_OK);
	return slot;
}

/* "s09 s08 ..." */
static void page_text(const struct fixture *f, const struct listing_page *page, char *text)
{
	*text = '\0';
	for (uint32_t i = 0; i < page->slot_count; i++) {
		if (i > 0)
			strcat(text, " ");
		strcat(text, ids_text(&f->world.sandbox_ids, page->slots[i]));
	}
}

/* ---- sandboxes ---- */

static void delete_is_asynchronous(void **state)
{
	static const struct {
		const char *name, *settings;
		int64_t after_ms;
		enum world_answer want;
		const char *status;
	} cases[] = {
	    {"at once", "{\"finalizer_ms\":500}", 0, WORLD_OK, "terminating"},
	    {"just before the finalizer", "{\"finalizer_ms\":500}", 499, WORLD_OK, "terminating"},
	    {"at the finalizer", "{\"finalizer_ms\":500}", 500, WORLD_NOT_FOUND, NULL},
	    {"long after", "{\"finalizer_ms\":500}", 500000, WORLD_NOT_FOUND, NULL},
	    {"revision A says running", "{\"finalizer_ms\":500,\"terminating\":false}", 100, WORLD_OK,
	     "running"},
	    {"no finalizer", "{\"finalizer_ms\":0}", 0, WORLD_NOT_FOUND, NULL},
	    {"stuck finalizer", "{\"finalizer_ms\":-1}", 999999999, WORLD_OK, "terminating"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		again(state);
		struct fixture *f = *state;
		change(f, cases[i].settings);
		uint32_t slot = add_sandbox_with(f, "s", NULL), found;
		assert_int_equal(world_terminate(&f->world, slot), WORLD_OK);
		pass_ms(f, cases[i].after_ms);
		if (world_lookup(&f->world, "s", TEAM_A, &found) != cases[i].want)
			fail_msg("%s", cases[i].name);
		if (cases[i].status)
			assert_string_equal(world_status(&f->world, world_sandbox(&f->world, slot)),
			                    cases[i].status);
		assert_int_equal(f->world.sandbox_count, cases[i].want == WORLD_OK);
	}
}

static void second_delete_changes_nothing(void **state)
{
	struct fixture *f = *state;
	change(f, "{\"finalizer_ms\":1000}");
	uint32_t slot = add_sandbox_with(f, "s", NULL), found;
	assert_int_equal(world_terminate(&f->world, slot), WORLD_OK);
	pass_ms(f, 900);
	assert_int_equal(world_terminate(&f->world, slot), WORLD_OK);
	assert_int_equal(world_lookup(&f->world, "s", TEAM_A, &found), WORLD_OK);
	assert_int_equal(f->world.terminating_count, 1);
	pass_ms(f, 100);
	assert_int_equal(world_lookup(&f->world, "s", TEAM_A, &found), WORLD_NOT_FOUND);
	assert_int_equal(f->world.terminating_count, 0);
}

static void another_team_is_forbidden(void **state)
{
	struct fixture *f = *state;
	uint32_t found;
	add_sandbox_with(f, "s", NULL);
	assert_int_equal(world_lookup(&f->world, "s", TEAM_B, &found), WORLD_FORBIDDEN);
	assert_int_equal(world_lookup(&f->world, "s", IDS_NONE, &found), WORLD_FORBIDDEN);
	assert_int_equal(world_lookup(&f->world, "never", TEAM_A, &found), WORLD_NOT_FOUND);
}

static void cache_lags_behind_a_claim(void **state)
{
	static const struct {
		bool lagging;
		int64_t after_ms;
		enum world_answer want;
		uint32_t listed;
	} cases[] = {
	    {true, 0, WORLD_NOT_FOUND, 0},
	    {true, 299, WORLD_NOT_FOUND, 0},
	    {true, 300, WORLD_OK, 1},
	    {false, 0, WORLD_OK, 1}, /* seeded: it was always there */
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		again(state);
		struct fixture *f = *state;
		const struct sandbox_spec spec = {.cluster = IDS_NONE, .lagging = cases[i].lagging};
		const struct listing_query query = {.limit = 10};
		struct listing_page page;
		uint32_t found;
		change(f, "{\"cache_lag_ms\":300}");
		add_sandbox_with(f, "s", &spec);
		pass_ms(f, cases[i].after_ms);
		assert_int_equal(world_lookup(&f->world, "s", TEAM_A, &found), cases[i].want);
		listing_sandboxes(&f->world, TEAM_A, &query, &page);
		assert_int_equal(page.slot_count, cases[i].listed);
	}
}

static void an_id_comes_back(void **state)
{
	struct fixture *f = *state;
	change(f, "{\"finalizer_ms\":1000}");
	const struct sandbox_spec spec = {.id = "s", .cluster = IDS_NONE, .created_us = f->now_us};
	uint32_t slot = add_sandbox_with(f, "s", NULL), found;
	assert_int_equal(world_add_sandbox(&f->world, &spec, &found), WORLD_CONFLICT);
	assert_int_equal(world_terminate(&f->world, slot), WORLD_OK);
	world_remove_sandbox(&f->world, slot);
	assert_int_equal(world_sandbox(&f->world, slot)->presence, PRESENCE_GONE);
	add_sandbox_with(f, "s", NULL);
	assert_int_equal(f->world.sandbox_count, 1);
	/* The finalizer of its earlier life must not take it, not even when it is on its way again. */
	pass_ms(f, 500);
	assert_int_equal(world_terminate(&f->world, slot), WORLD_OK);
	pass_ms(f, 999);
	assert_int_equal(world_lookup(&f->world, "s", TEAM_A, &found), WORLD_OK);
	assert_int_equal(found, slot);
	pass_ms(f, 1);
	assert_int_equal(world_lookup(&f->world, "s", TEAM_A, &found), WORLD_NOT_FOUND);
}

static void an_id_that_came_back_leaves_the_listing(void **state)
{
	struct fixture *f = *state;
	const struct listing_query query = {.limit = 5}, filtered = {.limit = 5, .template = "t"};
	struct listing_page page;
	char text[64];
	add_sandbox_with(f, "r", NULL);
	for (int life = 0; life < 3; life++) /* all at one moment */
		world_remove_sandbox(&f->world, add_sandbox_with(f, "s", NULL));
	add_sandbox_with(f, "t", NULL);
	listing_sandboxes(&f->world, TEAM_A, &query, &page);
	page_text(f, &page, text);
	assert_string_equal(text, "t r");
	listing_sandboxes(&f->world, TEAM_A, &filtered, &page);
	page_text(f, &page, text);
	assert_string_equal(text, "t r");
}

/* ---- volumes ---- */

static void volume_delete_conflicts_while_mounted(void **state)
{
	enum { NO_SANDBOX = -2, LIVE = -1 }; /* or: so long ago it was gone */
	static const struct {
		const char *name, *id;
		int64_t gone_ms;
		uint32_t team;
		bool owned, force;
		enum world_answer want;
		bool there; /* afterwards */
	} cases[] = {
	    {"free", "v", NO_SANDBOX, TEAM_A, false, false, WORLD_OK, false},
	    {"missing", "w", NO_SANDBOX, TEAM_A, false, false, WORLD_OK, true},
	    {"another team's", "v", NO_SANDBOX, TEAM_B, false, false, WORLD_NOT_FOUND, true},
	    {"another team's by force", "v", NO_SANDBOX, TEAM_B, false, true, WORLD_NOT_FOUND, true},
	    {"owned", "v", NO_SANDBOX, TEAM_A, true, false, WORLD_NOT_FOUND, true},
	    {"mounted", "v", LIVE, TEAM_A, false, false, WORLD_CONFLICT, true},
	    {"mounted, another team's", "v", LIVE, TEAM_B, false, false, WORLD_NOT_FOUND, true},
	    {"by force", "v", LIVE, TEAM_A, false, true, WORLD_OK, false},
	    {"just gone", "v", 0, TEAM_A, false, false, WORLD_CONFLICT, true},
	    {"last heartbeat", "v", 14999, TEAM_A, false, false, WORLD_CONFLICT, true},
	    {"after the linger", "v", 15000, TEAM_A, false, false, WORLD_OK, false},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		again(state);
		struct fixture *f = *state;
		uint32_t volume = add_volume(f, "v", ACCESS_RWO, cases[i].owned);
		change(f, "{\"finalizer_ms\":0}");
		if (cases[i].gone_ms != NO_SANDBOX) {
			uint32_t sandbox = add_mounted(f, "s", volume);
			if (cases[i].gone_ms >= 0)
				assert_int_equal(world_terminate(&f->world, sandbox), WORLD_OK);
			pass_ms(f, cases[i].gone_ms > 0 ? cases[i].gone_ms : 0);
		}
		if (volume_delete(&f->world, cases[i].id, cases[i].team, cases[i].force) != cases[i].want)
			fail_msg("%s", cases[i].name);
		assert_int_equal(volume_is_there(&f->world, volume), cases[i].there);
	}
}

static void mounts_stay_active_until_the_finalizer(void **state)
{
	struct fixture *f = *state;
	change(f, "{\"finalizer_ms\":60000}");
	uint32_t volume = add_volume(f, "v", ACCESS_RWO, false);
	assert_int_equal(world_terminate(&f->world, add_mounted(f, "s", volume)), WORLD_OK);
	pass_ms(f, 59999); /* far beyond the linger, but the sandbox is not gone */
	assert_int_equal(volume_active_mounts(&f->world, volume), 1);
	pass_ms(f, 15000);
	assert_int_equal(volume_active_mounts(&f->world, volume), 1);
	pass_ms(f, 1);
	assert_int_equal(volume_active_mounts(&f->world, volume), 0);
}

static void linger_is_a_setting(void **state)
{
	struct fixture *f = *state;
	change(f, "{\"finalizer_ms\":0,\"mount_linger_ms\":0}");
	uint32_t volume = add_volume(f, "v", ACCESS_RWO, false);
	world_remove_sandbox(&f->world, add_mounted(f, "s", volume));
	assert_int_equal(volume_active_mounts(&f->world, volume), 0);
}

static void snapshots_go_with_their_volume(void **state)
{
	struct fixture *f = *state;
	uint32_t v = add_volume(f, "v", ACCESS_RWO, false), w = add_volume(f, "w", ACCESS_RWO, false);
	add_snapshot(f, "p1", v);
	add_snapshot(f, "p2", v);
	uint32_t stays = add_snapshot(f, "p3", w), found;
	assert_int_equal(snapshot_delete(&f->world, "w", "p1", TEAM_A), WORLD_NOT_FOUND);
	assert_int_equal(snapshot_delete(&f->world, "v", "p1", TEAM_B), WORLD_NOT_FOUND);
	assert_int_equal(snapshot_delete(&f->world, "v", "p1", TEAM_A), WORLD_OK);
	assert_int_equal(snapshot_delete(&f->world, "v", "p1", TEAM_A), WORLD_NOT_FOUND);
	assert_int_equal(f->world.snapshot_count, 2);
	assert_int_equal(volume_delete(&f->world, "v", TEAM_A, false), WORLD_OK);
	assert_int_equal(snapshot_lookup(&f->world, "p2", TEAM_A, &found), WORLD_NOT_FOUND);
	assert_true(snapshot_is_there(&f->world, stays));
	assert_int_equal(f->world.snapshot_count, 1);
}

static void rwo_is_bound_to_one_sandbox(void **state)
{
	static const struct {
		const char *name;
		enum access_mode access;
		bool mounted, gone;
		int64_t after_ms;
		enum world_answer want;
	} cases[] = {
	    {"free", ACCESS_RWO, false, false, 0, WORLD_OK},
	    {"bound", ACCESS_RWO, true, false, 0, WORLD_CONFLICT},
	    {"still bound by a heartbeat", ACCESS_RWO, true, true, 1000, WORLD_CONFLICT},
	    {"free again", ACCESS_RWO, true, true, 15000, WORLD_OK},
	    {"read by many", ACCESS_ROX, true, false, 0, WORLD_OK},
	    {"written by many", ACCESS_RWX, true, false, 0, WORLD_OK},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		again(state);
		struct fixture *f = *state;
		uint32_t volume = add_volume(f, "v", cases[i].access, false), found;
		if (cases[i].mounted) {
			uint32_t sandbox = add_mounted(f, "s", volume);
			if (cases[i].gone)
				world_remove_sandbox(&f->world, sandbox);
		}
		pass_ms(f, cases[i].after_ms);
		if (volume_may_mount(&f->world, "v", TEAM_A, &found) != cases[i].want)
			fail_msg("%s", cases[i].name);
		assert_int_equal(volume_may_mount(&f->world, "v", TEAM_B, &found), WORLD_NOT_FOUND);
	}
}

/* ---- listing ---- */

/* s00 (the oldest) to s09, two in three of cluster "x", the others of "y". */
static void add_ten(struct fixture *f)
{
	uint32_t x = ids_add(&f->world.clusters, "x", 1), y = ids_add(&f->world.clusters, "y", 1);
	for (int i = 0; i < 10; i++) {
		char id[] = {'s', '0', (char)('0' + i), '\0'};
		add_sandbox_with(f, id, &(struct sandbox_spec){.cluster = i % 3 == 2 ? y : x});
		pass_ms(f, 1);
	}
}

static void listing_pages_and_lies(void **state)
{
	static const struct {
		const char *name, *settings;
		int64_t limit, offset;
		const char *want;
		int64_t count;
		bool has_more;
	} cases[] = {
	    {"first page", "{}", 4, 0, "s09 s08 s07 s06", 10, true},
	    {"second page", "{}", 4, 4, "s05 s04 s03 s02", 10, true},
	    {"last page", "{}", 4, 8, "s01 s00", 10, false},
	    {"exactly at the end", "{}", 5, 5, "s04 s03 s02 s01 s00", 10, false},
	    {"past the end", "{}", 5, 10, "", 10, false},
	    {"far past the end", "{}", 5, 1000000, "", 10, false},
	    {"has_more at the end", "{\"list_has_more_at_end\":true}", 5, 5, "s04 s03 s02 s01 s00", 10,
	     true},
	    {"but not of a short page", "{\"list_has_more_at_end\":true}", 6, 6, "s03 s02 s01 s00", 10,
	     false},
	    {"nor of an empty one", "{\"list_has_more_at_end\":true}", 5, 10, "", 10, false},
	    {"half a page", "{\"list_half_page\":true}", 4, 0, "s09 s08", 10, true},
	    {"empty", "{\"list_empty\":true}", 4, 0, "", 0, false},
	    {"count too high", "{\"list_count_delta\":5}", 2, 0, "s09 s08", 15, true},
	    {"count too low", "{\"list_count_delta\":-99}", 2, 0, "s09 s08", 0, true},
	    {"a cluster dropped", "{\"list_drop_cluster\":\"y\"}", 3, 0, "s09 s07 s06", 7, true},
	    {"another one", "{\"list_drop_cluster\":\"x\"}", 9, 0, "s08 s05 s02", 3, false},
	    {"an unknown one", "{\"list_drop_cluster\":\"z\"}", 2, 0, "s09 s08", 10, true},
	    {"capped per cluster", "{\"list_cluster_cap\":2}", 9, 0, "s09 s08 s07 s05", 4, false},
	    {"capped, second page", "{\"list_cluster_cap\":2}", 3, 3, "s05", 4, false},
	    {"rows went meanwhile", "{\"list_shift\":1}", 4, 4, "s04 s03 s02 s01", 10, true},
	    {"and went again", "{\"list_shift\":1}", 4, 8, "", 10, false},
	    {"rows came meanwhile", "{\"list_shift\":-1}", 4, 4, "s06 s05 s04 s03", 10, true},
	    {"the first page stands", "{\"list_shift\":3}", 4, 0, "s09 s08 s07 s06", 10, true},
	    {"all skipped", "{\"list_skip_percent\":100}", 4, 0, "", 10, true},
	    {"none skipped", "{\"list_skip_percent\":0}", 2, 0, "s09 s08", 10, true},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		again(state);
		struct fixture *f = *state;
		const struct listing_query query = {.limit = cases[i].limit, .offset = cases[i].offset};
		struct listing_page page;
		char text[64];
		add_ten(f);
		change(f, cases[i].settings);
		listing_sandboxes(&f->world, TEAM_A, &query, &page);
		page_text(f, &page, text);
		if (strcmp(text, cases[i].want) != 0 || page.count != cases[i].count ||
		    page.has_more != cases[i].has_more)
			fail_msg("%s: \"%s\" count %d has_more %d", cases[i].name, text, (int)page.count,
			         page.has_more);
		listing_sandboxes(&f->world, TEAM_B, &query, &page);
		assert_int_equal(page.slot_count, 0);
	}
}

static void listing_filters(void **state)
{
	static const struct {
		struct listing_query query;
		const char *want;
	} cases[] = {
	    {{.status = "terminating", .limit = 9}, "s04"},
	    {{.status = "failed", .limit = 9}, ""},
	    {{.template = "t", .limit = 2}, "s09 s08"},
	    {{.template = "u", .limit = 2}, ""},
	    {{.paused = LISTING_PAUSED, .limit = 9}, "s07 s01"},
	    {{.paused = LISTING_PAUSED, .limit = 9, .offset = 1}, "s01"},
	    {{.paused = LISTING_NOT_PAUSED, .status = "running", .limit = 3}, "s09 s08 s06"},
	};
	struct fixture *f = *state;
	struct listing_page page;
	char text[64];
	add_ten(f);
	assert_int_equal(world_terminate(&f->world, 4), WORLD_OK);
	world_sandbox(&f->world, 1)->paused = world_sandbox(&f->world, 7)->paused = true;
	for (size_t i = 0; i < N_OF(cases); i++) {
		listing_sandboxes(&f->world, TEAM_A, &cases[i].query, &page);
		page_text(f, &page, text);
		assert_string_equal(text, cases[i].want);
	}
}

static void listing_skips_when_rows_go_between_pages(void **state)
{
	struct fixture *f = *state;
	struct listing_query query = {.limit = 5};
	struct listing_page page;
	char text[64];
	add_ten(f);
	listing_sandboxes(&f->world, TEAM_A, &query, &page);
	world_remove_sandbox(&f->world, 9);
	query.offset = 5;
	listing_sandboxes(&f->world, TEAM_A, &query, &page);
	page_text(f, &page, text);
	assert_string_equal(text, "s03 s02 s01 s00"); /* s04 was never shown */
}

static void older_ones_that_come_later_are_in_order(void **state)
{
	struct fixture *f = *state;
	const struct listing_query query = {.limit = 10};
	struct listing_page page;
	char text[64];
	for (int i = 0; i < 5; i++) {
		char id[] = {'s', '0', (char)('0' + i), '\0'};
		const struct sandbox_spec spec = {.cluster = IDS_NONE,
		                                  .created_us = f->now_us - (i * 7 % 5) * 1000000};
		add_sandbox_with(f, id, &spec);
	}
	world_remove_sandbox(&f->world, 2);
	listing_sandboxes(&f->world, TEAM_A, &query, &page);
	page_text(f, &page, text);
	assert_string_equal(text, "s00 s03 s01 s04");
}

static void count_row(void *arg, uint32_t slot)
{
	(void)slot;
	++*(uint32_t *)arg;
}

static void volume_listing_hides_owned_ones(void **state)
{
	static const struct {
		const char *settings;
		uint32_t want;
	} cases[] = {{"{}", 2},
	             {"{\"volume_list_empty\":true}", 0},
	             {"{\"volume_list_skip_percent\":100,\"volume_list_empty\":false}", 0}};
	struct fixture *f = *state;
	add_volume(f, "v", ACCESS_RWO, false);
	add_volume(f, "w", ACCESS_RWO, false);
	add_volume(f, "o", ACCESS_RWO, true);
	for (size_t i = 0; i < N_OF(cases); i++) {
		uint32_t rows = 0;
		change(f, cases[i].settings);
		assert_int_equal(listing_volumes(&f->world, TEAM_A, count_row, &rows), cases[i].want);
		assert_int_equal(rows, cases[i].want);
	}
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	    WITH_WORLD(delete_is_asynchronous),
	    WITH_WORLD(second_delete_changes_nothing),
	    WITH_WORLD(another_team_is_forbidden),
	    WITH_WORLD(cache_lags_behind_a_claim),
	    WITH_WORLD(an_id_comes_back),
	    WITH_WORLD(an_id_that_came_back_leaves_the_listing),
	    WITH_WORLD(volume_delete_conflicts_while_mounted),
	    WITH_WORLD(mounts_stay_active_until_the_finalizer),
	    WITH_WORLD(linger_is_a_setting),
	    WITH_WORLD(snapshots_go_with_their_volume),
	    WITH_WORLD(rwo_is_bound_to_one_sandbox),
	    WITH_WORLD(listing_pages_and_lies),
	    WITH_WORLD(listing_filters),
	    WITH_WORLD(listing_skips_when_rows_go_between_pages),
	    WITH_WORLD(older_ones_that_come_later_are_in_order),
	    WITH_WORLD(volume_listing_hides_owned_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
