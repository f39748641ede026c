#include "lister.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "asker.h"
#include "completeness.h"
#include "platform/inventory.h"
#include "screen.h"

enum {
	BATCH_TEAMS =
	    1024,       /* in memory at once; between two batches the pipe to the platform runs dry */
	ERRORS_MAX = 3, /* pages of one listing that may fail before the rest is not asked for */
};

enum kind { KIND_SANDBOX, KIND_VOLUME, KIND_COUNT };
static const struct {
	const char *name;
	enum platform_op op;
	int (*parse)(const char *body, size_t len, struct inventory_page *ret, struct err *err);
} kinds[KIND_COUNT] = {
    [KIND_SANDBOX] = {"sandbox", PLATFORM_SANDBOX_LIST, inventory_sandboxes},
    [KIND_VOLUME] = {"volume", PLATFORM_VOLUME_LIST, inventory_volumes},
};

struct team {
	struct uuid id;
	bool some[KIND_COUNT]; /* something of that kind should be there */
};

/* A listing that is going on. */
struct listing {
	bool open;
	const struct team *team;
	enum kind kind;
	struct listing_check check;
	int64_t next_offset; /* of the page to ask for next */
	int asked;           /* pages that were asked for and have not come */
	int errors;
	bool ended;      /* nothing more is asked: an empty page, or too many errors */
	bool more;       /* the page at the end says that more follows */
	bool past_asked; /* and that was looked at */
	bool again_asked;
};

/* A page that is asked for. */
struct page {
	bool used, again;
	struct ask ask;
	struct lister *lister;
	struct listing *listing;
	int64_t offset;
};

struct lister {
	struct store_run *run;
	const struct reconcile_config *config;
	const struct reconcile_watcher *watcher;
	struct asker asker;
	struct team *teams; /* of this batch */
	int team_count;
	int64_t teams_total, teams_before; /* of the run, when somebody watches; of earlier batches */
	int next;                          /* the next listing to begin: team * KIND_COUNT + kind */
	struct page *pages;
	struct listing *listings;
	int slots, turn; /* of either; the listing that may ask next */
	struct store_listing *results;
	int result_count;
	struct screen *screen; /* of every id that was shown */
	struct lister_result *ret;
	struct err err; /* of a callback */
};

static void fail(struct lister *l, const struct err *err)
{
	if (l->err.kind == ERR_NONE)
		l->err = *err;
}

/* ---- the end of a listing ---- */

static void progress(const struct lister *l)
{
	if (l->watcher && l->watcher->progress)
		l->watcher->progress(l->watcher->arg, "list",
		                     l->teams_before + l->result_count / KIND_COUNT, l->teams_total);
}

static void finish(struct lister *l, struct listing *listing)
{
	enum completeness verdict = listing_check_verdict(&listing->check);
	bool complete = verdict == LISTING_COMPLETE;
	l->results[l->result_count++] = (struct store_listing){
	    .team_id = listing->team->id,
	    .kind = kinds[listing->kind].name,
	    .complete = complete,
	    .reason = complete ? NULL : completeness_name(verdict),
	    .rows = listing->check.rows,
	    .pages = listing->check.pages,
	};
	listing->open = false;
	l->ret->listings++;
	progress(l);
}

/* ---- a page ---- */

/* Of a thing of that kind and team. */
static uint64_t thing_hash(const struct listing *listing, const char *id)
{
	uint64_t team;
	memcpy(&team, listing->team->id.bytes, sizeof(team));
	return listing_hash(LISTING_HASH_SEED ^ team ^ (uint64_t)listing->kind, id);
}

static int copy_row(struct lister *l, struct listing *listing, const struct inventory_item *item,
                    struct err *err)
{
	const struct store_seen row = {
	    .kind = kinds[listing->kind].name,
	    .team_id = listing->team->id,
	    .id = item->id,
	    .template_id = item->template_id,
	    .source_volume_id = item->source_volume_id,
	    .user_id = item->user_id,
	    .status = item->status,
	    .created_at_us = item->created_at_us,
	    .again = screen_again(l->screen, thing_hash(listing, item->id)),
	};
	if (listing->kind == KIND_SANDBOX)
		listing_check_cluster(&listing->check, item->cluster_id);
	l->ret->rows++;
	return store_run_copy_row(l->run, &row, err);
}

/* A second look only compares: its rows were copied, or are news that came too late. */
static int read_rows(struct page *page, const struct inventory_page *rows, uint64_t *ret_hash,
                     struct err *err)
{
	uint64_t hash = LISTING_HASH_SEED;
	for (size_t i = 0; i < rows->count; i++) {
		struct inventory_item item;
		inventory_item(rows, i, &item);
		hash = listing_hash(hash, item.id);
		if (!page->again && copy_row(page->lister, page->listing, &item, err) < 0)
			return -1;
	}
	*ret_hash = hash;
	return 0;
}

static void judge(struct page *page, const struct listing_page_facts *facts)
{
	struct listing *listing = page->listing;
	page->lister->ret->pages++;
	if (page->again) {
		listing_check_again(&listing->check, facts);
		return;
	}
	listing_check_page(&listing->check, facts);
	listing->ended |= facts->rows == 0;
	if (facts->offset + facts->rows >= listing->check.total)
		listing->more |= facts->has_more;
}

static void page_failed(struct listing *listing)
{
	listing_check_error(&listing->check);
	listing->ended |= ++listing->errors >= ERRORS_MAX || !listing->check.first_seen;
}

/* False when the body is not of the contract's form. */
static bool page_came(struct page *page, const struct platform_answer *answer)
{
	AUTO(inventory_page_done) struct inventory_page rows = {0};
	struct listing_page_facts facts = {.offset = page->offset};
	struct err err = {0};
	if (kinds[page->listing->kind].parse(answer->body, answer->body_len, &rows, &err) < 0) {
		if (err.kind == ERR_REJECT)
			return false;
		fail(page->lister, &err);
		return true;
	}
	if (read_rows(page, &rows, &facts.hash, &err) < 0) {
		fail(page->lister, &err);
		return true;
	}
	facts.rows = (int64_t)rows.count;
	facts.total = rows.total;
	facts.has_more = rows.has_more;
	judge(page, &facts);
	return true;
}

static bool on_page(void *arg, const struct platform_answer *answer)
{
	struct page *page = arg;
	bool good = answer->fault == PLATFORM_ANSWERED && answer->status < 300;
	if (page->lister->err.kind != ERR_NONE) /* the run ends */
		good = false;
	else if (good && !page_came(page, answer))
		return false;
	if (!good)
		page_failed(page->listing);
	page->used = false;
	page->listing->asked--;
	return true;
}

/* ---- what to ask ---- */

struct wish {
	int64_t offset;
	bool again;
};

/* The next page that a listing wants, if it wants one now. */
static bool wants(const struct listing *listing, struct wish *ret)
{
	const struct listing_check *check = &listing->check;
	*ret = (struct wish){.offset = listing->next_offset};
	if (listing->next_offset == 0)
		return true;
	if (!check->first_seen)
		return false;
	if (!listing->ended && listing->next_offset < check->total)
		return true;
	if (listing->asked > 0)
		return false;
	if (check->verdict != LISTING_COMPLETE) /* no second look makes it better */
		return false;
	*ret = (struct wish){.offset = check->total};
	if (listing->more && !listing->past_asked)
		return true;
	*ret = (struct wish){.again = true};
	return !listing->again_asked;
}

static void ask_page(struct lister *l, struct page *page, struct listing *listing,
                     const struct wish *wish)
{
	const struct listing_check *check = &listing->check;
	*page = (struct page){.used = true, .lister = l, .listing = listing};
	page->again = wish->again;
	page->offset = wish->offset;
	page->ask.request = (struct platform_request){
	    .op = kinds[listing->kind].op,
	    .team_id = listing->team->id,
	    .traceparent = "",
	    .limit = l->config->page_rows,
	    .offset = wish->offset,
	};
	page->ask.take = on_page;
	page->ask.arg = page;
	if (wish->again)
		listing->again_asked = true;
	else if (check->first_seen && wish->offset >= check->total)
		listing->past_asked = true;
	else if (listing->kind == KIND_VOLUME) /* unpaged: there is only this one */
		listing->next_offset = INT64_MAX;
	else
		listing->next_offset = wish->offset + l->config->page_rows;
	listing->asked++;
	asker_put(&l->asker, &page->ask, 0);
}

/* A page that some listing wants, each having its turn. */
static struct listing *next_wish(struct lister *l, struct wish *ret)
{
	for (int i = 0; i < l->slots; i++) {
		struct listing *listing = &l->listings[l->turn++ % l->slots];
		l->turn %= l->slots;
		if (listing->open && wants(listing, ret))
			return listing;
	}
	return NULL;
}

static void begin_listings(struct lister *l)
{
	for (int i = 0; i < l->slots && l->next < l->team_count * KIND_COUNT; i++) {
		struct listing *listing = &l->listings[i];
		if (listing->open)
			continue;
		const struct team *team = &l->teams[l->next / KIND_COUNT];
		enum kind kind = (enum kind)(l->next++ % KIND_COUNT);
		*listing = (struct listing){.open = true, .team = team, .kind = kind};
		listing_check_init(&listing->check, l->config->page_rows, team->some[kind]);
	}
}

static void end_listings(struct lister *l)
{
	struct wish wish;
	for (int i = 0; i < l->slots; i++)
		if (l->listings[i].open && l->listings[i].asked == 0 && !wants(&l->listings[i], &wish))
			finish(l, &l->listings[i]);
}

/* More listings than free pages may be open, but none without a page that it wants. */
static int feed(void *arg, struct err *err)
{
	struct lister *l = arg;
	struct listing *listing;
	struct wish wish;
	if (l->err.kind != ERR_NONE) {
		*err = l->err;
		return -1;
	}
	end_listings(l);
	begin_listings(l);
	if (store_run_copy_full(l->run)) {
		if (!asker_idle(&l->asker))
			return 0;
		if (store_run_copy_wait(l->run, err) < 0)
			return -1;
	}
	for (int i = 0; i < l->slots; i++) {
		if (l->pages[i].used)
			continue;
		listing = next_wish(l, &wish);
		if (!listing)
			break;
		ask_page(l, &l->pages[i], listing, &wish);
	}
	return 0;
}

/* ---- batches of teams ---- */

static void add_team(void *arg, const struct uuid *team, bool sandboxes, bool volumes)
{
	struct lister *l = arg;
	l->teams[l->team_count++] = (struct team){*team, {sandboxes, volumes}};
}

static int next_batch(struct lister *l, struct err *err)
{
	struct uuid after = {0};
	if (l->team_count > 0)
		after = l->teams[l->team_count - 1].id;
	l->teams_before += l->team_count;
	l->team_count = l->next = l->result_count = 0;
	return store_run_teams(l->run, &after, BATCH_TEAMS, add_team, l, err);
}

/* Only somebody who watches asks how many there are. */
static int count_teams(struct lister *l, struct err *err)
{
	int n = l->watcher && l->watcher->progress ? 1 : 0;
	while (n > 0) {
		n = next_batch(l, err);
		l->teams_total = l->teams_before + l->team_count;
	}
	l->teams_before = l->team_count = 0;
	return n;
}

static int list_batch(struct lister *l, const bool *stop, struct err *err)
{
	if (store_run_copy_begin(l->run, err) < 0 || asker_run(&l->asker, feed, l, stop, err) < 0 ||
	    store_run_copy_end(l->run, err) < 0 ||
	    store_run_listings(l->run, l->results, l->result_count, err) < 0)
		return -1;
	l->ret->teams += l->team_count;
	return 0;
}

static int list_all(struct lister *l, const bool *stop, struct err *err)
{
	if (count_teams(l, err) < 0)
		return -1;
	for (;;) {
		int n = next_batch(l, err);
		if (n <= 0)
			return n;
		if (list_batch(l, stop, err) < 0)
			return -1;
	}
}

static int make_room(struct lister *l, struct err *err)
{
	l->slots = (int)l->config->pages_in_flight;
	l->pages = calloc((size_t)l->slots, sizeof(*l->pages));
	l->listings = calloc((size_t)l->slots, sizeof(*l->listings));
	l->teams = calloc(BATCH_TEAMS, sizeof(*l->teams));
	l->results = calloc((size_t)BATCH_TEAMS * KIND_COUNT, sizeof(*l->results));
	l->screen = screen_new();
	return l->pages && l->listings && l->teams && l->results && l->screen ? 0 : err_oom(err);
}

int lister_run(struct loop *loop, struct platform *platform, struct store_run *run,
               const struct reconcile_config *config, struct pacer *pacer, const bool *stop,
               const struct reconcile_watcher *watcher, struct lister_result *ret, struct err *err)
{
	struct lister l = {.run = run, .config = config, .watcher = watcher, .ret = ret};
	*ret = (struct lister_result){0};
	asker_init(&l.asker, loop, platform, pacer);
	int rc = make_room(&l, err);
	if (rc == 0)
		rc = list_all(&l, stop, err);
	ret->retries = l.asker.retries;
	free(l.pages);
	free(l.listings);
	free(l.teams);
	free(l.results);
	screen_free(l.screen);
	return rc;
}
