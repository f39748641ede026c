#include "cmd_targets.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/num.h"
#include "sql/ledger.h"
#include "sql/migrate.h"
#include "sql/store_targets.h"

enum { LIST_PAGE = 1000, REDRIVE_MAX = 100000, CANARY_POLL_MS = 250 };

/* What the command line said. */
struct args {
	const char *verb, *operand;
	const char *state, *kind, *error_class, *team, *function, *limit, *output; /* list, show */
	const char *rate, *canary, *wait, *why;                                    /* redrive, refuse */
};
struct printer {
	bool json;
	int count;
	int64_t last_id;
	json_t *array;
};

/* ---- printing ---- */

static void set_text(json_t *object, const char *key, const char *value)
{
	if (value)
		(void)json_object_set_new(object, key, json_string(value));
}

static void set_uuid(json_t *object, const char *key, const struct uuid *value)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(value, text);
	set_text(object, key, text);
}

static void set_time(json_t *object, const char *key, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	set_text(object, key, wall_us ? text : NULL);
}

static json_t *target_json(const struct store_target *t)
{
	json_t *object = json_object();
	(void)json_object_set_new(object, "id", json_integer(t->id));
	set_text(object, "kind", t->kind);
	set_text(object, "resource_id", t->resource_id);
	set_text(object, "parent_id", t->parent_id);
	set_text(object, "state", t->state);
	(void)json_object_set_new(object, "attempts", json_integer(t->attempts));
	if (t->last_status)
		(void)json_object_set_new(object, "last_status", json_integer(t->last_status));
	set_text(object, "error_class", t->error_class);
	set_text(object, "last_error", t->last_error);
	set_uuid(object, "team_id", &t->team_id);
	set_uuid(object, "function_id", &t->function_id);
	set_uuid(object, "revision_id", &t->revision_id);
	set_text(object, "release_reason", t->release_reason);
	set_text(object, "doom_reason", t->doom_reason);
	set_text(object, "lease_owner", t->lease_owner);
	set_time(object, "created_at", t->created_at_us);
	set_time(object, "released_at", t->released_at_us);
	set_time(object, "doomed_at", t->doomed_at_us);
	set_time(object, "deleting_at", t->deleting_at_us);
	set_time(object, "ended_at", t->ended_at_us);
	set_time(object, "due_at", t->due_at_us);
	if (t->evidence)
		(void)json_object_set_new(object, "evidence", json_loads(t->evidence, 0, NULL));
	return object;
}

static void print_row(void *arg, const struct store_target *t)
{
	struct printer *p = arg;
	p->last_id = t->id;
	if (p->json) {
		p->count++;
		(void)json_array_append_new(p->array, target_json(t));
		return;
	}
	if (p->count++ == 0)
		(void)printf("%-8s %-8s %-36s %-8s %8s %6s %-14s %s\n", "ID", "KIND", "RESOURCE", "STATE",
		             "ATTEMPTS", "STATUS", "CLASS", "ERROR");
	(void)printf("%-8lld %-8s %-36s %-8s %8lld %6lld %-14s %s\n", (long long)t->id, t->kind,
	             t->resource_id, t->state, (long long)t->attempts, (long long)t->last_status,
	             t->error_class ? t->error_class : "-", t->last_error ? t->last_error : "");
}

static void print_time(const char *label, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	if (wall_us)
		(void)printf("%-16s %s\n", label, text);
}

static void print_text(const char *label, const char *text)
{
	if (text)
		(void)printf("%-16s %s\n", label, text);
}

static void print_uuid(const char *label, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(uuid, text);
	print_text(label, text);
}

static void print_whole(void *arg, const struct store_target *t)
{
	struct printer *p = arg;
	if (p->json) {
		print_row(arg, t);
		return;
	}
	(void)printf("%s%-16s %lld\n", p->count++ ? "\n" : "", "id", (long long)t->id);
	print_text("kind", t->kind);
	print_text("resource", t->resource_id);
	print_text("parent", t->parent_id);
	print_text("state", t->state);
	print_uuid("team", &t->team_id);
	print_uuid("function", &t->function_id);
	print_uuid("revision", &t->revision_id);
	print_time("created", t->created_at_us);
	print_time("released", t->released_at_us);
	print_text("release reason", t->release_reason);
	print_time("doomed", t->doomed_at_us);
	print_text("doom reason", t->doom_reason);
	print_time("first claimed", t->deleting_at_us);
	print_time("due", t->due_at_us);
	print_time("ended", t->ended_at_us);
	(void)printf("%-16s %lld\n", "attempts", (long long)t->attempts);
	if (t->last_status)
		(void)printf("%-16s %lld\n", "last status", (long long)t->last_status);
	print_text("error class", t->error_class);
	print_text("last error", t->last_error);
	print_text("leased by", t->lease_owner);
	print_text("evidence", t->evidence);
}

static int print_end(struct printer *p)
{
	if (p->json) {
		(void)json_dumpf(p->array, stdout, JSON_INDENT(2));
		(void)printf("\n");
	}
	json_decref(p->array);
	return p->count;
}

/* ---- reading the arguments ---- */

static int number(const char *name, const char *text, int64_t def, int64_t min, int64_t max,
                  int64_t *ret, struct err *err)
{
	*ret = def;
	if (text && num_i64(text, strlen(text), min, max, ret) < 0)
		return err_set(err, ERR_REJECT, "usage",
		               "--%s takes a whole number from %lld to %lld, not \"%s\"", name,
		               (long long)min, (long long)max, text);
	return 0;
}

static int uuid_arg(const char *name, const char *text, struct uuid *ret, struct err *err)
{
	if (text && uuid_parse(text, strlen(text), ret) < 0)
		return err_set(err, ERR_REJECT, "usage", "--%s takes a UUID, not \"%s\"", name, text);
	return 0;
}

static int one_of(const char *name, const char *text, const char *const *words, size_t count,
                  struct err *err)
{
	for (size_t i = 0; text && i < count; i++)
		if (strcmp(text, words[i]) == 0)
			return 0;
	if (!text)
		return 0;
	return err_set(err, ERR_REJECT, "usage", "--%s does not know \"%s\"", name, text);
}

static int read_filter(const struct args *a, struct store_target_filter *filter, struct err *err)
{
	static const char *const kinds[] = {"sandbox", "volume", "snapshot"};
	enum ledger_state state;
	if (a->state && ledger_state_parse(a->state, &state) < 0)
		return err_set(err, ERR_REJECT, "usage", "--state does not know \"%s\"", a->state);
	*filter = (struct store_target_filter){
	    .state = a->state, .kind = a->kind, .error_class = a->error_class};
	if (one_of("kind", a->kind, kinds, N_OF(kinds), err) < 0 ||
	    uuid_arg("team", a->team, &filter->team_id, err) < 0 ||
	    uuid_arg("function", a->function, &filter->function_id, err) < 0)
		return -1;
	return 0;
}

/* ---- the verbs ---- */

static int run_list(struct pg_sync *sync, const struct args *a, struct printer *p, struct err *err)
{
	struct store_target_filter filter;
	int64_t left;
	if (read_filter(a, &filter, err) < 0 ||
	    number("limit", a->limit, 100, 1, INT64_MAX, &left, err) < 0)
		return -1;
	int got;
	do {
		filter.max = left < LIST_PAGE ? left : LIST_PAGE;
		filter.after = p->last_id;
		got = store_target_list(sync, &filter, print_row, p, err);
		left -= got;
	} while (got == filter.max && left > 0);
	return got < 0 ? -1 : 0;
}

static int run_show(struct pg_sync *sync, const struct args *a, struct printer *p, struct err *err)
{
	int got = store_target_show(sync, a->operand, print_whole, p, err);
	if (got == 0)
		return err_set(err, ERR_REJECT, "unknown", "the ledger knows nothing of \"%s\"",
		               a->operand);
	return got < 0 ? -1 : 0;
}

static int run_refuse(struct pg_sync *sync, const struct args *a, struct err *err)
{
	int64_t id;
	bool done = false;
	if (num_i64(a->operand, strlen(a->operand), 1, INT64_MAX, &id) < 0)
		return err_set(err, ERR_REJECT, "usage",
		               "refuse takes the number that `targets list` shows");
	if (!a->why || !*a->why)
		return err_set(err, ERR_REJECT, "usage",
		               "refuse needs --why: it is what the next person reads");
	if (store_target_refuse(sync, id, a->why, cmd_actor(), &done, err) < 0)
		return -1;
	if (!done)
		return err_set(
		    err, ERR_REJECT, "state",
		    "row %lld cannot be refused: only doomed and dead rows can, and not while a worker "
		    "holds them",
		    (long long)id);
	(void)printf("row %lld is refused: it will not be deleted\n", (long long)id);
	return 0;
}

/* Waits until every canary is gone, one of them failed, or the time is up. */
static int watch_canary(struct pg_sync *sync, const int64_t *ids, int count, int64_t wait_s,
                        struct err *err)
{
	const struct clock *clock = clock_system();
	const struct timespec pause = {0, CANARY_POLL_MS * 1000000L};
	int64_t until_us = clock->mono_us(clock->arg) + wait_s * 1000000;
	struct store_target_outcomes seen;
	do {
		if (store_target_outcomes(sync, ids, count, &seen, err) < 0)
			return -1;
		if (seen.failed > 0)
			return err_set(
			    err, ERR_REJECT, "canary",
			    "%lld of the first %d failed again: nothing else was redriven; see `sandsweep "
			    "targets show`",
			    (long long)seen.failed, count);
		if (seen.gone == seen.total)
			return 0;
		(void)nanosleep(&pause, NULL);
	} while (clock->mono_us(clock->arg) < until_us);
	return err_set(
	    err, ERR_RETRY, "canary",
	    "%lld of the first %d are gone after %lld s: nothing else was redriven; is a worker "
	    "running?",
	    (long long)seen.gone, count, (long long)wait_s);
}

static int redrive(struct pg_sync *sync, const int64_t *ids, int count, int64_t rate,
                   int64_t canary, int64_t wait_s, struct err *err)
{
	int first = canary < count ? (int)canary : count;
	if (first > 0) {
		if (store_target_redrive(sync, ids, first, 0, cmd_actor(), err) < 0)
			return -1;
		(void)fprintf(stderr, "%d as a canary ...\n", first);
		if (watch_canary(sync, ids, first, wait_s, err) < 0)
			return -1;
	}
	int rest = 0;
	if (first < count)
		rest = store_target_redrive(sync, ids + first, count - first, 1000000 / rate, cmd_actor(),
		                            err);
	if (rest < 0)
		return -1;
	(void)printf("%d redriven: %d canaries are gone, %d are due over the next %lld s\n",
	             first + rest, first, rest, (long long)(rest / rate));
	return 0;
}

static int run_redrive(struct pg_sync *sync, const struct args *a, struct err *err)
{
	struct store_target_filter filter;
	int64_t rate, canary, wait_s, id = 0;
	if (read_filter(a, &filter, err) < 0 ||
	    number("rate", a->rate, 50, 1, 100000, &rate, err) < 0 ||
	    number("canary", a->canary, 3, 0, 1000, &canary, err) < 0 ||
	    number("wait", a->wait, 120, 1, 86400, &wait_s, err) < 0 ||
	    number("limit", a->limit, REDRIVE_MAX, 1, REDRIVE_MAX, &filter.max, err) < 0)
		return -1;
	filter.state = a->state ? a->state : "dead";
	if (strcmp(filter.state, "dead") != 0 && strcmp(filter.state, "refused") != 0)
		return err_set(err, ERR_REJECT, "usage", "only dead or refused rows can be redriven");
	if (a->operand && num_i64(a->operand, strlen(a->operand), 1, INT64_MAX, &id) < 0)
		return err_set(err, ERR_REJECT, "usage",
		               "redrive takes the number that `targets list` shows");
	if (!a->operand && !a->error_class && !a->team)
		return err_set(err, ERR_REJECT, "usage", "say which: a number, --class or --team");
	if (a->operand) {
		filter.ids = &id;
		filter.id_count = 1;
	}
	int64_t *ids = calloc((size_t)filter.max, sizeof(*ids));
	if (!ids)
		return err_oom(err);
	int count = store_target_pick(sync, &filter, ids, err);
	int rc = count < 0 ? -1 : 0;
	if (count == 0)
		rc = err_set(err, ERR_REJECT, "none", "no %s row fits", filter.state);
	else if (count > 0)
		rc = redrive(sync, ids, count, rate, canary, wait_s, err);
	free(ids);
	return rc;
}

static int run_verb(struct pg_sync *sync, const struct args *a, struct err *err)
{
	if (strcmp(a->verb, "redrive") == 0)
		return run_redrive(sync, a, err);
	if (strcmp(a->verb, "refuse") == 0)
		return run_refuse(sync, a, err);
	struct printer p = {.json = a->output && strcmp(a->output, "json") == 0};
	p.array = json_array();
	int rc = strcmp(a->verb, "list") == 0 ? run_list(sync, a, &p, err) : run_show(sync, a, &p, err);
	if (rc == 0 && print_end(&p) == 0 && !p.json)
		(void)fprintf(stderr, "no row fits\n");
	else if (rc < 0)
		json_decref(p.array);
	return rc;
}

/* Which verbs there are, and whether each takes an operand. */
static int check_verb(const struct args *a, int operands, struct err *err)
{
	static const struct {
		const char *verb;
		int min, max;
	} verbs[] = {{"list", 0, 0}, {"show", 1, 1}, {"redrive", 0, 1}, {"refuse", 1, 1}};
	static const char *const outputs[] = {"table", "json"};
	for (size_t i = 0; i < N_OF(verbs); i++)
		if (a->verb && strcmp(a->verb, verbs[i].verb) == 0 && operands - 1 >= verbs[i].min &&
		    operands - 1 <= verbs[i].max)
			return one_of("output", a->output, outputs, N_OF(outputs), err);
	return err_set(
	    err, ERR_REJECT, "usage",
	    "say `targets list`, `targets show ID`, `targets redrive [ID]` or `targets refuse ID`");
}

int cmd_targets(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct args a = {0};
	const struct cmd_opt opts[] = {
	    {"state", &a.state, NULL},       {"kind", &a.kind, NULL},
	    {"class", &a.error_class, NULL}, {"team", &a.team, NULL},
	    {"function", &a.function, NULL}, {"limit", &a.limit, NULL},
	    {"output", &a.output, NULL},     {"rate", &a.rate, NULL},
	    {"canary", &a.canary, NULL},     {"wait", &a.wait, NULL},
	    {"why", &a.why, NULL},
	};
	const char *operands[2] = {0};
	struct err err = {0};
	struct pg_config config;
	int n = cmd_options(argc, argv, opts, N_OF(opts), operands, 2, &err);
	a.verb = operands[0];
	a.operand = operands[1];
	if (n < 0 || check_verb(&a, n, &err) < 0 ||
	    pg_config_read(ctx->config, PG_ROLE_WORKER, &config, &err) < 0)
		return cmd_fail(ctx, &err);
	AUTO(pg_sync_close) struct pg_sync *sync = pg_sync_open(&config, &err);
	if (!sync || migrate_verify(sync, &err) < 0 || run_verb(sync, &a, &err) < 0)
		return cmd_fail(ctx, &err);
	return CMD_OK;
}
