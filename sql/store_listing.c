#include "store_run_private.h"

#include <string.h>

#include "base/macros.h"
#include "copy.h"

/* Each class has its diff. Those that ask nothing about what was listed may run while it comes in. */
static const struct class_diff {
	const char *name;
	enum query_id query;
	bool of_listing;
	const char *parts[2]; /* of a long diff, which runs as two */
} classes[] = {
    {"unreleased", QUERY_RECONCILE_FIND_UNRELEASED, false, {"mapped", "unmapped"}},
    {"missed_event", QUERY_RECONCILE_FIND_MISSED_EVENT, false, {NULL}},
    {"stale_mapping", QUERY_RECONCILE_FIND_STALE_MAPPING, true, {NULL}},
    {"ghost", QUERY_RECONCILE_FIND_GHOST, true, {NULL}},
    {"resurrected", QUERY_RECONCILE_FIND_RESURRECTED, true, {NULL}},
    {"stuck_lease", QUERY_RECONCILE_FIND_STUCK_LEASE, false, {NULL}},
    {"orphan_sandbox", QUERY_RECONCILE_FIND_ORPHAN_SANDBOX, true, {NULL}},
    {"orphan_volume", QUERY_RECONCILE_FIND_ORPHAN_VOLUME, true, {NULL}},
    {"orphan_snapshot", QUERY_RECONCILE_FIND_ORPHAN_SNAPSHOT, false, {NULL}},
};
_Static_assert(N_OF(classes) == STORE_CLASSES, "every class has its diff");

struct team_row {
	struct uuid team_id;
	bool sandboxes, volumes;
};
static const struct row_col team_cols[] = {
    COL(team_row, team_id, ROW_UUID),
    COL(team_row, sandboxes, ROW_BOOL),
    COL(team_row, volumes, ROW_BOOL),
};
static const struct row_shape team_shape = SHAPE(team_cols, team_row);

static const struct row_col listing_cols[] = {
    COL(store_listing, team_id, ROW_UUID),  COL(store_listing, kind, ROW_TEXT),
    COL(store_listing, complete, ROW_BOOL), COL(store_listing, reason, ROW_TEXT),
    COL(store_listing, rows, ROW_I64),      COL(store_listing, pages, ROW_I64),
};
static const struct row_shape listing_shape = SHAPE(listing_cols, store_listing);

static const struct row_col found_cols[] = {
    {"found", ROW_I64, offsetof(struct number_row, number)}};
static const struct row_shape found_shape = SHAPE(found_cols, number_row);

/* ---- listing ---- */

int store_run_teams(struct store_run *run, const struct uuid *after, int max,
                    void (*fn)(void *arg, const struct uuid *team, bool sandboxes, bool volumes),
                    void *arg, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct team_row row;
	if (!run->gathered &&
	    (pg_sync_run(run->sync, QUERY_RECONCILE_ANALYZE_TABLES, NULL, NULL, err) < 0 ||
	     pg_sync_run(run->sync, QUERY_RECONCILE_GATHER, NULL, NULL, err) < 0))
		return -1;
	run->gathered = true;
	pg_params_init(&params);
	pg_param_uuid(&params, after);
	pg_param_i64(&params, max);
	int count = store_ask(run->sync, QUERY_RECONCILE_TEAMS, &params, &team_shape, &res, err);
	for (int i = 0; i < count; i++) {
		row_get(res, &team_shape, i, &row);
		fn(arg, &row.team_id, row.sandboxes, row.volumes);
	}
	return count;
}

static bool is_done(const struct store_run *run, const struct diff *diff)
{
	return diff->parts_done == (classes[diff - run->diffs].parts[0] ? 2 : 1);
}

static int diff_send(struct store_run *run, struct diff *diff, struct err *err)
{
	const struct class_diff *class = &classes[diff - run->diffs];
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	pg_param_i64(&params, diff->grace_ms);
	if (class->parts[0])
		pg_param_text(&params, class->parts[diff->parts_done]);
	if (pg_sync_send(run->sync, class->query, &params, err) < 0)
		return -1;
	run->diffing = diff;
	run->copied = false;
	return 0;
}

static int diff_receive(struct store_run *run, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct diff *diff = run->diffing;
	struct number_row row = {0};
	run->diffing = NULL;
	if (!diff)
		return 0;
	if (pg_sync_receive(run->sync, &res, err) < 0 ||
	    store_one_row(res, classes[diff - run->diffs].query, &found_shape, &row, err) < 0)
		return -1;
	diff->parts_done++;
	diff->found += row.number;
	return 0;
}

/* The next part of a diff that is wanted while rows come in; NULL: none. */
static struct diff *next_diff(struct store_run *run)
{
	for (size_t i = 0; i < N_OF(classes); i++)
		if (run->diffs[i].wanted && !is_done(run, &run->diffs[i]))
			return &run->diffs[i];
	return NULL;
}

static int write_rows(struct store_run *run, struct err *err)
{
	if (run->rows.failed)
		return err_set(err, ERR_REJECT, "copy", "a listed row is larger than %d bytes",
		               STORE_ROW_BYTES_MAX);
	int rc = pg_sync_copy(run->sync, QUERY_RECONCILE_COPY, &run->rows, err);
	buf_clear(&run->rows);
	run->copied = true;
	return rc;
}

/* What is gathered and the parts of diffs take turns on the session. */
static int take_turn(struct store_run *run, struct err *err)
{
	if (run->diffing && run->rows.len < STORE_ROWS_HELD_BYTES && pg_sync_busy(run->sync))
		return 0;
	if (diff_receive(run, err) < 0)
		return -1;
	struct diff *next = run->copied ? next_diff(run) : NULL;
	return next ? diff_send(run, next, err) : write_rows(run, err);
}

int store_run_copy_begin(struct store_run *run, struct err *err)
{
	struct diff *next = next_diff(run);
	buf_clear(&run->rows);
	if (pg_sync_copied(run->sync, err) < 0)
		return -1;
	return next ? diff_send(run, next, err) : 0;
}

bool store_run_copy_full(const struct store_run *run)
{
	return run->rows.len >= STORE_ROWS_FULL_BYTES;
}

int store_run_copy_wait(struct store_run *run, struct err *err)
{
	return diff_receive(run, err) < 0 ? -1 : write_rows(run, err);
}

int store_run_copy_row(struct store_run *run, const struct store_seen *row, struct err *err)
{
	struct buf *rows = &run->rows;
	size_t before = rows->len;
	copy_text(rows, row->kind);
	copy_uuid(rows, &row->team_id);
	copy_text(rows, row->id);
	copy_text(rows, row->template_id);
	copy_text(rows, row->source_volume_id);
	copy_text(rows, row->user_id);
	copy_text(rows, row->status);
	copy_time(rows, row->created_at_us);
	copy_text(rows, row->again ? "t" : "f");
	copy_row_end(rows);
	run->chunk += rows->len - before;
	if (!rows->failed && run->chunk < STORE_ROWS_CHUNK_BYTES)
		return 0;
	run->chunk = 0;
	return take_turn(run, err);
}

int store_run_copy_end(struct store_run *run, struct err *err)
{
	if (diff_receive(run, err) < 0 ||
	    ((run->rows.failed || run->rows.len > 0) && write_rows(run, err) < 0))
		return -1;
	return pg_sync_copied(run->sync, err);
}

int store_run_listings(struct store_run *run, const struct store_listing *listings, int count,
                       struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	ARRAY(&params, store_item_uuid, listings, count, team_id);
	ARRAY(&params, pg_item_text, listings, count, kind);
	ARRAY(&params, pg_item_bool, listings, count, complete);
	ARRAY(&params, pg_item_text, listings, count, reason);
	ARRAY(&params, pg_item_i64, listings, count, rows);
	ARRAY(&params, pg_item_i64, listings, count, pages);
	return pg_sync_run(run->sync, QUERY_RECONCILE_LISTINGS, &params, NULL, err);
}

int store_run_listed(struct store_run *run,
                     void (*fn)(void *arg, const struct store_listing *listing), void *arg,
                     struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct store_listing row;
	if (pg_sync_run(run->sync, QUERY_RECONCILE_ANALYZE, NULL, NULL, err) < 0)
		return -1;
	int count = store_ask(run->sync, QUERY_RECONCILE_LISTED, NULL, &listing_shape, &res, err);
	for (int i = 0; i < count; i++) {
		row_get(res, &listing_shape, i, &row);
		fn(arg, &row);
	}
	return count < 0 ? -1 : 0;
}

/* ---- finding ---- */

static struct diff *find_diff(struct store_run *run, const char *class_name, struct err *err)
{
	for (size_t i = 0; i < N_OF(classes); i++)
		if (strcmp(classes[i].name, class_name) == 0)
			return &run->diffs[i];
	(void)err_set(err, ERR_REJECT, "unknown", "there is no class %s", class_name);
	return NULL;
}

int store_run_find_ahead(struct store_run *run, const char *class_name, int64_t grace_ms,
                         struct err *err)
{
	struct diff *diff = find_diff(run, class_name, err);
	if (!diff)
		return -1;
	diff->wanted = !classes[diff - run->diffs].of_listing;
	diff->grace_ms = grace_ms;
	return 0;
}

int store_run_find(struct store_run *run, const char *class_name, int64_t grace_ms,
                   int64_t *ret_found, struct err *err)
{
	struct diff *diff = find_diff(run, class_name, err);
	if (!diff)
		return -1;
	diff->grace_ms = grace_ms;
	while (!is_done(run, diff))
		if (diff_send(run, diff, err) < 0 || diff_receive(run, err) < 0)
			return -1;
	*ret_found = diff->found;
	return 0;
}
