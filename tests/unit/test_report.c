/* What a run prints, in its three forms, and the progress on a terminal. */
#include "reconcile/report.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reconcile/progress.h"

enum { TEXT_MAX = 16384 };
static const int64_t now_us = INT64_C(1767323045123456); /* 2026-01-02T03:04:05.123456Z */

static struct store_finding a_finding(void)
{
	struct store_finding finding = {
	    .id = 1,
	    .class_name = "stale_mapping",
	    .kind = "sandbox",
	    .resource_id = "sb-1",
	    .since_us = now_us - 90000000,
	    .proof = "absent",
	    .action = "clear",
	    .verdict = "proved",
	    .result = "done",
	    .evidence = "{\"rule\":\"r\"}",
	};
	memset(&finding.team_id, 1, sizeof(finding.team_id));
	memset(&finding.function_id, 2, sizeof(finding.function_id));
	return finding;
}

/* A report into memory. */
struct sheet {
	struct report report;
	FILE *file;
	char text[TEXT_MAX];
};

static void begin(struct sheet *s, enum report_format format, bool color)
{
	memset(s->text, 0, sizeof(s->text));
	s->file = fmemopen(s->text, sizeof(s->text), "w");
	assert_non_null(s->file);
	report_init(&s->report, s->file, format, color);
	s->report.now_us = now_us;
}

static const char *end(struct sheet *s)
{
	assert_int_equal(fclose(s->file), 0);
	return s->text;
}

static void test_formats(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		int rc;
		enum report_format format;
	} cases[] = {{"table", 0, REPORT_TABLE},
	             {"json", 0, REPORT_JSON},
	             {"jsonl", 0, REPORT_JSONL},
	             {"JSON", -1, 0},
	             {"", -1, 0},
	             {"json ", -1, 0}};
	for (size_t i = 0; i < N_OF(cases); i++) {
		enum report_format format = 0;
		assert_int_equal(report_format_parse(cases[i].word, &format), cases[i].rc);
		assert_int_equal(format, cases[i].format);
	}
}

/* ---- JSON ---- */

static const char record[] =
    "\"class\":\"stale_mapping\",\"kind\":\"sandbox\",\"id\":\"sb-1\",\"parent\":null,"
    "\"team\":\"01010101-0101-0101-0101-010101010101\","
    "\"function\":\"02020202-0202-0202-0202-020202020202\",\"revision\":null,"
    "\"evidence\":{\"rule\":\"r\"},\"age_s\":90,\"action\":\"clear\",\"verdict\":\"proved\","
    "\"result\":\"done\",\"why\":null}";

static void test_json_is_one_object(void **state)
{
	(void)state;
	struct store_finding finding = a_finding();
	struct reconcile_summary summary = {.verdict = VERDICT_REPAIRED, .mode = "repair"};
	char want[TEXT_MAX];
	for (int count = 0; count < 3; count++) {
		struct sheet s;
		begin(&s, REPORT_JSON, false);
		for (int i = 0; i < count; i++)
			report_finding(&s.report, &finding);
		report_summary(&s.report, &summary);
		json_t *all = json_loads(end(&s), JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(all);
		assert_int_equal(json_array_size(json_object_get(all, "findings")), count);
		assert_true(json_is_object(json_object_get(all, "summary")));
		json_decref(all);
		if (count == 2) {
			(void)snprintf(want, sizeof(want), "{\"findings\":[\n{%s,\n{%s\n],\"summary\":{",
			               record, record);
			assert_int_equal(strncmp(s.text, want, strlen(want)), 0);
		}
	}
}

static void test_json_without_a_summary(void **state)
{
	(void)state;
	struct store_finding finding = a_finding();
	for (int count = 0; count < 2; count++) {
		struct sheet s;
		begin(&s, REPORT_JSON, false);
		for (int i = 0; i < count; i++)
			report_finding(&s.report, &finding);
		report_end(&s.report);
		json_t *all = json_loads(end(&s), 0, NULL);
		assert_non_null(all);
		assert_true(json_is_null(json_object_get(all, "summary")));
		json_decref(all);
	}
}

static void test_jsonl_is_one_record_a_line(void **state)
{
	(void)state;
	struct store_finding finding = a_finding();
	struct reconcile_summary summary = {.verdict = VERDICT_IN_SYNC};
	struct sheet s;
	char want[TEXT_MAX];
	begin(&s, REPORT_JSONL, false);
	report_finding(&s.report, &finding);
	report_summary(&s.report, &summary);
	(void)snprintf(want, sizeof(want), "{\"type\":\"finding\",%s\n", record);
	assert_int_equal(strncmp(end(&s), want, strlen(want)), 0);
	const char *last = s.text + strlen(want);
	assert_ptr_equal(strchr(last, '\n'), last + strlen(last) - 1);
	json_t *line = json_loads(last, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(line, "type")), "summary");
	json_decref(line);
}

/* Ages are told where a time is known, and never below zero whatever the clocks. */
static void test_ages(void **state)
{
	(void)state;
	static const struct {
		int64_t ago_us;
		bool known;
		const char *json, *table;
	} cases[] = {
	    {0, false, "null", " - "},
	    {0, true, ":0,", " 0s "},
	    {-5000000, true, ":0,", " 0s "},
	    {59999999, true, ":59,", " 59s "},
	    {60000000, true, ":60,", " 1m00s "},
	    {INT64_C(3599000000), true, ":3599,", " 59m59s "},
	    {INT64_C(3600000000), true, ":3600,", " 1h00m "},
	    {INT64_C(86400000000), true, ":86400,", " 1d00h "},
	    {INT64_C(90000000000), true, ":90000,", " 1d01h "},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct store_finding finding = a_finding();
		struct sheet s;
		char want[32];
		finding.since_us = cases[i].known ? now_us - cases[i].ago_us : 0;
		begin(&s, REPORT_JSON, false);
		report_finding(&s.report, &finding);
		(void)snprintf(want, sizeof(want), "\"age_s\"%s%s", cases[i].known ? "" : ":",
		               cases[i].json);
		if (!strstr(end(&s), want))
			fail_msg("row %zu: no %s in %s", i, want, s.text);
		begin(&s, REPORT_TABLE, false);
		report_finding(&s.report, &finding);
		if (!strstr(end(&s), cases[i].table))
			fail_msg("row %zu: no \"%s\" in %s", i, cases[i].table, s.text);
	}
}

/* Everything, out and in again. */
static void test_summary_comes_back(void **state)
{
	(void)state;
	struct reconcile_summary s = {
	    .verdict = VERDICT_GUARDED,
	    .text = "100 acts, \"10\" allowed",
	    .run_id = 5,
	    .mode = "repair",
	    .dry = true,
	    .t0_us = now_us,
	    .teams = 1,
	    .listings = 2,
	    .incomplete = 3,
	    .rows = 4,
	    .pages = 5,
	    .gets = 6,
	    .retries = 7,
	    .duration_us = 8000,
	    .pipeline = {1, now_us - 1, 2, now_us - 2, 3, now_us - 3, 4, 0, 5},
	    .pipeline_read = true,
	    .queue = {false, "no \"answer\"", -1, 8},
	    .queue_read = true};
	int64_t n = 100;
	for (int c = 0; c < CLASS_COUNT; c++)
		s.classes[c] = (struct reconcile_class_counts){n,     n + 1, n + 2, n + 3, n + 4,
		                                               n + 5, n + 6, n + 7, n + 8, n += 9};
	char *text = report_summary_json(&s);
	assert_non_null(text);
	struct reconcile_summary back;
	assert_true(report_summary_parse(text, &back));
	assert_null(back.mode);
	back.mode = s.mode;
	char *again = report_summary_json(&back);
	assert_string_equal(text, again);
	assert_int_equal(back.verdict, VERDICT_GUARDED);
	assert_memory_equal(back.classes, s.classes, sizeof(s.classes));
	assert_int_equal(back.pipeline.untried_since_us, now_us - 3);
	assert_string_equal(back.queue.why, s.queue.why);
	assert_int_equal(back.queue.lag, -1);
	assert_int_equal(back.queue.dead_letters, 8);
	free(text);
	free(again);
}

static void test_no_summary_is_none(void **state)
{
	(void)state;
	static const char *const cases[] = {
	    "", "{}", "[]", "{\"verdict\":\"interrupted\"}", "{1", "null", "{\"verdict\":1}"};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct reconcile_summary summary;
		if (report_summary_parse(cases[i], &summary))
			fail_msg("%s", cases[i]);
	}
}

/* The exit code and the word are one thing. */
static void test_every_verdict(void **state)
{
	(void)state;
	static const char *const words[] = {"in_sync",          "failed",  "drift",      "repaired",
	                                    "repaired_in_part", "guarded", "incomplete", "locked"};
	for (int v = 0; v < (int)N_OF(words); v++) {
		struct reconcile_summary summary = {.verdict = (enum reconcile_verdict)v}, back;
		char *text = report_summary_json(&summary), want[64];
		(void)snprintf(want, sizeof(want), "{\"verdict\":\"%s\",\"exit_code\":%d,", words[v], v);
		assert_int_equal(strncmp(text, want, strlen(want)), 0);
		assert_true(report_summary_parse(text, &back));
		assert_int_equal(back.verdict, v);
		free(text);
	}
}

/* ---- the table ---- */

static void test_table_lines_are_aligned(void **state)
{
	(void)state;
	struct store_finding finding = a_finding();
	struct reconcile_summary summary = {.verdict = VERDICT_PARTLY,
	                                    .run_id = 3,
	                                    .mode = "repair",
	                                    .text = "1 act came too late",
	                                    .teams = 1,
	                                    .listings = 2,
	                                    .rows = 3,
	                                    .pages = 4,
	                                    .duration_us = 1500000,
	                                    .pipeline = {.dead = 2, .dead_since_us = now_us - 3000000},
	                                    .pipeline_read = true};
	summary.classes[CLASS_STALE_MAPPING] = (struct reconcile_class_counts){.found = 2, .proved = 2};
	struct sheet s;
	begin(&s, REPORT_TABLE, false);
	report_finding(&s.report, &finding);
	finding.resource_id = "a-name-that-is-far-longer-than-any-that-the-platform-gives";
	finding.why = "why";
	finding.verdict = finding.result = NULL;
	report_finding(&s.report, &finding);
	report_summary(&s.report, &summary);
	assert_string_equal(
	    end(&s),
	    "CLASS           KIND     ID                                   AGE      ACTION VERDICT   "
	    "RESULT  WHY\n"
	    "stale_mapping   sandbox  sb-1                                 1m30s    clear  proved    "
	    "done    -\n"
	    "stale_mapping   sandbox  a-name-that-is-far-longer-than-any-that-the-platform-gives 1m30s "
	    "   clear  unproved  -       why\n"
	    "\n"
	    "CLASS               FOUND     YOUNG    PROVED DISPROVED  UNPROVED     NOTES     ACTED     "
	    "STALE   SKIPPED    FAILED\n"
	    "stale_mapping           2         0         2         0         0         0         0     "
	    "    0         0         0\n"
	    "\n"
	    "pipeline: 2 dead, the oldest for 3s\n"
	    "listed: 1 teams, 2 listings (0 incomplete), 3 rows in 4 pages\n"
	    "looked: 0 single looks, 0 repeated calls, 1.5 s\n"
	    "run 3, mode repair: repaired_in_part: 1 act came too late\n");
}

static void test_color_only_where_wanted(void **state)
{
	(void)state;
	static const struct {
		const char *verdict, *result, *color;
	} cases[] = {{"proved", "done", "\033[32m"},   {"proved", "failed", "\033[31m"},
	             {"proved", "stale", "\033[33m"},  {"young", NULL, "\033[2m"},
	             {NULL, NULL, "\033[33m"},         {"disproved", NULL, "\033[2m"},
	             {"proved", "skipped", "\033[33m"}};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct store_finding finding = a_finding();
		struct reconcile_summary summary = {.verdict = VERDICT_FAILED};
		struct sheet s;
		finding.verdict = cases[i].verdict;
		finding.result = cases[i].result;
		begin(&s, REPORT_TABLE, true);
		report_finding(&s.report, &finding);
		if (!strstr(end(&s), cases[i].color))
			fail_msg("row %zu: %s", i, s.text);
		begin(&s, REPORT_TABLE, false);
		report_finding(&s.report, &finding);
		report_summary(&s.report, &summary);
		assert_null(strchr(end(&s), '\033'));
	}
}

/* What the platform calls its things, and what errors say, cannot command a terminal. */
static void test_controls_are_taken_out(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
		int width;
	} cases[] = {
	    {"plain", "plain", 5},
	    {"\033[2Jx", "?[2Jx", 5},
	    {"a\nb\tc\rd\x7f", "a?b?c?d?", 8},
	    {"\xc2\x9b"
	     "31m",
	     "?31m", 4}, /* CSI as one character */
	    {"\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac", 2},
	    {"\xc2", "\xc2", 1},
	    {"", "", 0},
	    {NULL, "", 0},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		char text[64] = "";
		FILE *out = fmemopen(text, sizeof(text), "w");
		assert_int_equal(report_put(out, cases[i].text), cases[i].width);
		(void)fclose(out);
		assert_string_equal(text, cases[i].want);
	}
}

/* What is known of the queue, and what is not. */
static void test_queue(void **state)
{
	(void)state;
	static const struct {
		struct queue_probe queue;
		bool read;
		const char *json, *table; /* what the table has before "listed:" */
	} cases[] = {
	    {{0}, false, "\"queue\":null", ""},
	    {{true, "", 0, 0},
	     true,
	     "\"queue\":{\"reachable\":true,\"why\":null,\"lag\":0,\"dead_letters\":0}",
	     ""},
	    {{true, "", 3, 2},
	     true,
	     "\"queue\":{\"reachable\":true,\"why\":null,\"lag\":3,\"dead_letters\":2}",
	     "pipeline: 3 published but not read\npipeline: 2 dead letters\n"},
	    {{false, "no\tanswer", -1, -1},
	     true,
	     "\"queue\":{\"reachable\":false,\"why\":\"no\\tanswer\",\"lag\":null,"
	     "\"dead_letters\":null}",
	     "pipeline: Kafka could not be asked: no?answer\n"},
	    {{false, "no answer", -1, 4},
	     true,
	     "\"queue\":{\"reachable\":false,\"why\":\"no answer\",\"lag\":null,"
	     "\"dead_letters\":4}",
	     "pipeline: 4 dead letters\npipeline: Kafka could not be asked: no answer\n"},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct reconcile_summary summary = {.queue = cases[i].queue, .queue_read = cases[i].read};
		struct reconcile_summary back;
		struct sheet s;
		char *text = report_summary_json(&summary);
		if (!strstr(text, cases[i].json))
			fail_msg("row %zu: %s", i, text);
		assert_true(report_summary_parse(text, &back));
		assert_int_equal(back.queue_read, cases[i].read);
		assert_int_equal(back.queue.reachable, cases[i].queue.reachable);
		free(text);
		begin(&s, REPORT_TABLE, false);
		report_summary(&s.report, &summary);
		size_t len = strlen(cases[i].table);
		if (strncmp(end(&s), cases[i].table, len) != 0 ||
		    strncmp(s.text + len, "listed:", strlen("listed:")) != 0)
			fail_msg("row %zu: %s", i, s.text);
	}
}

/* ---- progress ---- */

static int64_t mono_us;
static int64_t read_mono(void *arg)
{
	(void)arg;
	return mono_us;
}

static void test_progress(void **state)
{
	(void)state;
	static const struct clock clock = {read_mono, read_mono, NULL};
	char text[4096] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	struct progress p;
	mono_us = 5000000;
	progress_init(&p, out, &clock);
	assert_false(p.on); /* no terminal */
	progress_watch(&p, "listing", 1, 4);
	progress_clear(&p);
	(void)fflush(out);
	assert_string_equal(text, "");

	p.on = true;
	p.columns = 40;
	progress_watch(&p, "listing", 1, 4);
	mono_us += 99999;
	progress_watch(&p, "listing", 2, 4); /* too soon */
	mono_us += 1;
	progress_watch(&p, "proving", 9, 0); /* of an unknown number */
	progress_clear(&p);
	progress_clear(&p); /* once */
	(void)fclose(out);
	assert_string_equal(text, "\r\033[Klisting 1 of 4 [#####.................]"
	                          "\r\033[Kproving 9\r\033[K");
}

static void test_progress_never_wraps(void **state)
{
	(void)state;
	static const struct clock clock = {read_mono, read_mono, NULL};
	for (int columns = 0; columns < 120; columns++) {
		char text[4096] = "";
		FILE *out = fmemopen(text, sizeof(text), "w");
		struct progress p;
		progress_init(&p, out, &clock);
		p.on = true;
		p.columns = columns;
		progress_watch(&p, "listing", INT64_MAX - 1, INT64_MAX);
		(void)fclose(out);
		size_t len = strlen(text) - strlen("\r\033[K");
		if (len > (size_t)(columns > 0 ? columns - 1 : 0))
			fail_msg("%d columns: %zu", columns, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_formats),
	    cmocka_unit_test(test_json_is_one_object),
	    cmocka_unit_test(test_json_without_a_summary),
	    cmocka_unit_test(test_jsonl_is_one_record_a_line),
	    cmocka_unit_test(test_ages),
	    cmocka_unit_test(test_summary_comes_back),
	    cmocka_unit_test(test_no_summary_is_none),
	    cmocka_unit_test(test_every_verdict),
	    cmocka_unit_test(test_table_lines_are_aligned),
	    cmocka_unit_test(test_queue),
	    cmocka_unit_test(test_color_only_where_wanted),
	    cmocka_unit_test(test_controls_are_taken_out),
	    cmocka_unit_test(test_progress),
	    cmocka_unit_test(test_progress_never_wraps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
