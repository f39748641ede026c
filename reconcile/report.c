#include "report.h"

#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

/* What a record says of one finding or of a run is put into a json_t by one function for every form of
 * output, and by report_summary_json for the history. */

enum { AGE_SIZE = 24 };
static const char color_end[] = "\033[0m";

int report_format_parse(const char *word, enum report_format *ret)
{
	static const char *const words[] = {
	    [REPORT_TABLE] = "table", [REPORT_JSON] = "json", [REPORT_JSONL] = "jsonl"};
	for (size_t i = 0; i < N_OF(words); i++)
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum report_format)i;
			return 0;
		}
	return -1;
}

void report_init(struct report *report, FILE *out, enum report_format format, bool color)
{
	const struct clock *clock = clock_system();
	*report = (struct report){
	    .out = out, .format = format, .color = color, .now_us = clock->wall_us(clock->arg)};
}

/* ---- JSON ---- */

/* Seconds since then; -1 unknown. The two clocks may differ: never below 0. */
static int64_t age_s(int64_t now_us, int64_t since_us)
{
	if (since_us <= 0)
		return -1;
	return now_us > since_us ? (now_us - since_us) / 1000000 : 0;
}

static json_t *finding_json(const struct report *report, const struct store_finding *f)
{
	json_t *object = json_object();
	json_t *evidence = f->evidence ? json_loads(f->evidence, 0, NULL) : NULL;
	int64_t age = age_s(report->now_us, f->since_us);
	if (report->format == REPORT_JSONL)
		json_put_text(object, "type", "finding");
	json_put_text(object, "class", f->class_name);
	json_put_text(object, "kind", f->kind);
	json_put_text(object, "id", f->resource_id);
	json_put_text(object, "parent", f->parent_id);
	json_put_uuid(object, "team", &f->team_id);
	json_put_uuid(object, "function", &f->function_id);
	json_put_uuid(object, "revision", &f->revision_id);
	(void)json_object_set_new(object, "evidence", evidence ? evidence : json_object());
	(void)json_object_set_new(object, "age_s", age < 0 ? json_null() : json_integer(age));
	json_put_text(object, "action", f->action);
	json_put_text(object, "verdict", f->verdict ? f->verdict : "unproved");
	json_put_text(object, "result", f->result);
	json_put_text(object, "why", f->why);
	return object;
}

/* The figures of a class, once: their names and places. */
static const struct {
	const char *name;
	size_t offset;
} class_figures[] = {
#define FIGURE(name)                                         \
	{                                                        \
#name, offsetof(struct reconcile_class_counts, name) \
	}
    FIGURE(found), FIGURE(young), FIGURE(proved), FIGURE(disproved), FIGURE(unproved),
    FIGURE(notes), FIGURE(acted), FIGURE(stale),  FIGURE(skipped),   FIGURE(failed),
};

/* The figures of the whole run, the same way. */
static const struct {
	const char *name;
	size_t offset;
} run_figures[] = {
#define RUN_FIGURE(name)                                \
	{                                                   \
#name, offsetof(struct reconcile_summary, name) \
	}
    RUN_FIGURE(teams), RUN_FIGURE(listings), RUN_FIGURE(incomplete), RUN_FIGURE(rows),
    RUN_FIGURE(pages), RUN_FIGURE(gets),     RUN_FIGURE(retries),
};

static int64_t field(const void *base, size_t offset)
{
	int64_t value;
	memcpy(&value, (const char *)base + offset, sizeof(value));
	return value;
}

static void set_field(void *base, size_t offset, const json_t *value)
{
	int64_t number = json_integer_value(value);
	memcpy((char *)base + offset, &number, sizeof(number));
}

/* The stages of the pipeline: their names, what to call them, and where they are. */
static const struct {
	const char *name, *text;
	size_t count, since;
} stages[] = {
#define STAGE(name, text)                                    \
	{                                                        \
#name, text, offsetof(struct store_pipeline, name),  \
		    offsetof(struct store_pipeline, name##_since_us) \
	}
    STAGE(unpublished, "accepted but not published"),
    STAGE(undoomed, "released but not doomed"),
    STAGE(untried, "doomed but not tried"),
    STAGE(dead, "dead"),
};

static json_t *classes_json(const struct reconcile_summary *s)
{
	json_t *classes = json_object();
	for (int c = 0; c < CLASS_COUNT; c++) {
		json_t *counts = json_object();
		for (size_t i = 0; i < N_OF(class_figures); i++)
			json_put_i64(counts, class_figures[i].name,
			             field(&s->classes[c], class_figures[i].offset));
		(void)json_object_set_new(classes, reconcile_class_name((enum reconcile_class)c), counts);
	}
	return classes;
}

static json_t *pipeline_json(const struct reconcile_summary *s)
{
	if (!s->pipeline_read)
		return json_null();
	json_t *pipeline = json_object();
	for (size_t i = 0; i < N_OF(stages); i++) {
		json_t *stage = json_object();
		json_put_i64(stage, "count", field(&s->pipeline, stages[i].count));
		json_put_time(stage, "since", field(&s->pipeline, stages[i].since));
		(void)json_object_set_new(pipeline, stages[i].name, stage);
	}
	json_put_i64(pipeline, "refused", s->pipeline.refused);
	return pipeline;
}

static json_t *figure_json(int64_t figure)
{
	return figure < 0 ? json_null() : json_integer(figure);
}

static json_t *queue_json(const struct reconcile_summary *s)
{
	if (!s->queue_read)
		return json_null();
	json_t *queue = json_object();
	(void)json_object_set_new(queue, "reachable", json_boolean(s->queue.reachable));
	json_put_text(queue, "why", *s->queue.why ? s->queue.why : NULL);
	(void)json_object_set_new(queue, "lag", figure_json(s->queue.lag));
	(void)json_object_set_new(queue, "dead_letters", figure_json(s->queue.dead_letters));
	return queue;
}

static json_t *summary_json(const struct reconcile_summary *s)
{
	json_t *object = json_object();
	json_put_text(object, "verdict", reconcile_verdict_name(s->verdict));
	json_put_i64(object, "exit_code", s->verdict);
	json_put_text(object, "text", *s->text ? s->text : NULL);
	(void)json_object_set_new(object, "run_id",
	                          s->run_id > 0 ? json_integer(s->run_id) : json_null());
	json_put_text(object, "mode", s->mode);
	(void)json_object_set_new(object, "dry", json_boolean(s->dry));
	json_put_time(object, "started_at", s->t0_us);
	(void)json_object_set_new(object, "classes", classes_json(s));
	for (size_t i = 0; i < N_OF(run_figures); i++)
		json_put_i64(object, run_figures[i].name, field(s, run_figures[i].offset));
	json_put_i64(object, "duration_ms", s->duration_us / 1000);
	(void)json_object_set_new(object, "pipeline", pipeline_json(s));
	(void)json_object_set_new(object, "queue", queue_json(s));
	return object;
}

char *report_summary_json(const struct reconcile_summary *summary)
{
	AUTO(json_drop) json_t *object = summary_json(summary);
	return json_text(object);
}

static bool verdict_parse(const char *word, enum reconcile_verdict *ret)
{
	for (int v = VERDICT_IN_SYNC; word && v <= VERDICT_LOCKED; v++)
		if (strcmp(word, reconcile_verdict_name((enum reconcile_verdict)v)) == 0) {
			*ret = (enum reconcile_verdict)v;
			return true;
		}
	return false;
}

static int64_t parse_time(const json_t *value)
{
	int64_t wall_us = 0;
	const char *text = json_string_value(value);
	return text && clock_parse_rfc3339(text, strlen(text), &wall_us) == 0 ? wall_us : 0;
}

static void parse_pipeline(const json_t *pipeline, struct reconcile_summary *ret)
{
	ret->pipeline_read = json_is_object(pipeline);
	ret->pipeline.refused = json_integer_value(json_object_get(pipeline, "refused"));
	for (size_t i = 0; i < N_OF(stages); i++) {
		const json_t *stage = json_object_get(pipeline, stages[i].name);
		int64_t since_us = parse_time(json_object_get(stage, "since"));
		set_field(&ret->pipeline, stages[i].count, json_object_get(stage, "count"));
		memcpy((char *)&ret->pipeline + stages[i].since, &since_us, sizeof(since_us));
	}
}

static int64_t parse_figure(const json_t *value)
{
	return json_is_integer(value) ? json_integer_value(value) : -1;
}

static void parse_queue(const json_t *queue, struct reconcile_summary *ret)
{
	const char *why = json_string_value(json_object_get(queue, "why"));
	ret->queue_read = json_is_object(queue);
	ret->queue.reachable = json_is_true(json_object_get(queue, "reachable"));
	ret->queue.lag = parse_figure(json_object_get(queue, "lag"));
	ret->queue.dead_letters = parse_figure(json_object_get(queue, "dead_letters"));
	(void)snprintf(ret->queue.why, sizeof(ret->queue.why), "%s", why ? why : "");
}

bool report_summary_parse(const char *json, struct reconcile_summary *ret)
{
	AUTO(json_drop) json_t *object = json_loads(json, 0, NULL);
	struct reconcile_summary s = {0};
	const char *text = json_string_value(json_object_get(object, "text"));
	if (!verdict_parse(json_string_value(json_object_get(object, "verdict")), &s.verdict))
		return false;
	(void)snprintf(s.text, sizeof(s.text), "%s", text ? text : "");
	s.run_id = json_integer_value(json_object_get(object, "run_id"));
	s.dry = json_is_true(json_object_get(object, "dry"));
	s.t0_us = parse_time(json_object_get(object, "started_at"));
	s.duration_us = json_integer_value(json_object_get(object, "duration_ms")) * 1000;
	for (size_t i = 0; i < N_OF(run_figures); i++)
		set_field(&s, run_figures[i].offset, json_object_get(object, run_figures[i].name));
	for (int c = 0; c < CLASS_COUNT; c++) {
		const json_t *counts = json_object_get(json_object_get(object, "classes"),
		                                       reconcile_class_name((enum reconcile_class)c));
		for (size_t i = 0; i < N_OF(class_figures); i++)
			set_field(&s.classes[c], class_figures[i].offset,
			          json_object_get(counts, class_figures[i].name));
	}
	parse_pipeline(json_object_get(object, "pipeline"), &s);
	parse_queue(json_object_get(object, "queue"), &s);
	*ret = s;
	return true;
}

/* What comes before the next record. */
static void json_lead(struct report *report)
{
	if (report->format == REPORT_JSON)
		(void)fputs(report->count == 0 ? "{\"findings\":[\n" : ",\n", report->out);
}

static void json_finding(struct report *report, const struct store_finding *finding)
{
	AUTO(json_drop) json_t *object = finding_json(report, finding);
	json_lead(report);
	(void)json_dumpf(object, report->out, JSON_COMPACT);
	if (report->format == REPORT_JSONL)
		(void)fputc('\n', report->out);
}

static void json_summary(struct report *report, const struct reconcile_summary *summary)
{
	AUTO(json_drop) json_t *object = summary_json(summary);
	if (report->format == REPORT_JSONL) {
		json_put_text(object, "type", "summary");
		(void)json_dumpf(object, report->out, JSON_COMPACT);
		(void)fputc('\n', report->out);
		return;
	}
	(void)fputs(report->count == 0 ? "{\"findings\":[" : "\n", report->out);
	(void)fputs("],\"summary\":", report->out);
	(void)json_dumpf(object, report->out, JSON_COMPACT);
	(void)fputs("}\n", report->out);
}

/* ---- the table ---- */

int report_put(FILE *out, const char *text)
{
	int width = 0;
	for (; text && *text; text++) {
		unsigned char c = (unsigned char)*text, next = (unsigned char)text[1];
		bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
		text += c1;
		(void)fputc(c < 0x20 || c == 0x7f || c1 ? '?' : c, out);
		width += (c & 0xc0) != 0x80; /* a character is as wide as its first byte */
	}
	return width;
}

static void format_age(int64_t seconds, char out[AGE_SIZE])
{
	long long s = seconds;
	if (s < 0)
		(void)snprintf(out, AGE_SIZE, "-");
	else if (s < 60)
		(void)snprintf(out, AGE_SIZE, "%llds", s);
	else if (s < 3600)
		(void)snprintf(out, AGE_SIZE, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(out, AGE_SIZE, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		(void)snprintf(out, AGE_SIZE, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

/* Green is done, red needs somebody, yellow is left as it is. */
static const char *finding_color(const struct report *report, const struct store_finding *f)
{
	const char *word = f->result ? f->result : f->verdict ? f->verdict : "unproved";
	static const struct {
		const char *word, *color;
	} colors[] = {{"done", "\033[32m"},     {"failed", "\033[31m"},  {"stale", "\033[33m"},
	              {"unproved", "\033[33m"}, {"skipped", "\033[33m"}, {"young", "\033[2m"},
	              {"disproved", "\033[2m"}};
	for (size_t i = 0; report->color && i < N_OF(colors); i++)
		if (strcmp(word, colors[i].word) == 0)
			return colors[i].color;
	return NULL;
}

static void table_finding(struct report *report, const struct store_finding *f)
{
	char age[AGE_SIZE];
	const char *color = finding_color(report, f);
	if (report->count == 0)
		(void)fprintf(report->out, "%-15s %-8s %-36s %-8s %-6s %-9s %-7s %s\n", "CLASS", "KIND",
		              "ID", "AGE", "ACTION", "VERDICT", "RESULT", "WHY");
	format_age(age_s(report->now_us, f->since_us), age);
	const struct {
		const char *text;
		int width;
	} cells[] = {{f->class_name, 16},
	             {f->kind, 9},
	             {f->resource_id, 37},
	             {age, 9},
	             {f->action, 7},
	             {f->verdict ? f->verdict : "unproved", 10},
	             {f->result ? f->result : "-", 8}};
	(void)fputs(color ? color : "", report->out);
	for (size_t i = 0; i < N_OF(cells); i++) {
		int width = report_put(report->out, cells[i].text);
		(void)fprintf(report->out, "%*s", width < cells[i].width ? cells[i].width - width : 1, "");
	}
	(void)report_put(report->out, f->why ? f->why : "-");
	(void)fprintf(report->out, "%s\n", color ? color_end : "");
}

static void table_classes(struct report *report, const struct reconcile_summary *s)
{
	static const char *const heads[] = {"FOUND", "YOUNG", "PROVED", "DISPROVED", "UNPROVED",
	                                    "NOTES", "ACTED", "STALE",  "SKIPPED",   "FAILED"};
	bool any = false;
	for (int c = 0; c < CLASS_COUNT; c++) {
		if (s->classes[c].found == 0)
			continue;
		if (!any) {
			(void)fprintf(report->out, "%s%-15s", report->count > 0 ? "\n" : "", "CLASS");
			for (size_t i = 0; i < N_OF(heads); i++)
				(void)fprintf(report->out, " %9s", heads[i]);
			(void)fputc('\n', report->out);
		}
		any = true;
		(void)fprintf(report->out, "%-15s", reconcile_class_name((enum reconcile_class)c));
		for (size_t i = 0; i < N_OF(class_figures); i++)
			(void)fprintf(report->out, " %9lld",
			              (long long)field(&s->classes[c], class_figures[i].offset));
		(void)fputc('\n', report->out);
	}
	if (any)
		(void)fputc('\n', report->out);
}

static void table_pipeline(struct report *report, const struct reconcile_summary *s)
{
	for (size_t i = 0; s->pipeline_read && i < N_OF(stages); i++) {
		char age[AGE_SIZE];
		int64_t count = field(&s->pipeline, stages[i].count);
		int64_t since_us = field(&s->pipeline, stages[i].since);
		if (count == 0)
			continue;
		format_age(age_s(report->now_us, since_us), age);
		(void)fprintf(report->out, "pipeline: %lld %s, the oldest for %s\n", (long long)count,
		              stages[i].text, age);
	}
	if (s->pipeline_read && s->pipeline.refused > 0)
		(void)fprintf(report->out, "pipeline: %lld refused\n", (long long)s->pipeline.refused);
}

static void table_queue(struct report *report, const struct reconcile_summary *s)
{
	const struct {
		int64_t figure;
		const char *text;
	} figures[] = {{s->queue.lag, "published but not read"},
	               {s->queue.dead_letters, "dead letters"}};
	if (!s->queue_read)
		return;
	for (size_t i = 0; i < N_OF(figures); i++)
		if (figures[i].figure > 0)
			(void)fprintf(report->out, "pipeline: %lld %s\n", (long long)figures[i].figure,
			              figures[i].text);
	if (s->queue.reachable)
		return;
	(void)fputs("pipeline: Kafka could not be asked: ", report->out);
	(void)report_put(report->out, s->queue.why);
	(void)fputc('\n', report->out);
}

static void table_summary(struct report *report, const struct reconcile_summary *s)
{
	static const char *const colors[] = {
	    [VERDICT_IN_SYNC] = "\033[32m",    [VERDICT_FAILED] = "\033[31m",
	    [VERDICT_DRIFT] = "\033[33m",      [VERDICT_REPAIRED] = "\033[32m",
	    [VERDICT_PARTLY] = "\033[33m",     [VERDICT_GUARDED] = "\033[31m",
	    [VERDICT_INCOMPLETE] = "\033[33m", [VERDICT_LOCKED] = "\033[33m"};
	table_classes(report, s);
	table_pipeline(report, s);
	table_queue(report, s);
	(void)fprintf(report->out,
	              "listed: %lld teams, %lld listings (%lld incomplete), %lld rows in %lld pages\n",
	              (long long)s->teams, (long long)s->listings, (long long)s->incomplete,
	              (long long)s->rows, (long long)s->pages);
	(void)fprintf(report->out, "looked: %lld single looks, %lld repeated calls, %.1f s\n",
	              (long long)s->gets, (long long)s->retries, (double)s->duration_us / 1e6);
	if (s->run_id > 0)
		(void)fprintf(report->out, "run %lld%s%s%s: ", (long long)s->run_id, s->dry ? ", dry" : "",
		              s->mode ? ", mode " : "", s->mode ? s->mode : "");
	(void)fprintf(report->out, "%s%s%s", report->color ? colors[s->verdict] : "",
	              reconcile_verdict_name(s->verdict), report->color ? color_end : "");
	(void)fputs(*s->text ? ": " : "", report->out);
	(void)report_put(report->out, s->text);
	(void)fputc('\n', report->out);
}

/* ---- both ---- */

void report_finding(void *arg, const struct store_finding *finding)
{
	struct report *report = arg;
	if (report->format == REPORT_TABLE)
		table_finding(report, finding);
	else
		json_finding(report, finding);
	report->count++;
}

void report_summary(struct report *report, const struct reconcile_summary *summary)
{
	if (report->format == REPORT_TABLE)
		table_summary(report, summary);
	else
		json_summary(report, summary);
}

void report_end(struct report *report)
{
	if (report->format == REPORT_JSON)
		(void)fprintf(report->out, "%s],\"summary\":null}\n",
		              report->count == 0 ? "{\"findings\":[" : "\n");
}
