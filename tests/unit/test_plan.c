/* Sealed plans: written, read back, altered in every way. */
#include "reconcile/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { T0_US = 1767323045, TEXT_MAX = 65536 };
static const int64_t t0_us = T0_US * INT64_C(1000000) + 123456;

struct place {
	char dir[64], path[96];
};

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	assert_non_null(place);
	(void)snprintf(place->dir, sizeof(place->dir), "/tmp/sandsweep-plan-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->path, sizeof(place->path), "%s/plan", place->dir);
	*state = place;
	return 0;
}

/* Nothing but the plan, if that, may be left: no file under another name. */
static int drop_place(void **state)
{
	struct place *place = *state;
	(void)unlink(place->path);
	int rc = rmdir(place->dir);
	free(place);
	return rc;
}

static struct uuid uuid_of(uint8_t byte)
{
	struct uuid uuid;
	memset(&uuid, byte, sizeof(uuid));
	return uuid;
}

static struct store_finding a_finding(void)
{
	return (struct store_finding){
	    .id = 7,
	    .class_name = "stale_mapping",
	    .kind = "sandbox",
	    .resource_id = "sb-1",
	    .team_id = uuid_of(1),
	    .function_id = uuid_of(2),
	    .revision_id = uuid_of(3),
	    .since_us = t0_us - 60000000,
	    .proof = "absent",
	    .action = "clear",
	    .verdict = "proved",
	    .result = "dry",
	    .why = "gone",
	    .evidence = "{\"z\":1,\"a\":[true,null,1.5],\"text\":\"\\u00e4\\n\"}",
	};
}

static struct reconcile_summary a_summary(void)
{
	struct reconcile_summary summary = {.run_id = 4,
	                                    .t0_us = t0_us,
	                                    .system_id = INT64_C(7301234567890123456),
	                                    .teams = 2,
	                                    .listings = 4,
	                                    .incomplete = 1,
	                                    .rows = 10};
	(void)snprintf(summary.database, sizeof(summary.database), "shop \"db\"");
	return summary;
}

static void write_plan(const char *path, const struct store_finding *findings, int count)
{
	struct err err = {0};
	struct reconcile_summary summary = a_summary();
	struct plan_writer *w = plan_writer_new(path, &err);
	assert_non_null(w);
	for (int i = 0; i < count; i++)
		plan_writer_item(w, &findings[i]);
	if (plan_writer_end(w, &summary, &err) < 0)
		fail_msg("%s", err.text);
}

static size_t read_file(const char *path, char out[TEXT_MAX])
{
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	size_t len = fread(out, 1, TEXT_MAX - 1, file);
	out[len] = '\0';
	(void)fclose(file);
	return len;
}

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* ---- round trip ---- */

struct seen {
	int count, stop_at;
	char text[2048];
};

static int on_item(void *arg, const struct store_finding *f, struct err *err)
{
	struct seen *seen = arg;
	char team[UUID_TEXT_SIZE];
	size_t len = strlen(seen->text);
	uuid_format(&f->team_id, team);
	assert_null(f->verdict);
	assert_null(f->result);
	assert_null(f->why);
	(void)snprintf(seen->text + len, sizeof(seen->text) - len,
	               "%lld %s %s %s %s %.8s %lld %s %s %s\n", (long long)f->id, f->class_name,
	               f->kind, f->resource_id, f->parent_id ? f->parent_id : "-", team,
	               (long long)(t0_us - f->since_us), f->proof, f->action, f->evidence);
	if (++seen->count == seen->stop_at)
		return err_set(err, ERR_RETRY, "stop", "stopped");
	return 0;
}

static void test_round_trip(void **state)
{
	const struct place *place = *state;
	struct store_finding findings[5];
	for (int i = 0; i < 5; i++)
		findings[i] = a_finding();
	findings[1].verdict = "young"; /* these three are no acts */
	findings[2].action = "note";
	findings[3].verdict = NULL;
	findings[4].class_name = "orphan_snapshot";
	findings[4].kind = "snapshot";
	findings[4].parent_id = "vol-1";
	findings[4].team_id = (struct uuid){0};
	findings[4].proof = "none";
	findings[4].action = "doom";
	write_plan(place->path, findings, 5);

	struct stat st;
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	struct reconcile_plan plan;
	struct err err = {0};
	struct seen seen = {0};
	if (plan_open(place->path, &plan, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(plan.made_us, t0_us);
	assert_int_equal(plan.system_id, INT64_C(7301234567890123456));
	assert_string_equal(plan.database, "shop \"db\"");
	assert_int_equal(plan.item_count, 2);
	for (int again = 0; again < 2; again++) {
		seen = (struct seen){0};
		assert_int_equal(plan_each(&plan, on_item, &seen, &err), 0);
		assert_string_equal(seen.text,
		                    "1 stale_mapping sandbox sb-1 - 01010101 60000000 absent clear "
		                    "{\"a\":[true,null,1.5],\"text\":\"\u00e4\\n\",\"z\":1}\n"
		                    "2 orphan_snapshot snapshot sb-1 vol-1 00000000 60000000 none doom "
		                    "{\"a\":[true,null,1.5],\"text\":\"\u00e4\\n\",\"z\":1}\n");
	}
	seen = (struct seen){.stop_at = 1};
	assert_int_equal(plan_each(&plan, on_item, &seen, &err), -1);
	assert_string_equal(err.code, "stop");
	assert_int_equal(seen.count, 1);
	plan_close(&plan);
	plan_close(&plan);
}

static void test_bytes_are_canonical(void **state)
{
	const struct place *place = *state;
	struct store_finding finding = a_finding();
	char text[TEXT_MAX], hex[HASH_HEX_SIZE], seal[128];
	write_plan(place->path, &finding, 1);
	(void)read_file(place->path, text);
	static const char want[] =
	    "{\"format\":\"sandsweep-plan\",\"version\":1}\n"
	    "{\"action\":\"clear\",\"class\":\"stale_mapping\",\"evidence\":{\"a\":[true,null,1.5],"
	    "\"text\":\"\u00e4\\n\",\"z\":1},\"function\":\"02020202-0202-0202-0202-020202020202\","
	    "\"id\":\"sb-1\",\"kind\":\"sandbox\",\"parent\":null,\"proof\":\"absent\","
	    "\"revision\":\"03030303-0303-0303-0303-030303030303\","
	    "\"since\":\"2026-01-02T03:03:05.123456Z\",\"team\":\"01010101-0101-0101-0101-"
	    "010101010101\"}\n"
	    "{\"database\":\"shop \\\"db\\\"\",\"incomplete\":1,\"items\":1,\"listings\":4,"
	    "\"made_at\":\"2026-01-02T03:04:05.123456Z\",\"rows\":10,\"run\":4,"
	    "\"system_id\":\"7301234567890123456\",\"teams\":2}\n";
	assert_int_equal(strncmp(text, want, sizeof(want) - 1), 0);
	hash_sha256_hex(want, sizeof(want) - 1, hex);
	(void)snprintf(seal, sizeof(seal), "{\"sha256\":\"%s\"}\n", hex);
	assert_string_equal(text + sizeof(want) - 1, seal);
}

static void test_an_empty_plan(void **state)
{
	const struct place *place = *state;
	struct reconcile_plan plan;
	struct seen seen = {0};
	struct err err = {0};
	write_plan(place->path, NULL, 0);
	assert_int_equal(plan_open(place->path, &plan, &err), 0);
	assert_int_equal(plan.item_count, 0);
	assert_int_equal(plan_each(&plan, on_item, &seen, &err), 0);
	assert_int_equal(seen.count, 0);
	plan_close(&plan);
}

/* ---- what is refused ---- */

static void assert_refused(const char *path, const char *what)
{
	struct reconcile_plan plan = {0};
	struct err err = {0};
	if (plan_open(path, &plan, &err) == 0)
		fail_msg("%s: taken", what);
	if (err.kind != ERR_REJECT || strcmp(err.code, "plan") != 0)
		fail_msg("%s: %s %s: %s", what, err_kind_name(err.kind), err.code, err.text);
}

static void test_every_byte_counts(void **state)
{
	const struct place *place = *state;
	struct store_finding finding = a_finding();
	char text[TEXT_MAX], what[64];
	write_plan(place->path, &finding, 1);
	size_t len = read_file(place->path, text);
	for (size_t at = 0; at < len; at++) {
		char was = text[at];
		text[at] = was == 'b' ? 'c' : 'b';
		write_file(place->path, text, len);
		(void)snprintf(what, sizeof(what), "byte %zu changed", at);
		assert_refused(place->path, what);
		text[at] = was;
	}
	for (size_t cut = 0; cut < len; cut++) {
		write_file(place->path, text, cut);
		(void)snprintf(what, sizeof(what), "cut at %zu", cut);
		assert_refused(place->path, what);
	}
	text[len] = '\n';
	write_file(place->path, text, len + 1);
	assert_refused(place->path, "one line more");
}

/* Seals `body` as a plan would be, so that only its content can be what is wrong. */
static void write_sealed(const char *path, const char *body)
{
	static char text[TEXT_MAX];
	char hex[HASH_HEX_SIZE];
	hash_sha256_hex(body, strlen(body), hex);
	int len = snprintf(text, sizeof(text), "%s{\"sha256\":\"%s\"}\n", body, hex);
	assert_in_range(len, 1, TEXT_MAX - 1);
	write_file(path, text, (size_t)len);
}

#define HEAD "{\"format\":\"sandsweep-plan\",\"version\":1}\n"
#define ITEM_OF(class_, kind, action, proof, evidence, id, since)                                \
	"{\"action\":\"" action "\",\"class\":\"" class_ "\",\"evidence\":" evidence ",\"id\":\"" id \
	"\",\"kind\":\"" kind "\",\"proof\":\"" proof "\",\"since\":\"" since "\"}\n"
#define SINCE "2026-01-02T03:03:05Z"
#define ITEM ITEM_OF("ghost", "volume", "doom", "absent", "{}", "v", SINCE)
#define END_OF(items, made, system)                                                            \
	"{\"database\":\"d\",\"items\":" items ",\"made_at\":\"" made "\",\"system_id\":\"" system \
	"\"}\n"
#define END(items) END_OF(items, SINCE, "1")

static const struct body_case {
	const char *name, *body;
	bool fine;
} body_cases[] = {
    {"as it should be", HEAD ITEM END("1"), true},
    {"no item", HEAD END("0"), true},
    {"nothing", "", false},
    {"only a head", HEAD, false},
    {"no head", ITEM END("1"), false},
    {"another format", "{\"format\":\"other\",\"version\":1}\n" END("0"), false},
    {"a later version", "{\"format\":\"sandsweep-plan\",\"version\":2}\n" END("0"), false},
    {"a version in words", "{\"format\":\"sandsweep-plan\",\"version\":\"1\"}\n" END("0"), false},
    {"a head that is a list", "[]\n" END("0"), false},
    {"an item too few", HEAD ITEM END("2"), false},
    {"an item too many", HEAD ITEM ITEM END("1"), false},
    {"a negative count", HEAD END("-1"), false},
    {"no end", HEAD ITEM, false},
    {"two ends", HEAD END("0") END("0"), false},
    {"an empty line", HEAD "\n" END("0"), false},
    {"no JSON", HEAD "x\n" END("1"), false},
    {"a key twice", HEAD "{\"items\":0,\"items\":0}\n", false},
    {"unknown class", HEAD ITEM_OF("stolen", "volume", "doom", "absent", "{}", "v", SINCE) END("1"),
     false},
    {"unknown kind", HEAD ITEM_OF("ghost", "cluster", "doom", "absent", "{}", "v", SINCE) END("1"),
     false},
    {"unknown action",
     HEAD ITEM_OF("ghost", "volume", "delete", "absent", "{}", "v", SINCE) END("1"), false},
    {"a note is no act",
     HEAD ITEM_OF("ghost", "volume", "note", "absent", "{}", "v", SINCE) END("1"), false},
    {"a volume that is adopted",
     HEAD ITEM_OF("orphan_volume", "volume", "adopt", "maker", "{}", "v", SINCE) END("1"), true},
    {"unknown proof", HEAD ITEM_OF("ghost", "volume", "doom", "trust", "{}", "v", SINCE) END("1"),
     false},
    {"no evidence", HEAD ITEM_OF("ghost", "volume", "doom", "absent", "null", "v", SINCE) END("1"),
     false},
    {"evidence that is a list",
     HEAD ITEM_OF("ghost", "volume", "doom", "absent", "[]", "v", SINCE) END("1"), false},
    {"no id", HEAD ITEM_OF("ghost", "volume", "doom", "absent", "{}", "", SINCE) END("1"), false},
    {"since some day",
     HEAD ITEM_OF("ghost", "volume", "doom", "absent", "{}", "v", "today") END("1"), false},
    {"made some day", HEAD END_OF("0", "today", "1"), false},
    {"of a cluster without a number", HEAD END_OF("0", SINCE, "one"), false},
};

static void test_bodies(void **state)
{
	const struct place *place = *state;
	for (size_t i = 0; i < N_OF(body_cases); i++) {
		const struct body_case *c = &body_cases[i];
		struct reconcile_plan plan = {0};
		struct err err = {0};
		write_sealed(place->path, c->body);
		if (!c->fine) {
			assert_refused(place->path, c->name);
			continue;
		}
		if (plan_open(place->path, &plan, &err) < 0)
			fail_msg("%s: %s", c->name, err.text);
		plan_close(&plan);
	}
}

static void test_no_file(void **state)
{
	const struct place *place = *state;
	struct reconcile_plan plan = {0};
	struct err err = {0};
	assert_int_equal(plan_open(place->path, &plan, &err), -1);
	assert_int_equal(err.kind, ERR_REJECT);
	assert_refused(place->dir, "a directory");
	assert_int_equal(mkfifo(place->path, 0600), 0);
	assert_refused(place->path, "a pipe");
	assert_int_equal(unlink(place->path), 0);
	write_file(place->path, "x", 1);
	assert_int_equal(truncate(place->path, (off_t)PLAN_BYTES_MAX + 1), 0);
	assert_refused(place->path, "too large a file");
	/* One line without an end: read no further than a line may be long. */
	assert_int_equal(truncate(place->path, (off_t)PLAN_BYTES_MAX), 0);
	assert_refused(place->path, "too long a line");
}

/* Between its opening and its reading: whoever loaded the items hears that they may not be used. */
static void test_altered_in_between(void **state)
{
	const struct place *place = *state;
	struct store_finding finding = a_finding();
	struct reconcile_plan plan = {0};
	struct seen seen = {0};
	struct err err = {0};
	write_plan(place->path, &finding, 1);
	assert_int_equal(plan_open(place->path, &plan, &err), 0);
	write_sealed(place->path, HEAD ITEM END("1"));
	assert_int_equal(plan_each(&plan, on_item, &seen, &err), -1);
	assert_string_equal(err.code, "plan");
	plan_close(&plan);
}

/* ---- age and database ---- */

static const struct check_case {
	const char *name;
	int64_t age_us, max_age_ms, system_id;
	const char *database, *want; /* a part of the sentence; NULL: it may be applied */
} check_cases[] = {
    {"fresh", 0, 1000, 1, "d", NULL},
    {"at its oldest", 1000000, 1000, 1, "d", NULL},
    {"a microsecond older", 1000001, 1000, 1, "d", "too old"},
    {"from tomorrow", -1, 1000, 1, "d", "not yet"},
    {"another cluster", 0, 1000, 2, "d", "another PostgreSQL cluster"},
    {"another database", 0, 1000, 1, "e", "of the database \"d\", not \"e\""},
};

static void test_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(check_cases); i++) {
		const struct check_case *c = &check_cases[i];
		struct reconcile_plan plan = {.made_us = t0_us, .system_id = 1, .database = "d"};
		struct err err = {0};
		int rc =
		    plan_check(&plan, t0_us + c->age_us, c->max_age_ms, c->system_id, c->database, &err);
		if ((rc == 0) != !c->want)
			fail_msg("%s: %d %s", c->name, rc, err.text);
		if (c->want && (!strstr(err.text, c->want) || strcmp(err.code, "plan") != 0))
			fail_msg("%s: %s: %s", c->name, err.code, err.text);
	}
}

/* ---- what cannot be written ---- */

static void test_nothing_is_left(void **state)
{
	const struct place *place = *state;
	struct store_finding finding = a_finding();
	struct reconcile_summary summary = a_summary();
	struct err err = {0};
	char path[128];
	struct plan_writer *w = plan_writer_new(place->path, &err);
	assert_non_null(w);
	plan_writer_item(w, &finding);
	plan_writer_drop(&w);
	assert_null(w);
	assert_int_equal(access(place->path, F_OK), -1);

	w = plan_writer_new(place->path, &err);
	assert_non_null(w);
	finding.evidence = NULL; /* never proved without evidence: the whole plan fails */
	plan_writer_item(w, &finding);
	assert_int_equal(plan_writer_end(w, &summary, &err), -1);
	assert_int_equal(access(place->path, F_OK), -1);

	(void)snprintf(path, sizeof(path), "%s/none/plan", place->dir);
	err = (struct err){0};
	assert_null(plan_writer_new(path, &err));
	assert_int_equal(err.kind, ERR_REJECT);
	err = (struct err){0};
	assert_null(plan_writer_new("", &err));
	assert_string_equal(err.code, "usage");
}

static void test_an_old_plan_is_replaced(void **state)
{
	const struct place *place = *state;
	struct store_finding finding = a_finding();
	struct reconcile_plan plan = {0};
	struct err err = {0};
	write_file(place->path, "old", 3);
	write_plan(place->path, &finding, 1);
	assert_int_equal(plan_open(place->path, &plan, &err), 0);
	plan_close(&plan);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_place, drop_place)
	const struct CMUnitTest tests[] = {
	    TEST(test_round_trip),
	    TEST(test_bytes_are_canonical),
	    TEST(test_an_empty_plan),
	    TEST(test_every_byte_counts),
	    TEST(test_bodies),
	    TEST(test_no_file),
	    TEST(test_altered_in_between),
	    TEST(test_check),
	    TEST(test_nothing_is_left),
	    TEST(test_an_old_plan_is_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
