/* A store of the tests' own, in place of the one in Postgres: the linker takes a test's functions before
 * the library's. */
#ifndef TESTS_UNIT_RECONCILE_STORE_FIXTURE_H
#define TESTS_UNIT_RECONCILE_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/macros.h"
#include "platform/inventory.h"
#include "platform/platform.h"
#include "reconcile/reconcile.h"

enum {
	THINGS_MAX = 1024,
	BODY_MAX_BYTES = 1 << 20,
	TEAMS_MAX = 8,
	FINDINGS_MAX = 1100,
	BLASTS = 1100,
	SHORT_MS = 2
};

/* ---- the platform ---- */

struct thing {
	char id[48], cluster[16];          /* "": none is told */
	const char *marker, *mount, *user; /* user: of a volume */
	bool gone;
	int not_found; /* so many looks still answer 404 */
};
struct fake;
/* What a call is answered, where `hook` says so by returning true. */
struct reply {
	struct platform_answer answer;
	struct buf *body;
};
typedef bool hook_fn(struct fake *f, const struct platform_request *request, int call,
                     struct reply *reply);

struct fake {
	struct loop *loop;
	struct platform *platform;
	struct thing sandboxes[THINGS_MAX], volumes[THINGS_MAX];
	int sandbox_count, volume_count;
	hook_fn *hook;
	int calls, in_flight, in_flight_most; /* call: counted from 1, in the order of asking */
	int gets, lists, cancelled;
	int64_t asked_at_us[4096]; /* of each call */
	/* the store */
	int team_count, teams_given;
	bool some_sandboxes, some_volumes, copying;
	char (*rows)[48];
	int user_rows;  /* of user u-1 */
	int again_rows; /* that may have been shown before */
	int row_count, row_max;
	int full_rows; /* so many make the session full; 0: it never is */
	int held_rows, waits;
	struct store_listing listings[TEAMS_MAX * 2];
	int listing_count, copies;
	struct store_finding findings[FINDINGS_MAX];
	int finding_count;
	struct {
		int64_t finding;
		char seen[16], why[64], details[512];
	} proofs[FINDINGS_MAX];
	int proof_count;
	const char *fails; /* the store function that fails, by its name without store_run_ */
	char trace[1024];  /* what was asked of the store */
	struct store_run_begun begun;
	struct store_blast blasts[BLASTS];
	int blast_count;
	const char *results[16]; /* that acts will have, by number of finding */
	int acts;
	char outcome[32];
	bool finished, closed;
	struct store_run_opts opts;
};
static struct fake *fake; /* the one of the test that runs */

/* ---- the store ---- */

struct store_run {
	int unused;
};

static inline int asked(const char *what, struct err *err)
{
	size_t len = strlen(fake->trace);
	/* Only what a run's order is about; pages of the same thing count once. */
	char word[40];
	(void)snprintf(word, sizeof(word), "%s ", what);
	if (len < strlen(word) || strcmp(fake->trace + len - strlen(word), word) != 0)
		(void)snprintf(fake->trace + len, sizeof(fake->trace) - len, "%s", word);
	/* While rows are copied the session has no ear for anything else. */
	assert_true(!fake->copying || strncmp(what, "copy", 4) == 0);
	if (fake->fails && strcmp(fake->fails, what) == 0)
		return err_set(err, ERR_RETRY, "08006", "the connection broke in %s", what);
	return 0;
}

struct store_run *store_run_begin(const struct pg_config *config, const struct store_run_opts *opts,
                                  struct store_run_begun *ret, struct err *err)
{
	(void)config;
	if (asked("begin", err) < 0)
		return NULL;
	fake->opts = *opts;
	*ret = fake->begun;
	return calloc(1, sizeof(struct store_run));
}

void store_run_close(struct store_run **run)
{
	fake->closed = true;
	free(TAKE(*run));
}

int store_run_teams(struct store_run *run, const struct uuid *after, int max,
                    void (*fn)(void *arg, const struct uuid *team, bool sandboxes, bool volumes),
                    void *arg, struct err *err)
{
	(void)run;
	int n = 0;
	if (asked("teams", err) < 0)
		return -1;
	for (int i = after->bytes[0]; i < fake->team_count && n < max; i++, n++) {
		const struct uuid team = {.bytes = {(uint8_t)(i + 1)}};
		fn(arg, &team, fake->some_sandboxes, fake->some_volumes);
	}
	return n;
}

int store_run_copy_begin(struct store_run *run, struct err *err)
{
	(void)run;
	if (asked("copy", err) < 0)
		return -1;
	fake->copying = true;
	fake->copies++;
	return 0;
}

int store_run_copy_row(struct store_run *run, const struct store_seen *row, struct err *err)
{
	(void)run;
	assert_true(fake->copying);
	if (fake->fails && strcmp(fake->fails, "copy_row") == 0)
		return err_set(err, ERR_RETRY, "08006", "the connection broke in copy_row");
	if (fake->row_count == fake->row_max) {
		fake->row_max = fake->row_max ? fake->row_max * 2 : 64;
		fake->rows = realloc(fake->rows, (size_t)fake->row_max * sizeof(*fake->rows));
		assert_non_null(fake->rows);
	}
	(void)snprintf(fake->rows[fake->row_count++], sizeof(*fake->rows), "%s", row->id);
	fake->user_rows += row->user_id && strcmp(row->user_id, "u-1") == 0;
	fake->again_rows += row->again;
	fake->held_rows++;
	return 0;
}

bool store_run_copy_full(const struct store_run *run)
{
	(void)run;
	return fake->full_rows > 0 && fake->held_rows >= fake->full_rows;
}

int store_run_copy_wait(struct store_run *run, struct err *err)
{
	(void)run;
	assert_int_equal(fake->in_flight, 0);
	fake->held_rows = 0;
	fake->waits++;
	return asked("copy_wait", err);
}

int store_run_copy_end(struct store_run *run, struct err *err)
{
	(void)run;
	assert_true(fake->copying);
	fake->copying = false;
	return asked("copy_end", err);
}

int store_run_listings(struct store_run *run, const struct store_listing *listings, int count,
                       struct err *err)
{
	(void)run;
	for (int i = 0; i < count; i++) {
		assert_true(fake->listing_count < (int)N_OF(fake->listings));
		fake->listings[fake->listing_count++] = listings[i];
	}
	return asked("listings", err);
}

int store_run_listed(struct store_run *run,
                     void (*fn)(void *arg, const struct store_listing *listing), void *arg,
                     struct err *err)
{
	(void)run;
	for (int i = 0; i < fake->listing_count; i++)
		if (!fake->listings[i].complete)
			fn(arg, &fake->listings[i]);
	return asked("listed", err);
}

int store_run_find_ahead(struct store_run *run, const char *class_name, int64_t grace_ms,
                         struct err *err)
{
	(void)run;
	(void)class_name;
	(void)grace_ms;
	return asked("ahead", err);
}

int store_run_find(struct store_run *run, const char *class_name, int64_t grace_ms,
                   int64_t *ret_found, struct err *err)
{
	(void)run;
	(void)grace_ms;
	*ret_found = 0;
	if (asked("find", err) < 0)
		return -1;
	return asked(class_name, err);
}

static inline bool is_word(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

int store_run_findings(struct store_run *run, const char *what, int64_t after, int max,
                       store_finding_fn *fn, void *arg, struct err *err)
{
	(void)run;
	int n = 0;
	if (asked(what, err) < 0)
		return -1;
	for (int i = 0; i < fake->finding_count && n < max; i++) {
		const struct store_finding *finding = &fake->findings[i];
		if (finding->id <= after || (is_word(what, "to_prove") && finding->verdict))
			continue;
		fn(arg, finding);
		n++;
	}
	return n;
}

int store_run_proofs(struct store_run *run, const struct store_proof *proofs, int count,
                     struct err *err)
{
	(void)run;
	for (int i = 0; i < count; i++) {
		int at = fake->proof_count++;
		struct store_finding *finding = &fake->findings[proofs[i].finding - 1];
		assert_true(at < FINDINGS_MAX);
		fake->proofs[at].finding = proofs[i].finding;
		(void)snprintf(fake->proofs[at].seen, 16, "%s", proofs[i].seen);
		(void)snprintf(fake->proofs[at].why, 64, "%s", proofs[i].why ? proofs[i].why : "");
		(void)snprintf(fake->proofs[at].details, 512, "%s", proofs[i].details);
		finding->verdict = is_word(proofs[i].seen, "unknown")        ? "unproved"
		                   : is_word(proofs[i].seen, finding->proof) ? "proved"
		                                                             : "disproved";
	}
	return asked("proofs", err);
}

int store_run_blast(struct store_run *run, int max,
                    void (*fn)(void *arg, const struct store_blast *blast), void *arg,
                    struct err *err)
{
	(void)run;
	for (int i = 0; i < fake->blast_count && i <= max; i++)
		fn(arg, &fake->blasts[i]);
	return asked("blast", err);
}

int store_run_act(struct store_run *run, int64_t after, int max, int64_t *ret_last, struct err *err)
{
	(void)run;
	int n = 0;
	for (int i = 0; i < fake->finding_count && n < max; i++) {
		struct store_finding *finding = &fake->findings[i];
		if (finding->id <= after || !is_word(finding->verdict, "proved") ||
		    is_word(finding->action, "note"))
			continue;
		const char *result = i < (int)N_OF(fake->results) ? fake->results[i] : NULL;
		finding->result = result ? result : "done";
		fake->acts++;
		*ret_last = finding->id;
		n++;
	}
	return asked("act", err) < 0 ? -1 : n;
}

int store_run_load(struct store_run *run, const struct store_finding *findings, int count,
                   struct err *err)
{
	(void)run;
	(void)findings;
	(void)count;
	return asked("load", err);
}

int store_run_pipeline(struct store_run *run, int64_t grace_ms, struct store_pipeline *ret,
                       struct err *err)
{
	(void)run;
	(void)grace_ms;
	*ret = (struct store_pipeline){.dead = 7};
	return asked("pipeline", err);
}

int store_run_finish(struct store_run *run, const struct store_run_summary *summary,
                     struct err *err)
{
	(void)run;
	(void)snprintf(fake->outcome, sizeof(fake->outcome), "%s", summary->outcome);
	fake->finished = true;
	return asked("finish", err);
}

/* ---- a test's own ---- */

static inline void fake_open(void)
{
	fake = calloc(1, sizeof(*fake));
	assert_non_null(fake);
	fake->loop = loop_new(clock_system(), NULL);
	assert_non_null(fake->loop);
	fake->begun = (struct store_run_begun){.acquired = true, .run_id = 5, .term = 9};
}

static inline void fake_close(void)
{
	loop_free(fake->loop);
	free(fake->rows);
	free(fake);
	fake = NULL;
}

static inline void add_things(struct thing *things, int *count, const char *prefix, int n)
{
	for (int i = 0; i < n; i++) {
		assert_true(*count < THINGS_MAX);
		struct thing *thing = &things[(*count)++];
		(void)snprintf(thing->id, sizeof(thing->id), "%s-%d", prefix, *count);
	}
}

static inline struct reconcile_config usual_config(void)
{
	struct reconcile_config config = {
	    .mode = "repair",
	    .shard = "default",
	    .page_rows = 10,
	    .pages_in_flight = 4,
	    .call_attempts = 3,
	    .backoff_base_ms = 1,
	    .backoff_cap_ms = SHORT_MS,
	    .gets_max = 2000,
	    .confirm_ms = SHORT_MS,
	    .max_acts = 500,
	    .max_acts_team = 100,
	    .max_share = 10,
	    .max_share_team = 50,
	    .min_acts = 10,
	};
	for (int i = 0; i < CLASS_COUNT; i++)
		config.enabled[i] = true;
	return config;
}

#endif
