/* Functions: list, get, update, delete, and what is still to be removed of one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/killpoint.h"
#include "cursor.h"
#include "function_json.h"
#include "function_update.h"
#include "handlers.h"
#include "step.h"

enum { CLEANUP_RESOURCES_MAX = 200 };

/* ---- list ---- */

static const char list_failed[] = "failed to list functions";

static void on_list_row(void *arg, const struct store_function *function, const struct err *err)
{
	struct exchange *x = arg;
	if (function)
		function_json(exchange_row(x), function, step_host_suffix(x));
	else if (err)
		exchange_fail_store(x, err, list_failed);
	else
		exchange_send_rows(x, "functions", "");
}

/* One row more than was asked for is asked for: whether there is a next page shows by it. */
static void on_page_row(void *arg, const struct store_function *function, const struct err *err)
{
	struct exchange *x = arg;
	struct cursor *page = x->work;
	char more[CURSOR_SIZE + 32] = "";
	if (function && x->row_count < (size_t)page->limit) {
		page->last =
		    (struct store_page){.created_at_us = function->created_at_us, .id = function->id};
		on_list_row(x, function, NULL);
	} else if (function) {
		page->more = true;
	} else if (err) {
		exchange_fail_store(x, err, list_failed);
	} else {
		char text[CURSOR_SIZE];
		cursor_format(&page->last, text);
		if (page->more)
			(void)snprintf(more, sizeof(more), ",\"next_cursor\":\"%s\"", text);
		exchange_send_rows(x, "functions", more);
	}
}

static void list_page(struct exchange *x, const char *limit, const char *cursor)
{
	struct err err = {0};
	struct store_page page;
	struct cursor *state = cursor_new(limit, cursor, &page, &err);
	if (!state) {
		exchange_fail(x, err.kind == ERR_REJECT ? 400 : 500, err.text);
		return;
	}
	x->work = state;
	x->work_free = cursor_free;
	page.limit = state->limit + 1;
	int taken = store_function_page(step_pool(x), &x->team_id, &page, on_page_row, x, &err);
	step_asked(x, taken, &err, list_failed);
}

void handle_function_list(struct exchange *x)
{
	const char *limit = http_req_query(x->http, "limit");
	const char *cursor = http_req_query(x->http, "cursor");
	struct err err = {0};
	if (limit || cursor)
		list_page(x, limit, cursor);
	else
		step_asked(x, store_function_list(step_pool(x), &x->team_id, on_list_row, x, &err), &err,
		           list_failed);
}

/* ---- one function ---- */

/* The common end of everything that answers one function; `more` is written after it. */
static void finish_function(struct exchange *x, const struct store_function *function,
                            const char *more)
{
	struct reply reply;
	write_etag(x, function->updated_at_us);
	struct buf *body = exchange_data(x, &reply);
	(void)buf_str(body, "\"function\":");
	function_json(body, function, step_host_suffix(x));
	(void)buf_str(body, more);
	exchange_send(x, &reply, 200);
}

static const char not_found[] = "function not found";

static void on_got(void *arg, const struct store_function *function, const struct err *err)
{
	if (err)
		exchange_fail_store(arg, err, "failed to get function");
	else if (!function)
		exchange_fail(arg, 404, not_found);
	else
		finish_function(arg, function, "");
}

void handle_function_get(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	step_asked(x, store_function_get(step_pool(x), &ref, on_got, x, &err), &err,
	           "failed to get function");
}

/* ---- changing one ---- */

/* It was not changed: because it is not there, or because its version is another. */
static void on_looked_again(void *arg, const struct store_function *function, const struct err *err)
{
	if (err)
		exchange_fail_store(arg, err, "failed to get function");
	else if (function)
		exchange_fail(arg, 412, "the function has changed");
	else
		exchange_fail(arg, 404, not_found);
}

static void fail_change(struct exchange *x, const struct err *err, const char *failure)
{
	bool taken = err && strcmp(err->code, "23505") == 0;
	if (err && !taken) {
		exchange_fail_store(x, err, failure);
	} else if (x->write.match.given) {
		struct err why = {0};
		struct store_ref ref = step_ref(x);
		int asked = store_function_get(step_pool(x), &ref, on_looked_again, x, &why);
		step_asked(x, asked, &why, failure);
	} else if (!write_beaten(x, taken ? 500 : 404, taken ? failure : not_found)) {
		exchange_fail(x, taken ? 500 : 404, taken ? failure : not_found);
	}
}

static const char update_failed[] = "failed to update function";

static void on_updated(void *arg, const struct store_function *function, const struct err *err)
{
	step_wrote(arg, function && !function->enabled, err);
	if (function)
		finish_function(arg, function, "");
	else
		fail_change(arg, err, update_failed);
}

static void update(struct exchange *x)
{
	AUTO(json_drop) json_t *json = NULL;
	struct store_function_change change;
	struct err err = {0};
	size_t len;
	const char *text = http_req_body(x->http, &len);
	if (function_update_decode(text, len, &json, &change, &err) < 0) {
		char message[sizeof(err.text) + 32];
		(void)snprintf(message, sizeof(message), "invalid request: %s", err.text);
		exchange_fail(x, err.kind == ERR_REJECT ? 400 : 500,
		              err.kind == ERR_REJECT ? message : err.text);
		return;
	}
	struct store_ref ref = step_ref(x);
	struct store_actor actor = step_actor(x);
	killpoint("api.received");
	int taken = store_function_update(step_pool(x), &ref, &actor, &x->write.match, &change,
	                                  on_updated, x, &err);
	step_asked(x, taken, &err, update_failed);
}

static void on_update_replayed(void *arg, const struct store_function *function,
                               const struct err *err)
{
	if (!function) {
		write_not_kept(arg, err, update_failed);
		return;
	}
	write_replayed(arg);
	finish_function(arg, function, "");
}

static void replay_update(struct exchange *x)
{
	struct err err = {0};
	struct store_actor actor = step_actor(x);
	int taken =
	    store_function_replay(step_pool(x), &x->team_id, &actor, on_update_replayed, x, &err);
	step_asked(x, taken, &err, update_failed);
}

void handle_function_update(struct exchange *x)
{
	write_begin(x, replay_update, update);
}

static const char delete_failed[] = "failed to delete function";
static const char deleted_message[] = ",\"message\":\"function deleted\"";

static void on_deleted(void *arg, const struct store_function *function, const struct err *err)
{
	step_wrote(arg, function, err);
	if (function)
		finish_function(arg, function, deleted_message);
	else
		fail_change(arg, err, delete_failed);
}

static void delete (struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	struct store_actor actor = step_actor(x);
	killpoint("api.received");
	int taken =
	    store_function_delete(step_pool(x), &ref, &actor, &x->write.match, on_deleted, x, &err);
	step_asked(x, taken, &err, delete_failed);
}

static void on_delete_replayed(void *arg, const struct store_function *function,
                               const struct err *err)
{
	if (!function) {
		write_not_kept(arg, err, delete_failed);
		return;
	}
	write_replayed(arg);
	finish_function(arg, function, deleted_message);
}

static void replay_delete(struct exchange *x)
{
	struct err err = {0};
	struct store_actor actor = step_actor(x);
	int taken =
	    store_function_replay(step_pool(x), &x->team_id, &actor, on_delete_replayed, x, &err);
	step_asked(x, taken, &err, delete_failed);
}

void handle_function_delete(struct exchange *x)
{
	write_begin(x, replay_delete, delete);
}

/* ---- what is still to be removed ---- */

static const char cleanup_failed[] = "failed to get function cleanup";

static void on_cleanup_row(void *arg, const struct store_cleanup *row, const struct err *err)
{
	struct exchange *x = arg;
	if (row) {
		if (x->rows.len == 0)
			function_json_cleanup(&x->rows, row);
		if (row->kind)
			function_json_resource(exchange_row(x), row);
	} else if (err) {
		exchange_fail_store(x, err, cleanup_failed);
	} else if (x->rows.len == 0) {
		exchange_fail(x, 404, not_found);
	} else {
		struct reply reply;
		struct buf *body = exchange_data(x, &reply);
		(void)buf_str(body, "\"cleanup\":");
		(void)buf_add(body, x->rows.data, x->rows.len);
		(void)buf_str(body, "]}");
		body->failed |= x->rows.failed;
		exchange_send(x, &reply, 200);
	}
}

void handle_function_cleanup(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	int taken =
	    store_cleanup_get(step_pool(x), &ref, CLEANUP_RESOURCES_MAX, on_cleanup_row, x, &err);
	step_asked(x, taken, &err, cleanup_failed);
}
