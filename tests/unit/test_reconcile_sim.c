/* Listing and proving through the real client, over HTTP, against the simulated platform with each of its
 * ways to mislead. Whatever a listing says, no GET makes something absent that is there. */
#include "reconcile_store_fixture.h"

#include "reconcile/lister.h"
#include "reconcile/prover.h"
#include "tests/sim/control_api.h"
#include "tests/sim/exchange.h"

#define TEAM "01000000-0000-0000-0000-000000000000"
#define FOREIGN "09000000-0000-0000-0000-000000000000"

struct fixture {
	struct sim sim;
	struct metrics *metrics;
	struct platform *platform;
	char url[64];
};

static json_t *json_of(const char *text)
{
	struct err err = {0};
	json_t *json = json_parse(text, strlen(text), &err);
	if (!json)
		fail_msg("%s: %s", text, err.text);
	return json;
}

static size_t small_body(void *arg, const char *method, const char *path)
{
	(void)arg, (void)method, (void)path;
	return 4096;
}

static void open_platform(struct fixture *f)
{
	struct err err = {0};
	const struct http_opts opts = {
	    .listen = "127.0.0.1:0",
	    .limits = {.header_max_bytes = 4096,
	               .conns_max = 64,
	               .idle_ms = 600000,
	               .request_ms = 600000},
	    .body_max = small_body,
	    .on_request = exchange_on_request,
	    .on_refused = exchange_on_refused,
	    .arg = &f->sim,
	};
	fake_open();
	sim_init(&f->sim, fake->loop, "s0_test_token");
	f->sim.public_server = http_server_new(fake->loop, &opts, &err);
	if (!f->sim.public_server)
		fail_msg("%s", err.text);
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d",
	               http_server_port(f->sim.public_server));
	const struct platform_config config = {
	    .url = f->url,
	    .token = "s0_test_token",
	    .ca_file = "",
	    .connect_timeout_ms = 30000,
	    .timeout_ms = 30000,
	    .connections_max = 8,
	    .body_max_bytes = BODY_MAX_BYTES,
	};
	f->metrics = metrics_new(NULL);
	assert_non_null(f->metrics);
	f->platform = platform_new(fake->loop, &config, f->metrics, &err);
	if (!f->platform)
		fail_msg("%s", err.text);
}

static void close_platform(struct fixture *f)
{
	assert_int_equal(platform_in_flight(f->platform), 0);
	platform_free(f->platform);
	sim_done(&f->sim);
	metrics_free(f->metrics);
	fake_close();
}

/* ---- the world ---- */

static void seed(struct fixture *f, const char *part, json_t *things)
{
	struct err err = {0};
	json_t *seed_all AUTO(json_drop) = json_pack("{s:o}", part, things);
	sim_tick(&f->sim);
	if (!seed_all || control_seed(&f->sim, NULL, seed_all, &err) < 0)
		fail_msg("%s: %s", part, err.text);
	buf_clear(&f->sim.body);
}

/* sb-0, sb-1, ...: of cluster "a", or each second one of "b". */
static void seed_sandboxes(struct fixture *f, int count, bool two_clusters)
{
	json_t *things = json_array();
	for (int i = 0; i < count; i++) {
		char id[16];
		(void)snprintf(id, sizeof(id), "sb-%d", i);
		(void)json_array_append_new(things,
		                            json_pack("{s:s, s:s, s:s, s:{s:s}}", "id", id, "team_id", TEAM,
		                                      "cluster_id", two_clusters && i % 2 ? "b" : "a",
		                                      "env", "SANDSWEEP_RUNTIME", "m-1"));
	}
	seed(f, "sandboxes", things);
}

static void seed_others(struct fixture *f)
{
	seed(f, "volumes", json_pack("[{s:s, s:s}]", "id", "vol-0", "team_id", TEAM));
	seed(f, "sandboxes", json_pack("[{s:s, s:s}]", "id", "foreign", "team_id", FOREIGN));
}

static void add_finding(const char *kind, const char *proof, const char *id)
{
	fake->findings[fake->finding_count] = (struct store_finding){
	    .id = fake->finding_count + 1,
	    .class_name = "stale_mapping",
	    .kind = kind,
	    .resource_id = id,
	    .team_id.bytes = {1},
	    .proof = proof,
	    .action = "clear",
	    .evidence = "{}",
	};
	fake->finding_count++;
}

/* ---- the table ---- */

static const struct {
	const char *name;
	int sandboxes;
	bool two_clusters;
	const char *settings, *fault; /* JSON; NULL: none */
	const char *want_sandboxes, *want_volumes;
	int want_rows; /* of both; -1: any */
} cases[] = {
    {"as it should be", 35, false, NULL, NULL, "complete", "complete", 36},
    {"of two clusters", 35, true, NULL, NULL, "complete", "complete", 36},
    {"it says that more follows at the end", 40, false, "{\"list_has_more_at_end\":true}", NULL,
     "complete", "complete", 41},
    {"rows are skipped", 95, false, "{\"list_skip_percent\":50}", NULL, "short", "complete", -1},
    {"a cluster shows no more than 200", 230, false, "{\"list_cluster_cap\":200}", NULL, "capped",
     "complete", 201},
    {"and has no more", 200, false, "{\"list_cluster_cap\":200}", NULL, "capped", "complete", 201},
    {"a cluster is missing all the time", 35, true, "{\"list_drop_cluster\":\"b\"}", NULL,
     "complete", "complete", 19},
    {"the only cluster is missing", 35, false, "{\"list_drop_cluster\":\"a\"}", NULL, "empty",
     "complete", 1},
    {"the count is too high", 35, false, "{\"list_count_delta\":3}", NULL, "short", "complete", -1},
    {"the count is too low", 35, false, "{\"list_count_delta\":-3}", NULL, "count", "complete", -1},
    {"nothing is shown", 35, false, "{\"list_empty\":true}", NULL, "empty", "complete", 1},
    {"half of each page", 35, false, "{\"list_half_page\":true}", NULL, "short", "complete", -1},
    {"no volume is shown", 35, false, "{\"volume_list_empty\":true}", NULL, "complete", "empty",
     35},
    {"the middle fails", 35, false, NULL,
     "{\"op\":\"sandbox_list\",\"path_prefix\":\"/api/v1/sandboxes\",\"skip\":1,"
     "\"effect\":\"status\",\"status\":500}",
     "error", "complete", -1},
    {"the middle fails once", 35, false, NULL,
     "{\"op\":\"sandbox_list\",\"skip\":1,\"count\":1,\"effect\":\"status\",\"status\":500}",
     "complete", "complete", 36},
    {"a connection breaks", 35, false, NULL,
     "{\"op\":\"sandbox_list\",\"skip\":2,\"count\":1,\"effect\":\"lost\"}", "complete", "complete",
     36},
    {"an answer is cut off", 35, false, NULL,
     "{\"op\":\"sandbox_list\",\"skip\":2,\"count\":1,\"effect\":\"truncated\"}", "complete",
     "complete", 36},
    {"answers are no envelopes", 35, false, NULL,
     "{\"op\":\"sandbox_list\",\"effect\":\"malformed\"}", "error", "complete", 1},
    {"an answer is too large", 35, false, NULL,
     "{\"op\":\"sandbox_list\",\"skip\":1,\"count\":1,\"effect\":\"huge\",\"bytes\":2000000}",
     "error", "complete", -1},
    {"a proxy knows no such page", 35, false, NULL,
     "{\"op\":\"volume_list\",\"effect\":\"html404\"}", "complete", "error", 35},
    {"too much was asked", 35, false, NULL,
     "{\"op\":\"sandbox_list\",\"skip\":1,\"count\":2,\"effect\":\"status\",\"status\":429,"
     "\"retry_after\":1}",
     "complete", "complete", 36},
};

static void break_it(struct fixture *f, const char *settings, const char *fault)
{
	struct err err = {0};
	int64_t id;
	json_t *json AUTO(json_drop) = json_of(settings ? settings : fault ? fault : "{}");
	if (settings ? settings_update(&f->sim.settings, json, &err) < 0
	             : fault && faults_add(&f->sim.faults, json, &id, &err) < 0)
		fail_msg("%s", err.text);
}

static void list_and_prove(struct fixture *f, const char *name)
{
	static const bool never = false;
	const struct reconcile_config config = usual_config();
	const struct backoff backoff = {1, SHORT_MS};
	struct lister_result listed;
	struct prover_result proved;
	struct store_run run = {0};
	struct pacer pacer;
	struct err err = {0};
	pacer_init(&pacer, fake->loop, config.pages_in_flight, 0, &backoff, config.call_attempts);
	if (lister_run(fake->loop, f->platform, &run, &config, &pacer, &never, NULL, &listed, &err) <
	        0 ||
	    prover_run(fake->loop, f->platform, &run, &config, &pacer, &never, NULL, &proved, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	assert_int_equal(pacer.in_flight, 0);
}

static const char *reason_of(const char *kind)
{
	for (int i = 0; i < fake->listing_count; i++)
		if (strcmp(fake->listings[i].kind, kind) == 0)
			return fake->listings[i].complete ? "complete" : fake->listings[i].reason;
	return "not listed";
}

static void expect(const char *name, const char *what, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("%s: %s: %s, not %s", name, what, got, want);
}

static void whatever_a_listing_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		const char *name = cases[i].name;
		struct fixture f;
		open_platform(&f);
		fake->team_count = 1;
		fake->some_sandboxes = fake->some_volumes = true;
		seed_others(&f);
		seed_sandboxes(&f, cases[i].sandboxes, cases[i].two_clusters);
		break_it(&f, cases[i].settings, cases[i].fault);
		add_finding("sandbox", "absent", "sb-0");
		add_finding("sandbox", "absent", "sb-1");
		add_finding("sandbox", "absent", "never-was");
		add_finding("sandbox", "absent", "foreign");
		add_finding("volume", "absent", "vol-0");
		add_finding("volume", "absent", "vol-9");
		add_finding("sandbox", "owner", "sb-2");
		add_finding("volume", "maker", "vol-0");
		list_and_prove(&f, name);
		expect(name, "sandboxes", reason_of("sandbox"), cases[i].want_sandboxes);
		expect(name, "volumes", reason_of("volume"), cases[i].want_volumes);
		if (cases[i].want_rows >= 0 && fake->row_count != cases[i].want_rows)
			fail_msg("%s: %d rows", name, fake->row_count);
		static const char *const seen[] = {"present", "present", "absent",  "unknown",
		                                   "present", "absent",  "present", "present"};
		for (size_t k = 0; k < N_OF(seen); k++)
			expect(name, fake->findings[k].resource_id, fake->proofs[k].seen, seen[k]);
		expect(name, "foreign", fake->proofs[3].why, "http_403");
		assert_non_null(strstr(fake->proofs[6].details, "\"marker\":\"m-1\""));
		assert_non_null(strstr(fake->proofs[7].details, "\"user\":\"" WORLD_OTHER_USER "\""));
		close_platform(&f);
	}
}

/* A sandbox that was claimed a moment ago reads as absent from a cache that lags: the second look sees
 * it. */
static void a_lagging_cache_proves_nothing(void **state)
{
	(void)state;
	struct fixture f;
	open_platform(&f);
	seed_sandboxes(&f, 1, false);
	break_it(&f, NULL, "{\"op\":\"sandbox_get\",\"count\":1,\"effect\":\"status\",\"status\":404}");
	add_finding("sandbox", "absent", "sb-0");
	list_and_prove(&f, "lag");
	assert_string_equal(fake->proofs[0].seen, "present");
	assert_non_null(strstr(fake->proofs[0].details, "\"status\":404"));
	close_platform(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_a_listing_says),
	    cmocka_unit_test(a_lagging_cache_proves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
