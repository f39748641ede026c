#include "prover.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asker.h"
#include "base/json.h"
#include "finding.h"
#include "platform/inventory.h"

enum { BATCH = 512, WHY_SIZE = 64, RESULTS_BYTES = 1 << 20 };

struct item;
typedef bool seen_fn(struct item *item, const struct platform_answer *answer);
static seen_fn sandbox_seen, volume_seen;

/* What can be looked at, and what each proof costs. */
static const struct {
	const char *kind;
	enum platform_op op;
	seen_fn *seen; /* of a 200; false when the answer is not about the one that was asked for */
} kinds[] = {
    {"sandbox", PLATFORM_SANDBOX_GET, sandbox_seen},
    {"volume", PLATFORM_VOLUME_GET, volume_seen},
};
static const struct {
	const char *proof;
	int looks; /* 404s that mean absent */
} proofs[] = {
    {"absent", 2},
    {"present", 1},
    {"owner", 1},
    {"maker", 1},
};

struct item {
	struct prover *prover;
	struct store_finding *finding; /* owned */
	struct ask ask;
	int kind, absent_looks; /* index in kinds; as in proofs */
	int absent, looks;      /* 404s seen; looks paid for */
	json_t *details;        /* owned */
	const char *seen;       /* NULL: not known yet */
	char why[WHY_SIZE];
};
struct prover {
	struct store_run *run;
	const struct reconcile_config *config;
	struct asker asker;
	int64_t budget;     /* looks that are not spent or promised */
	struct item *items; /* of this batch */
	int count, fed;     /* fed: how many were begun */
	int64_t done, last; /* findings of the run; the last one's id */
	const struct reconcile_watcher *watcher;
	struct prover_result *ret;
	struct err err; /* of a callback */
};

static void fail(struct prover *p, const struct err *err)
{
	if (p->err.kind == ERR_NONE)
		p->err = *err;
}

/* ---- what was seen ---- */

static void decide(struct item *item, const char *seen, const char *why)
{
	struct prover *p = item->prover;
	item->seen = seen;
	(void)snprintf(item->why, sizeof(item->why), "%s", why ? why : "");
	p->budget += item->absent_looks - item->looks; /* what was promised and not needed */
	p->done++;
	if (p->watcher && p->watcher->progress)
		p->watcher->progress(p->watcher->arg, "prove", p->done, 0);
}

static void unknown(struct item *item, const struct platform_answer *answer)
{
	char why[WHY_SIZE];
	if (answer->fault == PLATFORM_ANSWERED)
		(void)snprintf(why, sizeof(why), "http_%d", answer->status);
	else
		(void)snprintf(why, sizeof(why), "%s",
		               *answer->code ? answer->code : platform_fault_name(answer->fault));
	decide(item, "unknown", why);
}

static void note_look(struct item *item, const struct platform_answer *answer)
{
	json_t *look = json_object();
	json_put_time(look, "at", loop_wall_us(item->prover->asker.loop));
	if (answer->fault == PLATFORM_ANSWERED)
		json_put_i64(look, "status", answer->status);
	else
		json_put_text(look, "fault", platform_fault_name(answer->fault));
	(void)json_array_append_new(json_object_get(item->details, "looks"), look);
}

static void note_sandbox(struct item *item, const struct inventory_sandbox *sandbox)
{
	json_t *mounts = json_array();
	for (size_t i = 0; i < sandbox->mount_count; i++)
		(void)json_array_append_new(mounts, json_string(sandbox->mounts[i].volume_id));
	json_put_text(item->details, "state", sandbox->status);
	json_put_text(item->details, "template", sandbox->template_id);
	json_put_time(item->details, "created_at", sandbox->created_at_us);
	json_put_text(item->details, "marker", sandbox->marker);
	(void)json_object_set_new(item->details, "mounts", mounts);
}

static bool same_team(const struct item *item, const char *text)
{
	struct uuid team;
	return text && uuid_parse(text, strlen(text), &team) == 0 &&
	       uuid_equal(&team, &item->finding->team_id);
}

/* An answer that could not be read. */
static bool unread(struct item *item, const struct err *err)
{
	if (err->kind == ERR_REJECT)
		return false;
	decide(item, "unknown", "no_memory");
	return true;
}

static void there(struct item *item, const char *team_id)
{
	if (same_team(item, team_id))
		decide(item, "present", NULL);
	else
		decide(item, "unknown", "other_team");
}

static bool sandbox_seen(struct item *item, const struct platform_answer *answer)
{
	AUTO(inventory_sandbox_done) struct inventory_sandbox sandbox = {0};
	struct err err = {0};
	if (inventory_sandbox(answer->body, answer->body_len, &sandbox, &err) < 0)
		return unread(item, &err);
	if (strcmp(sandbox.id, item->finding->resource_id) != 0)
		return false;
	note_look(item, answer);
	note_sandbox(item, &sandbox);
	there(item, sandbox.team_id);
	return true;
}

static bool volume_seen(struct item *item, const struct platform_answer *answer)
{
	AUTO(inventory_volume_done) struct inventory_volume volume = {0};
	struct err err = {0};
	if (inventory_volume(answer->body, answer->body_len, &volume, &err) < 0)
		return unread(item, &err);
	if (strcmp(volume.id, item->finding->resource_id) != 0)
		return false;
	note_look(item, answer);
	json_put_text(item->details, "user", volume.user_id);
	json_put_time(item->details, "created_at", volume.created_at_us);
	there(item, volume.team_id);
	return true;
}

/* Absent once is a lagging cache, or any error of the platform's look-up. */
static void absent_seen(struct item *item, const struct platform_answer *answer)
{
	struct prover *p = item->prover;
	note_look(item, answer);
	if (++item->absent >= item->absent_looks) {
		decide(item, "absent", NULL);
		return;
	}
	item->looks++;
	p->ret->gets++;
	asker_put(&p->asker, &item->ask, p->config->confirm_ms * 1000);
}

static bool on_look(void *arg, const struct platform_answer *answer)
{
	struct item *item = arg;
	bool answered = answer->fault == PLATFORM_ANSWERED;
	/* platform/answer.c lets a 404 pass as ANSWERED only in the platform's own words. */
	if (answered && answer->status == 404) {
		absent_seen(item, answer);
		return true;
	}
	if (answered && answer->status < 300)
		return kinds[item->kind].seen(item, answer);
	note_look(item, answer);
	unknown(item, answer);
	return true;
}

/* ---- what to ask ---- */

static int kind_of(const char *word)
{
	for (size_t i = 0; i < N_OF(kinds); i++)
		if (strcmp(kinds[i].kind, word) == 0)
			return (int)i;
	return -1;
}

static int looks_of(const char *word)
{
	for (size_t i = 0; i < N_OF(proofs); i++)
		if (strcmp(proofs[i].proof, word) == 0)
			return proofs[i].looks;
	return -1;
}

static void begin_item(struct prover *p, struct item *item)
{
	const struct store_finding *finding = item->finding;
	item->kind = kind_of(finding->kind);
	item->absent_looks = looks_of(finding->proof);
	if (item->kind < 0 || item->absent_looks < 0) {
		item->absent_looks = 0;
		decide(item, "unknown", "no_look");
		return;
	}
	if (p->budget < item->absent_looks) {
		item->absent_looks = 0;
		p->ret->budget_spent = true;
		decide(item, "unknown", "get_budget");
		return;
	}
	p->budget -= item->absent_looks;
	p->ret->gets++;
	item->looks = 1;
	item->ask.request = (struct platform_request){
	    .op = kinds[item->kind].op,
	    .team_id = finding->team_id,
	    .id = finding->resource_id,
	    .traceparent = "",
	};
	item->ask.take = on_look;
	item->ask.arg = item;
	asker_put(&p->asker, &item->ask, 0);
}

static int feed(void *arg, struct err *err)
{
	struct prover *p = arg;
	(void)err;
	while (p->fed < p->count)
		begin_item(p, &p->items[p->fed++]);
	return 0;
}

/* ---- batches ---- */

static void add_item(void *arg, const struct store_finding *finding)
{
	struct prover *p = arg;
	struct err err = {0};
	struct item item = {.prover = p, .finding = finding_copy(finding, &err)};
	item.details = json_pack("{s:[]}", "looks");
	p->last = finding->id;
	if (item.finding && item.details) {
		p->items[p->count++] = item;
		return;
	}
	free(item.finding);
	json_decref(item.details);
	(void)err_oom(&err);
	fail(p, &err);
}

static void drop_items(struct prover *p)
{
	for (int i = 0; i < p->count; i++) {
		free(p->items[i].finding);
		json_decref(p->items[i].details);
	}
	p->count = p->fed = 0;
}

static int next_batch(struct prover *p, struct err *err)
{
	drop_items(p);
	int n = store_run_findings(p->run, "to_prove", p->last, BATCH, add_item, p, err);
	if (n >= 0 && p->err.kind != ERR_NONE) {
		*err = p->err;
		return -1;
	}
	p->ret->findings += n > 0 ? n : 0;
	return n;
}

/* Results gathered for one statement, bounded in number and in bytes: what a sandbox says of its mounts
 * is the platform's to choose. */
struct results {
	struct store_proof list[BATCH];
	char *texts[BATCH];
	int count;
	size_t bytes;
};

static int store_results(struct prover *p, struct results *results, struct err *err)
{
	int rc = results->count > 0 ? store_run_proofs(p->run, results->list, results->count, err) : 0;
	while (results->count > 0)
		free(results->texts[--results->count]);
	results->bytes = 0;
	return rc;
}

static int add_result(struct prover *p, struct results *results, const struct item *item,
                      struct err *err)
{
	char *details = json_text(item->details);
	if (!details)
		return err_oom(err);
	results->list[results->count] = (struct store_proof){
	    .finding = item->finding->id,
	    .seen = item->seen,
	    .why = *item->why ? item->why : NULL,
	    .details = details,
	};
	results->texts[results->count++] = details;
	results->bytes += strlen(details);
	return results->bytes < RESULTS_BYTES ? 0 : store_results(p, results, err);
}

static int store_batch(struct prover *p, struct err *err)
{
	struct results results = {.count = 0};
	int rc = 0;
	for (int i = 0; i < p->count && rc == 0; i++)
		rc = add_result(p, &results, &p->items[i], err);
	if (rc == 0)
		rc = store_results(p, &results, err);
	while (results.count > 0)
		free(results.texts[--results.count]);
	return rc;
}

static int prove_all(struct prover *p, const bool *stop, struct err *err)
{
	for (;;) {
		int n = next_batch(p, err);
		if (n <= 0)
			return n;
		if (asker_run(&p->asker, feed, p, stop, err) < 0 || store_batch(p, err) < 0)
			return -1;
	}
}

int prover_run(struct loop *loop, struct platform *platform, struct store_run *run,
               const struct reconcile_config *config, struct pacer *pacer, const bool *stop,
               const struct reconcile_watcher *watcher, struct prover_result *ret, struct err *err)
{
	struct prover p = {
	    .run = run, .config = config, .budget = config->gets_max, .watcher = watcher, .ret = ret};
	*ret = (struct prover_result){0};
	asker_init(&p.asker, loop, platform, pacer);
	p.items = calloc(BATCH, sizeof(*p.items));
	int rc = p.items ? prove_all(&p, stop, err) : err_oom(err);
	if (p.items)
		drop_items(&p);
	free(p.items);
	ret->retries = p.asker.retries;
	return rc;
}
