#include "reconcile_fixture.h"

#include "reconcile/prover.h"

/* What the platform does with one look after the other; the last goes on for ever. */
enum {
	THERE = 1,
	ABSENT,
	OTHER_TEAM,
	ANOTHER,
	FORBIDDEN,
	BROKEN,
	BUSY,
	HTML_404,
	NONSENSE,
	NOBODYS
};

static const struct {
	const char *name, *kind, *proof;
	int answers[6];
	const char *seen, *why;
	int gets; /* looks */
	int calls;
	const char *details[2]; /* are in them */
} cases[] = {
    {"absent twice",
     "sandbox",
     "absent",
     {ABSENT},
     "absent",
     "",
     2,
     2,
     {"\"status\":404},{\"at\"", NULL}},
    {"absent once",
     "sandbox",
     "absent",
     {ABSENT, THERE},
     "present",
     "",
     2,
     2,
     {"404", "\"status\":200"}},
    {"there",
     "sandbox",
     "absent",
     {THERE},
     "present",
     "",
     1,
     1,
     {"\"state\":\"running\"", "\"marker\":\"m-1\""}},
    {"absent, then refused",
     "sandbox",
     "absent",
     {ABSENT, FORBIDDEN},
     "unknown",
     "http_403",
     2,
     2,
     {"403", "404"}},
    {"absent, then no answer",
     "sandbox",
     "absent",
     {ABSENT, BROKEN},
     "unknown",
     "timeout",
     2,
     4,
     {"\"fault\":\"timeout\"", "404"}},
    {"not the platform's 404",
     "sandbox",
     "absent",
     {HTML_404},
     "unknown",
     "malformed",
     1,
     3,
     {"\"fault\":\"malformed\"", NULL}},
    {"not the platform's 404 the second time",
     "sandbox",
     "absent",
     {ABSENT, HTML_404},
     "unknown",
     "malformed",
     2,
     4,
     {NULL}},
    {"another team's", "sandbox", "absent", {OTHER_TEAM}, "unknown", "other_team", 1, 1, {NULL}},
    {"forbidden", "sandbox", "absent", {FORBIDDEN}, "unknown", "http_403", 1, 1, {"403", NULL}},
    {"broken once", "sandbox", "absent", {BROKEN, ABSENT}, "absent", "", 2, 3, {NULL}},
    {"too busy at first", "sandbox", "absent", {BUSY, BUSY, ABSENT}, "absent", "", 2, 4, {NULL}},
    {"too busy", "sandbox", "absent", {BUSY}, "unknown", "http_503", 1, 3, {NULL}},
    {"present", "sandbox", "present", {THERE}, "present", "", 1, 1, {"\"template\":\"tpl\"", NULL}},
    {"present, of another team",
     "sandbox",
     "present",
     {OTHER_TEAM},
     "unknown",
     "other_team",
     1,
     1,
     {NULL}},
    {"not present", "sandbox", "present", {ABSENT}, "absent", "", 1, 1, {NULL}},
    {"another sandbox in place of it",
     "sandbox",
     "present",
     {ANOTHER},
     "unknown",
     "malformed",
     1,
     3,
     {NULL}},
    {"nonsense", "sandbox", "present", {NONSENSE}, "unknown", "malformed", 1, 3, {NULL}},
    {"an owner's signs",
     "sandbox",
     "owner",
     {THERE},
     "present",
     "",
     1,
     1,
     {"\"marker\":\"m-1\"", "\"mounts\":[\"vol-9\"]"}},
    {"no owner", "sandbox", "owner", {ABSENT}, "absent", "", 1, 1, {NULL}},
    {"a volume there", "volume", "absent", {THERE}, "present", "", 1, 1, {NULL}},
    {"a volume absent", "volume", "absent", {ABSENT}, "absent", "", 2, 2, {NULL}},
    {"a volume present", "volume", "present", {THERE}, "present", "", 1, 1, {NULL}},
    {"a volume of another team",
     "volume",
     "absent",
     {OTHER_TEAM},
     "unknown",
     "other_team",
     1,
     1,
     {NULL}},
    {"another volume in place of it",
     "volume",
     "present",
     {ANOTHER},
     "unknown",
     "malformed",
     1,
     3,
     {NULL}},
    {"a maker's signs",
     "volume",
     "maker",
     {THERE},
     "present",
     "",
     1,
     1,
     {"\"user\":\"u-1\"", "\"created_at\":\"2026-01-02T03:04:05.000000Z\""}},
    {"a maker that is not told",
     "volume",
     "maker",
     {NOBODYS},
     "present",
     "",
     1,
     1,
     {"\"user\":null", NULL}},
    {"nothing that was made",
     "volume",
     "maker",
     {ABSENT},
     "absent",
     "",
     1,
     1,
     {"\"status\":404", NULL}},
    {"what another team's maker made",
     "volume",
     "maker",
     {OTHER_TEAM},
     "unknown",
     "other_team",
     1,
     1,
     {NULL}},
    {"another one than was made",
     "volume",
     "maker",
     {ANOTHER},
     "unknown",
     "malformed",
     1,
     3,
     {NULL}},
    {"a maker who is busy", "volume", "maker", {BUSY}, "unknown", "http_503", 1, 3, {NULL}},
    {"a maker, and not the platform's 404",
     "volume",
     "maker",
     {HTML_404},
     "unknown",
     "malformed",
     1,
     3,
     {NULL}},
    {"a maker, and nonsense", "volume", "maker", {NONSENSE}, "unknown", "malformed", 1, 3, {NULL}},
    {"a snapshot cannot be looked at",
     "snapshot",
     "absent",
     {THERE},
     "unknown",
     "no_look",
     0,
     0,
     {NULL}},
    {"a proof that nobody knows", "sandbox", "faith", {THERE}, "unknown", "no_look", 0, 0, {NULL}},
};

static const int *script;

static void say(const struct platform_request *request, int answer, struct reply *reply)
{
	struct uuid team = request->team_id;
	const struct thing thing = {
	    .marker = "m-1", .mount = "vol-9", .user = answer == NOBODYS ? NULL : "u-1"};
	struct thing named = thing;
	(void)snprintf(named.id, sizeof(named.id), "%s", answer == ANOTHER ? "other" : request->id);
	switch (answer) {
	case OTHER_TEAM: team.bytes[0]++; /* fall through */
	case THERE:
	case NOBODYS:
	case ANOTHER: show(&named, &team, request->op == PLATFORM_SANDBOX_GET, reply->body); break;
	case ABSENT: fault(reply, PLATFORM_ANSWERED, 404); break;
	case FORBIDDEN: fault(reply, PLATFORM_ANSWERED, 403); break;
	case BROKEN: fault(reply, PLATFORM_TIMEOUT, 0); break;
	case BUSY: fault(reply, PLATFORM_ANSWERED, 503); break;
	case HTML_404: fault(reply, PLATFORM_MALFORMED, 404); break;
	case NONSENSE: (void)buf_str(reply->body, "{\"success\":true,\"data\":[]}"); break;
	default: fail_msg("no such answer");
	}
}

static bool follow_script(struct fake *f, const struct platform_request *request, int call,
                          struct reply *reply)
{
	(void)f;
	int at = 0;
	while (at < call - 1 && at < 5 && script[at + 1])
		at++;
	say(request, script[at], reply);
	return true;
}

static void add_finding(struct fake *f, const char *kind, const char *proof, const char *id)
{
	int64_t number = f->finding_count + 1;
	assert_true(f->finding_count < FINDINGS_MAX);
	f->findings[f->finding_count++] = (struct store_finding){
	    .id = number,
	    .class_name = "stale_mapping",
	    .kind = kind,
	    .resource_id = id,
	    .team_id.bytes = {1},
	    .proof = proof,
	    .action = "clear",
	    .evidence = "{}",
	};
}

static int run_prover(struct fake *f, const struct reconcile_config *config,
                      struct prover_result *ret, struct err *err)
{
	static const bool never = false;
	const struct backoff backoff = {config->backoff_base_ms, config->backoff_cap_ms};
	struct store_run run = {0};
	struct pacer pacer;
	pacer_init(&pacer, f->loop, config->pages_in_flight, config->calls_per_second, &backoff,
	           config->call_attempts);
	int rc = prover_run(f->loop, f->platform, &run, config, &pacer, &never, NULL, ret, err);
	assert_int_equal(pacer.in_flight, 0);
	return rc;
}

static void check_case(struct fake *f, size_t i, const struct prover_result *result)
{
	const char *name = cases[i].name;
	assert_int_equal(f->proof_count, 1);
	if (strcmp(f->proofs[0].seen, cases[i].seen) != 0 ||
	    strcmp(f->proofs[0].why, cases[i].why) != 0)
		fail_msg("%s: %s '%s'", name, f->proofs[0].seen, f->proofs[0].why);
	if (result->gets != cases[i].gets || f->gets != cases[i].calls)
		fail_msg("%s: %d looks, %d calls", name, (int)result->gets, f->gets);
	assert_int_equal(result->retries, cases[i].calls - cases[i].gets);
	assert_non_null(strstr(f->proofs[0].details, "\"looks\":["));
	for (size_t k = 0; k < N_OF(cases[i].details) && cases[i].details[k]; k++)
		if (!strstr(f->proofs[0].details, cases[i].details[k]))
			fail_msg("%s: %s", name, f->proofs[0].details);
}

static void proves_or_tells_that_it_cannot(void **state)
{
	const struct reconcile_config config = usual_config();
	for (size_t i = 0; i < N_OF(cases); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct prover_result result;
		struct err err = {0};
		script = cases[i].answers;
		f->hook = follow_script;
		add_finding(f, cases[i].kind, cases[i].proof, "sb-1");
		if (run_prover(f, &config, &result, &err) < 0)
			fail_msg("%s: %s", cases[i].name, err.text);
		check_case(f, i, &result);
		assert_int_equal(result.findings, 1);
		assert_false(result.budget_spent);
		assert_int_equal(fake_teardown(state), 0);
	}
}

/* The two looks at something absent are apart. */
static void waits_before_it_confirms(void **state)
{
	struct fake *f = *state;
	struct reconcile_config config = usual_config();
	struct prover_result result;
	struct err err = {0};
	config.confirm_ms = 25;
	add_finding(f, "sandbox", "absent", "sb-1");
	assert_int_equal(run_prover(f, &config, &result, &err), 0);
	assert_int_equal(f->calls, 2);
	assert_true(f->asked_at_us[2] - f->asked_at_us[1] >= 25000);
	assert_string_equal(f->proofs[0].seen, "absent");
}

/* gets_max bounds looks, and no look is spent on half a proof. */
static const struct {
	int64_t gets_max;
	int want_gets, want_proved;
	bool want_spent;
} budgets[] = {
    {0, 0, 0, true}, {1, 0, 0, true},  {2, 2, 1, true},
    {5, 4, 2, true}, {6, 6, 3, false}, {7, 6, 3, false},
};

static void keeps_to_the_budget(void **state)
{
	for (size_t i = 0; i < N_OF(budgets); i++) {
		assert_int_equal(fake_setup(state), 0);
		struct fake *f = *state;
		struct reconcile_config config = usual_config();
		struct prover_result result;
		struct err err = {0};
		int proved = 0;
		config.gets_max = budgets[i].gets_max;
		for (int k = 0; k < 3; k++)
			add_finding(f, "sandbox", "absent", "sb-1");
		assert_int_equal(run_prover(f, &config, &result, &err), 0);
		assert_int_equal(f->proof_count, 3);
		for (int k = 0; k < 3; k++) {
			bool absent = strcmp(f->proofs[k].seen, "absent") == 0;
			proved += absent;
			assert_string_equal(f->proofs[k].why, absent ? "" : "get_budget");
		}
		assert_int_equal(f->gets, budgets[i].want_gets);
		assert_int_equal(result.gets, budgets[i].want_gets);
		assert_int_equal(proved, budgets[i].want_proved);
		assert_int_equal(result.budget_spent, budgets[i].want_spent);
		assert_int_equal(fake_teardown(state), 0);
	}
}

/* A look that was kept back for a confirmation comes free where none was needed: what is proved in a
 * later batch has it. */
static void proves_many(void **state)
{
	struct fake *f = *state;
	struct reconcile_config config = usual_config();
	struct prover_result result;
	struct err err = {0};
	config.pages_in_flight = 64;
	config.gets_max = 1100;
	add_things(f->sandboxes, &f->sandbox_count, "sb", 1);
	for (int i = 0; i < 1090; i++)
		add_finding(f, "sandbox", i % 2 ? "present" : "owner", "sb-1");
	assert_int_equal(run_prover(f, &config, &result, &err), 0);
	assert_int_equal(f->proof_count, 1090);
	assert_int_equal(result.findings, 1090);
	assert_int_equal(result.gets, 1090);
	assert_false(result.budget_spent);
	assert_in_range(f->in_flight_most, 2, 64);
	for (int i = 0; i < f->proof_count; i++) {
		assert_int_equal(f->proofs[i].finding, i + 1);
		assert_string_equal(f->proofs[i].seen, "present");
	}
}

static void cannot_send_every_id(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	struct prover_result result;
	struct err err = {0};
	add_finding(f, "sandbox", "absent", "..");
	assert_int_equal(run_prover(f, &config, &result, &err), 0);
	assert_string_equal(f->proofs[0].seen, "unknown");
	assert_string_equal(f->proofs[0].why, "bad_id");
	assert_int_equal(f->calls, 0);
}

static void ends_with_the_session(void **state)
{
	struct fake *f = *state;
	const struct reconcile_config config = usual_config();
	static const char *const places[] = {"to_prove", "proofs"};
	for (size_t i = 0; i < N_OF(places); i++) {
		struct prover_result result;
		struct err err = {0};
		f->finding_count = 0;
		f->fails = places[i];
		add_finding(f, "sandbox", "absent", "sb-1");
		assert_int_equal(run_prover(f, &config, &result, &err), -1);
		assert_string_equal(err.code, "08006");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(proves_or_tells_that_it_cannot),
	    cmocka_unit_test_setup_teardown(waits_before_it_confirms, fake_setup, fake_teardown),
	    cmocka_unit_test(keeps_to_the_budget),
	    cmocka_unit_test_setup_teardown(proves_many, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(cannot_send_every_id, fake_setup, fake_teardown),
	    cmocka_unit_test_setup_teardown(ends_with_the_session, fake_setup, fake_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
