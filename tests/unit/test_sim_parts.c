/* What the simulated platform (tests/sim) is made of: look-up structures, operations, fault rules,
 * settings, the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/sim/expiry.h"
#include "tests/sim/faults.h"
#include "tests/sim/journal.h"
#include "tests/sim/roster.h"
#include "tests/sim/settings.h"

static void expiry_is_in_order_of_time(void **state)
{
	enum { COUNT = 1000 };
	(void)state;
	struct expiry expiry = {0};
	struct expiry_entry entry;
	uint32_t random = 7;
	for (uint32_t i = 0; i < COUNT; i++) {
		random = random * 1103515245 + 12345;
		assert_int_equal(expiry_add(&expiry, (random >> 8) % 500, i), 0);
	}
	int64_t last_us = 0;
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_true(expiry_take(&expiry, 500, &entry));
		assert_true(entry.at_us >= last_us);
		last_us = entry.at_us;
	}
	assert_false(expiry_take(&expiry, 500, &entry));
	assert_int_equal(expiry_add(&expiry, 10, 1), 0);
	assert_false(expiry_take(&expiry, 9, &entry));
	assert_true(expiry_take(&expiry, 10, &entry));
	expiry_done(&expiry);
}

/* Against the plain way to do it: an array that is searched from the end. */
static void roster_agrees_with_an_array(void **state)
{
	enum { ROUNDS = 3000 };
	(void)state;
	static bool there[ROUNDS];
	struct roster roster = {0};
	uint32_t random = 1;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		there[i] = true;
		assert_int_equal(roster_add(&roster, i, i / 3), 0); /* three at one moment */
		random = random * 1103515245 + 12345;
		uint32_t victim = (random >> 8) % (i + 1);
		if (i % 4 != 0 && there[victim]) {
			there[victim] = false;
			roster_remove(&roster, victim, victim / 3);
		}
		if (i % 50 != 0)
			continue;
		uint32_t n = 0;
		for (uint32_t slot = i + 1; slot-- > 0;)
			if (there[slot])
				assert_int_equal(roster_nth_newest(&roster, n++), slot);
		assert_int_equal(roster.there, n);
	}
	roster_done(&roster);
}

static void ids_keep_their_numbers(void **state)
{
	enum { COUNT = 20000 };
	(void)state;
	struct ids ids;
	char text[16];
	ids_init(&ids, COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		(void)snprintf(text, sizeof(text), "id-%08u", i);
		assert_int_equal(ids_add(&ids, text, strlen(text)), i);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		(void)snprintf(text, sizeof(text), "id-%08u", i);
		assert_int_equal(ids_find(&ids, text, strlen(text)), i);
		assert_string_equal(ids_text(&ids, i), text);
	}
	assert_int_equal(ids_find(&ids, "id-0000000", 10), IDS_NONE);
	assert_int_equal(ids_add(&ids, "one more", 8), IDS_NONE); /* a space */
	assert_int_equal(ids_add(&ids, "one-more", 8), IDS_NONE); /* the maximum */
	ids_done(&ids);
}

static void paths_are_operations(void **state)
{
	static const char id64[] = "/api/v1/sandboxes/"
	                           "0123456789012345678901234567890123456789012345678901234567890123";
	static const struct {
		const char *method, *path;
		enum op op;
		const char *id, *parent;
	} cases[] = {
	    {"GET", "/api/v1/sandboxes", OP_SANDBOX_LIST, "", ""},
	    {"GET", "/api/v1/sandboxes/a%2Fb", OP_SANDBOX_GET, "a/b", ""},
	    {"GET", "/api/v1/sandboxes/a%2", OP_OTHER, "", ""},
	    {"GET", "/api/v1/sandboxes/a%00", OP_OTHER, "", ""},
	    {"GET", "/api/v1/sandboxes/", OP_OTHER, "", ""},
	    {"GET", "/api/v1/sandboxes/a/", OP_OTHER, "", ""},
	    {"GET", id64, OP_OTHER, "", ""},
	    {"POST", "/api/v1/sandboxes", OP_SANDBOX_CLAIM, "", ""},
	    {"POST", "/api/v1/sandboxes/a/pause", OP_SANDBOX_PAUSE, "a", ""},
	    {"DELETE", "/api/v1/sandboxes/a", OP_SANDBOX_DELETE, "a", ""},
	    {"DELETE", "/api/v1/sandboxvolumes/v", OP_VOLUME_DELETE, "v", ""},
	    {"DELETE", "/api/v1/sandboxvolumes/v/snapshots/p", OP_SNAPSHOT_DELETE, "p", "v"},
	    {"POST", "/api/v1/sandboxvolumes/v/snapshots", OP_SNAPSHOT_CREATE, "v", ""},
	    {"PUT", "/api/v1/sandboxes/a", OP_OTHER, "", ""},
	};
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct op_target target;
		op_find(cases[i].method, cases[i].path, &target);
		if (target.op != cases[i].op)
			fail_msg("%s %s is %s", cases[i].method, cases[i].path, op_name(target.op));
		assert_string_equal(target.id, cases[i].id);
		assert_string_equal(target.parent, cases[i].parent);
		assert_int_equal(op_parse(op_name(target.op)), target.op);
	}
}

/* ---- faults ---- */

static int add_fault(struct faults *faults, const char *json)
{
	struct err err = {0};
	int64_t id;
	json_t *rule AUTO(json_drop) = json_parse(json, strlen(json), &err);
	return faults_add(faults, rule, &id, &err);
}

/* How many of so many requests DELETE /api/v1/sandboxes/s of team "a" a rule hits. */
static int hits(struct faults *faults, int64_t seed, int requests)
{
	struct op_target target;
	struct fault fault;
	op_find("DELETE", "/api/v1/sandboxes/s", &target);
	const struct fault_request request = {
	    .method = "DELETE", .path = "/api/v1/sandboxes/s", .team = "a", .target = &target};
	int count = 0;
	for (int i = 0; i < requests; i++)
		count += faults_match(faults, &request, seed, &fault);
	return count;
}

static void faults_hit_what_they_name(void **state)
{
	static const struct {
		const char *rule;
		int want; /* of 10 requests */
	} cases[] = {
	    {"{\"effect\":\"reset\"}", 10},
	    {"{\"effect\":\"reset\",\"op\":\"sandbox_delete\"}", 10},
	    {"{\"effect\":\"reset\",\"op\":\"sandbox_get\"}", 0},
	    {"{\"effect\":\"reset\",\"method\":\"DELETE\"}", 10},
	    {"{\"effect\":\"reset\",\"method\":\"GET\"}", 0},
	    {"{\"effect\":\"reset\",\"path_prefix\":\"/api/v1/sandboxes/\"}", 10},
	    {"{\"effect\":\"reset\",\"path_prefix\":\"/api/v1/sandboxvolumes\"}", 0},
	    {"{\"effect\":\"reset\",\"team\":\"a\"}", 10},
	    {"{\"effect\":\"reset\",\"team\":\"b\"}", 0},
	    {"{\"effect\":\"reset\",\"id\":\"s\"}", 10},
	    {"{\"effect\":\"reset\",\"id\":\"t\"}", 0},
	    {"{\"effect\":\"reset\",\"count\":3}", 3},
	    {"{\"effect\":\"reset\",\"skip\":8}", 2},
	    {"{\"effect\":\"reset\",\"skip\":2,\"count\":3}", 3},
	    {"{\"effect\":\"reset\",\"percent\":0}", 0},
	    {"{\"effect\":\"latency\",\"latency_ms\":5,\"percent\":100}", 10},
	};
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct faults faults = {0};
		assert_int_equal(add_fault(&faults, cases[i].rule), 0);
		int got = hits(&faults, 1, 10);
		if (got != cases[i].want)
			fail_msg("%s: %d", cases[i].rule, got);
		faults_done(&faults);
	}
}

static void faults_that_are_refused(void **state)
{
	static const char *const rules[] = {
	    "{}",
	    "[]",
	    "{\"effect\":\"none\"}",
	    "{\"effect\":\"explode\"}",
	    "{\"effect\":\"status\"}",
	    "{\"effect\":\"status\",\"status\":99}",
	    "{\"effect\":\"latency\"}",
	    "{\"effect\":\"reset\",\"op\":\"sandbox_remove\"}",
	    "{\"effect\":\"reset\",\"percent\":101}",
	    "{\"effect\":\"reset\",\"percent\":\"5\"}",
	    "{\"effect\":\"reset\",\"pathprefix\":\"/\"}",
	    "{\"effect\":\"reset\",\"count\":-1}",
	};
	(void)state;
	struct faults faults = {0};
	for (size_t i = 0; i < N_OF(rules); i++)
		if (add_fault(&faults, rules[i]) == 0)
			fail_msg("%s", rules[i]);
	assert_int_equal(faults.count, 0);
}

static void first_fault_wins_and_disappears(void **state)
{
	(void)state;
	struct faults faults = {0};
	struct fault fault;
	struct op_target target;
	op_find("GET", "/api/v1/sandboxes/s", &target);
	const struct fault_request request = {
	    .method = "GET", .path = "/api/v1/sandboxes/s", .team = "", .target = &target};
	assert_int_equal(
	    add_fault(&faults, "{\"effect\":\"status\",\"status\":503,\"count\":1,\"retry_after\":7}"),
	    0);
	assert_int_equal(add_fault(&faults, "{\"effect\":\"status\",\"status\":429}"), 0);
	assert_true(faults_match(&faults, &request, 1, &fault));
	assert_int_equal(fault.status, 503);
	assert_string_equal(fault.code, "unavailable");
	assert_string_equal(fault.retry_after, "7");
	assert_false(fault.plain);
	assert_int_equal(faults.count, 1);
	assert_true(faults_match(&faults, &request, 1, &fault));
	assert_int_equal(fault.status, 429);
	assert_true(fault.plain); /* the gateway's rate limit has no envelope */
	assert_false(faults_remove(&faults, 1));
	assert_true(faults_remove(&faults, 2));
	assert_false(faults_match(&faults, &request, 1, &fault));
	faults_done(&faults);
}

static void percent_repeats_with_its_seed(void **state)
{
	(void)state;
	enum { REQUESTS = 10000 };
	int counts[3];
	static const int64_t seeds[] = {1, 1, 2};
	for (size_t i = 0; i < N_OF(seeds); i++) {
		struct faults faults = {0};
		assert_int_equal(add_fault(&faults, "{\"effect\":\"reset\",\"percent\":12.5}"), 0);
		counts[i] = hits(&faults, seeds[i], REQUESTS);
		faults_done(&faults);
	}
	assert_int_equal(counts[0], counts[1]);
	assert_int_not_equal(counts[0], counts[2]);
	assert_in_range(counts[0], 1100, 1400);
}

/* ---- settings and journal ---- */

static void settings_that_are_refused(void **state)
{
	static const char *const texts[] = {
	    "{\"finalizer\":1}",
	    "{\"finalizer_ms\":-2}",
	    "{\"finalizer_ms\":\"1\"}",
	    "{\"terminating\":1}",
	    "{\"get_404_percent\":100.5}",
	    "{\"list_drop_cluster\":\"\\\"\"}",
	    "[]",
	    "{\"latency_ms\":7,\"terminating\":null}",
	};
	(void)state;
	struct settings settings;
	settings_init(&settings);
	for (size_t i = 0; i < N_OF(texts); i++) {
		struct err err = {0};
		json_t *json AUTO(json_drop) = json_parse(texts[i], strlen(texts[i]), &err);
		if (settings_update(&settings, json, &err) == 0)
			fail_msg("%s", texts[i]);
	}
	assert_int_equal(settings.latency_ms, 0); /* nothing of a bad request is kept */
}

static void journal_is_bounded(void **state)
{
	enum { COUNT = 40000, KEPT = 17000 };
	(void)state;
	struct journal journal;
	struct op_target target;
	journal_init(&journal);
	for (int i = 0; i < COUNT; i++) {
		/* A path of its own for every other entry. */
		op_find("GET", i % 2 ? "/elsewhere" : "/api/v1/sandboxes/s", &target);
		const struct journal_request request = {
		    .target = &target, .method = "GET", .path = "/elsewhere", .team = "a"};
		uint64_t seq = journal_begin(&journal, &request, KEPT);
		assert_int_equal(seq, i + 1);
		journal_end(&journal, seq, target.op, 200);
	}
	journal_end(&journal, 1, OP_OTHER, 200); /* one that was dropped meanwhile */
	assert_int_equal(journal.next - journal.first, KEPT);
	assert_int_equal(journal.dropped, COUNT - KEPT);
	assert_int_equal(journal.counts[OP_SANDBOX_GET][200], COUNT / 2);
	struct buf out;
	buf_init(&out, 1 << 20);
	const struct journal_query query = {
	    .since = COUNT - 1, .limit = 9, .id = "s", .team = "a", .op = OP_COUNT};
	journal_write(&journal, &query, &out);
	assert_non_null(strstr(out.data, "\"seq\":39999"));
	assert_non_null(strstr(out.data, "\"path\":\"/api/v1/sandboxes/s\""));
	assert_null(strstr(out.data, "\"seq\":40000"));
	assert_non_null(strstr(out.data, "\"next\":40001,\"end\":40001"));
	buf_done(&out);
	journal_done(&journal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(expiry_is_in_order_of_time),
	    cmocka_unit_test(roster_agrees_with_an_array),
	    cmocka_unit_test(ids_keep_their_numbers),
	    cmocka_unit_test(paths_are_operations),
	    cmocka_unit_test(faults_hit_what_they_name),
	    cmocka_unit_test(faults_that_are_refused),
	    cmocka_unit_test(first_fault_wins_and_disappears),
	    cmocka_unit_test(percent_repeats_with_its_seed),
	    cmocka_unit_test(settings_that_are_refused),
	    cmocka_unit_test(journal_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
