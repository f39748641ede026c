#include "cmd_explain.h"

#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "explain.h"
#include "report.h"
#include "sql/migrate.h"
#include "sql/store_history.h"

enum { WORDS_MAX = 16384, FINDINGS_MAX = 50, THINGS_MAX = 1000 };

/* One answer, gathered as a json_t for --output json, printed as it comes otherwise. */
struct answer {
	json_t *root;     /* NULL: text */
	const char *list; /* where the next object goes, and what the text puts above the first */
	const char *head;
	bool headed;
	struct explain_unowned known;
	int owned, functions;
	json_t *function; /* the one whose things come */
};

/* ---- printing and gathering ---- */

static void begin_list(struct answer *a, const char *list, const char *head)
{
	a->list = list;
	a->head = head;
	a->headed = false;
	if (a->root && !json_object_get(a->root, list))
		(void)json_object_set_new(a->root, list, json_array());
}

static void add_object(struct answer *a, json_t *object)
{
	json_t *parent = a->function ? a->function : a->root;
	json_t *list = json_object_get(parent, a->list);
	(void)json_array_append_new(list, object);
}

static void print_line(struct answer *a, const char *text)
{
	if (!a->headed && a->head)
		(void)printf("\n%s:\n", a->head);
	a->headed = true;
	(void)fputs(a->head ? "  " : "", stdout);
	(void)report_put(stdout, text);
	(void)putchar('\n');
}

static void print_json_line(struct answer *a, const char *label, const char *json)
{
	struct buf text;
	if (!json)
		return;
	buf_init(&text, WORDS_MAX);
	(void)buf_printf(&text, "%s%s", label, json);
	print_line(a, text.data ? text.data : "");
	buf_done(&text);
}

static void format_time(int64_t wall_us, char out[CLOCK_RFC3339_SIZE])
{
	enum { TO_SECONDS = 19 };
	clock_rfc3339(wall_us, out);
	memcpy(out + TO_SECONDS, "Z", 2);
}

/* ---- the parts ---- */

static json_t *owned_json(const struct store_owned *o, const char *words)
{
	json_t *object = json_object();
	json_put_text(object, "words", words);
	json_put_i64(object, "number", o->id);
	json_put_text(object, "kind", o->kind);
	json_put_text(object, "id", o->resource_id);
	json_put_text(object, "parent", o->parent_id);
	json_put_text(object, "state", o->state);
	json_put_uuid(object, "team", &o->team_id);
	json_put_uuid(object, "function", &o->function_id);
	json_put_text(object, "slug", o->slug);
	json_put_uuid(object, "revision", &o->revision_id);
	json_put_i64(object, "revision_number", o->revision_number);
	json_put_text(object, "in_use_because", o->in_use_because);
	json_put_text(object, "release_reason", o->release_reason);
	json_put_text(object, "doom_reason", o->doom_reason);
	json_put_uuid(object, "event", &o->event_id);
	json_put_i64(object, "attempts", o->attempts);
	json_put_text(object, "error_class", o->error_class);
	json_put_text(object, "last_error", o->last_error);
	json_put_time(object, "created_at", o->created_at_us);
	json_put_time(object, "released_at", o->released_at_us);
	json_put_time(object, "doomed_at", o->doomed_at_us);
	json_put_time(object, "deleting_at", o->deleting_at_us);
	json_put_time(object, "ended_at", o->ended_at_us);
	json_put_time(object, "due_at", o->due_at_us);
	json_put_json(object, "evidence", o->evidence);
	json_put_json(object, "finding", o->finding);
	return object;
}

static void on_owned(void *arg, const struct store_owned *o)
{
	struct answer *a = arg;
	struct buf words;
	buf_init(&words, WORDS_MAX);
	explain_owned(o, &words);
	a->owned++;
	if (a->root) {
		add_object(a, owned_json(o, words.data));
	} else {
		print_line(a, words.data ? words.data : "");
		print_json_line(a, "What the reconciliation saw: ", o->finding);
		print_json_line(a, "What the worker saw before it deleted: ", o->evidence);
	}
	buf_done(&words);
}

static void count_use(struct explain_unowned *known, const char *role)
{
	if (strcmp(role, "mapping") == 0)
		known->mappings++;
	else if (strncmp(role, "source_", 7) == 0)
		known->sources++;
	else
		known->mounts++;
}

static void on_use(void *arg, const struct store_use *u)
{
	struct answer *a = arg;
	struct buf words;
	count_use(&a->known, u->role);
	buf_init(&words, WORDS_MAX);
	explain_use(u, &words);
	if (a->root) {
		json_t *object = json_object();
		json_put_text(object, "words", words.data);
		json_put_text(object, "role", u->role);
		json_put_uuid(object, "team", &u->team_id);
		json_put_uuid(object, "function", &u->function_id);
		json_put_text(object, "slug", u->slug);
		json_put_uuid(object, "revision", &u->revision_id);
		json_put_i64(object, "revision_number", u->revision_number);
		json_put_bool(object, "active", u->active);
		json_put_bool(object, "enabled", u->enabled);
		json_put_time(object, "function_deleted_at", u->function_deleted_at_us);
		json_put_time(object, "since", u->since_us);
		add_object(a, object);
	} else {
		print_line(a, words.data ? words.data : "");
	}
	buf_done(&words);
}

static void print_attempt(struct answer *a, const struct store_attempt *t)
{
	char begun[CLOCK_RFC3339_SIZE], id[UUID_TEXT_SIZE], line[512];
	format_time(t->started_at_us, begun);
	uuid_format(&t->id, id);
	(void)snprintf(line, sizeof(line), "%s begun at %s from template %s: %s%s%s", id, begun,
	               t->template_id, t->outcome ? t->outcome : "open",
	               t->sandbox_id ? ", sandbox " : "", t->sandbox_id ? t->sandbox_id : "");
	print_line(a, line);
}

static void on_attempt(void *arg, const struct store_attempt *t)
{
	struct answer *a = arg;
	a->known.open_attempts += !t->outcome;
	a->known.closed_attempts += t->outcome != NULL;
	if (!a->root) {
		print_attempt(a, t);
		return;
	}
	json_t *object = json_object();
	json_put_uuid(object, "id", &t->id);
	json_put_uuid(object, "team", &t->team_id);
	json_put_uuid(object, "function", &t->function_id);
	json_put_uuid(object, "revision", &t->revision_id);
	json_put_text(object, "template_id", t->template_id);
	json_put_time(object, "started_at", t->started_at_us);
	json_put_time(object, "closed_at", t->closed_at_us);
	json_put_text(object, "outcome", t->outcome);
	json_put_text(object, "sandbox_id", t->sandbox_id);
	add_object(a, object);
}

static void on_finding(void *arg, const struct store_past_finding *p)
{
	struct answer *a = arg;
	const struct store_finding *f = &p->finding;
	char at[CLOCK_RFC3339_SIZE], line[1024];
	if (a->known.findings++ == 0) {
		a->known.proved = strcmp(f->verdict, "proved") == 0 && strcmp(f->action, "note") != 0;
		a->known.team_id = f->team_id;
	}
	if (!a->root) {
		format_time(p->at_us, at);
		(void)snprintf(line, sizeof(line), "%s run %lld: %s, %s; %s: %s%s%s", at,
		               (long long)p->run_id, f->class_name, f->verdict, f->action,
		               f->result ? f->result : "not done", f->why ? ": " : "",
		               f->why ? f->why : "");
		print_line(a, line);
		print_json_line(a, "    on the evidence ", f->evidence);
		return;
	}
	json_t *object = json_object();
	json_put_i64(object, "run_id", p->run_id);
	json_put_time(object, "at", p->at_us);
	json_put_text(object, "class", f->class_name);
	json_put_text(object, "kind", f->kind);
	json_put_time(object, "since", f->since_us);
	json_put_text(object, "action", f->action);
	json_put_text(object, "verdict", f->verdict);
	json_put_text(object, "result", f->result);
	json_put_text(object, "why", f->why);
	json_put_json(object, "evidence", f->evidence);
	add_object(a, object);
}

static void on_drift(void *arg, const struct store_known_drift *d)
{
	struct answer *a = arg;
	char first[CLOCK_RFC3339_SIZE], last[CLOCK_RFC3339_SIZE], line[512];
	if (!a->root) {
		format_time(d->first_seen_at_us, first);
		format_time(d->last_seen_at_us, last);
		(void)snprintf(line, sizeof(line), "%s: seen from %s to %s, last by run %lld%s: %s",
		               d->class_name, first, last, (long long)d->run_id,
		               d->observed ? ", which only observed" : "",
		               d->outcome ? d->outcome : "still adrift");
		print_line(a, line);
		return;
	}
	json_t *object = json_object();
	json_put_text(object, "class", d->class_name);
	json_put_text(object, "kind", d->kind);
	json_put_time(object, "since", d->since_us);
	json_put_time(object, "first_seen_at", d->first_seen_at_us);
	json_put_time(object, "last_seen_at", d->last_seen_at_us);
	json_put_i64(object, "run_id", d->run_id);
	json_put_text(object, "action", d->action);
	json_put_bool(object, "observed", d->observed);
	json_put_time(object, "closed_at", d->closed_at_us);
	json_put_text(object, "outcome", d->outcome);
	add_object(a, object);
}

/* ---- a function: itself, then its things ---- */

enum { FUNCTIONS_MAX = 100 };
struct found_functions {
	struct answer *answer;
	struct uuid ids[FUNCTIONS_MAX];
	json_t *objects[FUNCTIONS_MAX];
	struct buf words[FUNCTIONS_MAX];
	int count;
};

static void on_function(void *arg, const struct store_function *f)
{
	struct found_functions *found = arg;
	if (found->count == FUNCTIONS_MAX)
		return;
	struct buf *words = &found->words[found->count];
	buf_init(words, WORDS_MAX);
	explain_function(f, words);
	found->ids[found->count] = f->id;
	if (found->answer->root) {
		json_t *object = json_object();
		json_put_text(object, "words", words->data);
		json_put_uuid(object, "id", &f->id);
		json_put_uuid(object, "team", &f->team_id);
		json_put_text(object, "slug", f->slug);
		json_put_bool(object, "enabled", f->enabled);
		json_put_time(object, "deleted_at", f->deleted_at_us);
		json_put_i64(object, "active_revision_number", f->active_number);
		json_put_text(object, "sandbox", f->sandbox_id);
		json_put_i64(object, "revisions", f->revisions);
		(void)json_object_set_new(object, "things", json_array());
		found->objects[found->count] = object;
		add_object(found->answer, object);
	}
	found->count++;
}

static int explain_functions(struct pg_sync *sync, const char *text, struct answer *a,
                             struct err *err)
{
	struct found_functions found = {.answer = a};
	begin_list(a, "functions", NULL);
	int rc = store_explain_functions(sync, text, on_function, &found, err);
	a->functions = found.count;
	for (int i = 0; i < found.count; i++) {
		if (rc >= 0 && !a->root)
			print_line(a, found.words[i].data ? found.words[i].data : "");
		a->list = "things";
		a->head = "what is ours of it and not gone";
		a->headed = false;
		a->function = found.objects[i];
		if (rc >= 0)
			rc = store_explain_things(sync, &found.ids[i], THINGS_MAX, on_owned, a, err);
		a->head = NULL;
		buf_done(&found.words[i]);
	}
	a->function = NULL;
	return rc < 0 ? -1 : 0;
}

/* ---- the command ---- */

static void sum_up(struct answer *a)
{
	struct buf words;
	if (a->root)
		json_put_bool(a->root, "known",
		              a->owned + a->functions + a->known.mappings + a->known.sources +
		                      a->known.mounts + a->known.open_attempts + a->known.closed_attempts >
		                  0);
	if (a->owned + a->functions > 0)
		return;
	buf_init(&words, WORDS_MAX);
	explain_unowned(&a->known, &words);
	if (a->root)
		json_put_text(a->root, "words", words.data);
	begin_list(a, "owned",
	           a->known.sources + a->known.mappings + a->known.mounts > 0 ? "in short" : NULL);
	if (!a->root)
		print_line(a, words.data ? words.data : "");
	buf_done(&words);
}

static int explain(struct pg_sync *sync, struct answer *a, struct err *err)
{
	const char *text = a->known.text;
	begin_list(a, "owned", NULL);
	if (store_explain_ledger(sync, text, on_owned, a, err) < 0 ||
	    explain_functions(sync, text, a, err) < 0)
		return -1;
	begin_list(a, "uses", "named by revisions");
	if (store_explain_uses(sync, text, on_use, a, err) < 0)
		return -1;
	begin_list(a, "attempts", "restores");
	if (store_explain_attempts(sync, text, on_attempt, a, err) < 0)
		return -1;
	begin_list(a, "findings", "found by reconciliations");
	if (store_history_about(sync, text, FINDINGS_MAX, on_finding, a, err) < 0)
		return -1;
	begin_list(a, "drift", "known drift");
	if (store_explain_drift(sync, text, on_drift, a, err) < 0)
		return -1;
	sum_up(a);
	return 0;
}

static int explain_and_print(struct pg_sync *sync, const char *text, bool json, struct err *err)
{
	AUTO(json_drop) json_t *root = json ? json_object() : NULL;
	struct answer a = {.root = root, .known = {.text = text}};
	if (root)
		json_put_text(root, "id", text);
	if (explain(sync, &a, err) < 0)
		return -1;
	if (root) {
		(void)json_dumpf(root, stdout, JSON_INDENT(2));
		(void)putchar('\n');
	}
	return 0;
}

int cmd_explain(const struct cmd_ctx *ctx, int argc, char **argv)
{
	const char *output = NULL, *text = NULL;
	const struct cmd_opt opts[] = {{"output", &output, NULL}};
	struct err err = {0};
	struct pg_config config;
	int n = cmd_options(argc, argv, opts, N_OF(opts), &text, 1, &err);
	if (n >= 0 && (n != 1 || !*text))
		n = err_set(&err, ERR_REJECT, "usage",
		            "say `explain ID`: of a sandbox, a volume, a snapshot, or a function's id or "
		            "slug");
	if (n > 0 && output && strcmp(output, "json") != 0 && strcmp(output, "text") != 0)
		n = err_set(&err, ERR_REJECT, "usage", "--output takes text or json");
	if (n < 0 || pg_config_read(ctx->config, PG_ROLE_RECONCILE, &config, &err) < 0)
		return cmd_fail(ctx, &err);
	AUTO(pg_sync_close) struct pg_sync *sync = pg_sync_open(&config, &err);
	if (!sync || migrate_verify(sync, &err) < 0 ||
	    explain_and_print(sync, text, output && strcmp(output, "json") == 0, &err) < 0)
		return cmd_fail(ctx, &err);
	return CMD_OK;
}
