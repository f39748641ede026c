/* Revisions and the aliases that name them. Publishing is in publish.c. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/killpoint.h"
#include "base/num.h"
#include "function_json.h"
#include "handlers.h"
#include "naming.h"
#include "step.h"

static const char no_function[] = "function not found";

/* Answers one row, which x->rows holds, or 404. */
static void finish_one(struct exchange *x, const char *name, bool found, const char *missing)
{
	struct reply reply;
	if (!found || x->row_count == 0) {
		exchange_fail(x, 404, found ? missing : no_function);
		return;
	}
	struct buf *body = exchange_data(x, &reply);
	(void)buf_printf(body, "\"%s\":", name);
	(void)buf_add(body, x->rows.data, x->rows.len);
	body->failed |= x->rows.failed;
	exchange_send(x, &reply, 200);
}

static void finish_list(struct exchange *x, const char *name, bool found)
{
	if (found)
		exchange_send_rows(x, name, "");
	else
		exchange_fail(x, 404, no_function);
}

/* ---- revisions ---- */

static const char revision_failed[] = "failed to get function revisions";
static const char no_revision[] = "function revision not found";

static void on_revision_list(void *arg, const struct store_revision *revision, bool found,
                             const struct err *err)
{
	struct exchange *x = arg;
	if (revision)
		function_json_revision(exchange_row(x), revision);
	else if (err)
		exchange_fail_store(x, err, revision_failed);
	else
		finish_list(x, "revisions", found);
}

void handle_revision_list(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	step_asked(x, store_revision_find(step_pool(x), &ref, 0, on_revision_list, x, &err), &err,
	           revision_failed);
}

static void on_revision(void *arg, const struct store_revision *revision, bool found,
                        const struct err *err)
{
	struct exchange *x = arg;
	if (revision)
		function_json_revision(exchange_row(x), revision);
	else if (err)
		exchange_fail_store(x, err, revision_failed);
	else
		finish_one(x, "revision", found, no_revision);
}

void handle_revision_get(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	int64_t number;
	if (num_i64(x->match.sub, strlen(x->match.sub), 1, INT32_MAX, &number) < 0)
		exchange_fail(x, 400, "revision number must be greater than zero");
	else
		step_asked(x, store_revision_find(step_pool(x), &ref, number, on_revision, x, &err), &err,
		           revision_failed);
}

/* ---- aliases ---- */

static const char alias_failed[] = "failed to get function aliases";

static void on_alias_list(void *arg, const struct store_alias *alias, bool found,
                          const struct err *err)
{
	struct exchange *x = arg;
	if (alias)
		function_json_alias(exchange_row(x), alias);
	else if (err)
		exchange_fail_store(x, err, alias_failed);
	else
		finish_list(x, "aliases", found);
}

void handle_alias_list(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	step_asked(x, store_alias_find(step_pool(x), &ref, NULL, on_alias_list, x, &err), &err,
	           alias_failed);
}

static void on_alias(void *arg, const struct store_alias *alias, bool found, const struct err *err)
{
	struct exchange *x = arg;
	if (alias) {
		write_etag(x, alias->updated_at_us);
		function_json_alias(exchange_row(x), alias);
	} else if (err) {
		exchange_fail_store(x, err, alias_failed);
	} else {
		finish_one(x, "alias", found, "function alias not found");
	}
}

void handle_alias_get(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	step_asked(x, store_alias_find(step_pool(x), &ref, x->match.sub, on_alias, x, &err), &err,
	           alias_failed);
}

/* ---- pointing one ---- */

static const char set_failed[] = "failed to set function alias";

static void finish_set(struct exchange *x, const struct store_alias *alias)
{
	write_etag(x, alias->updated_at_us);
	function_json_alias(exchange_row(x), alias);
	finish_one(x, "alias", true, "");
}

static void on_set(void *arg, enum store_alias_outcome outcome, const struct store_alias *alias,
                   const struct err *err)
{
	struct exchange *x = arg;
	killpoint("api.committed");
	bool taken = err && strcmp(err->code, "23505") == 0;
	if (alias)
		finish_set(x, alias);
	else if (taken && write_beaten(x, 500, set_failed))
		return;
	else if (err)
		exchange_fail_store(x, err, set_failed);
	else if (outcome == STORE_ALIAS_CHANGED)
		exchange_fail(x, 412, "the alias has changed");
	else
		exchange_fail(x, 404, outcome == STORE_ALIAS_NO_REVISION ? no_revision : no_function);
}

struct set_body {
	int64_t revision_number;
};
static const struct json_field set_fields[] = {
    {"revision_number", JSON_KIND_I64, offsetof(struct set_body, revision_number), JSON_REQUIRED,
     INT64_MIN, INT64_MAX},
};

/* 0, or -1 and the exchange is answered. */
static int read_set_body(struct exchange *x, int64_t *ret_number)
{
	struct set_body body;
	struct err err = {0};
	size_t len;
	const char *text = http_req_body(x->http, &len);
	AUTO(json_drop) json_t *json = json_parse(text, len, &err);
	if (!json || json_decode(json, set_fields, N_OF(set_fields), &body, &err) < 0) {
		char message[sizeof(err.text) + 32];
		(void)snprintf(message, sizeof(message), "invalid request: %s", err.text);
		exchange_fail(x, err.kind == ERR_REJECT ? 400 : 500, message);
		return -1;
	}
	if (body.revision_number <= 0) {
		exchange_fail(x, 400, "revision_number must be greater than zero");
		return -1;
	}
	*ret_number = body.revision_number;
	return 0;
}

static void set(struct exchange *x)
{
	struct err err = {0};
	int64_t number;
	if (read_set_body(x, &number) < 0)
		return;
	if (number > INT32_MAX) {
		exchange_fail(x, 404, no_revision);
		return;
	}
	struct store_ref ref = step_ref(x);
	struct store_actor actor = step_actor(x);
	killpoint("api.received");
	int taken = store_alias_set(step_pool(x), &ref, &actor, &x->write.match, x->match.sub, number,
	                            on_set, x, &err);
	step_asked(x, taken, &err, set_failed);
}

static void on_set_replayed(void *arg, enum store_alias_outcome outcome,
                            const struct store_alias *alias, const struct err *err)
{
	(void)outcome;
	if (!alias) {
		write_not_kept(arg, err, set_failed);
		return;
	}
	write_replayed(arg);
	finish_set(arg, alias);
}

static void replay_set(struct exchange *x)
{
	struct err err = {0};
	struct store_actor actor = step_actor(x);
	int taken = store_alias_replay(step_pool(x), &x->team_id, &actor, on_set_replayed, x, &err);
	step_asked(x, taken, &err, set_failed);
}

void handle_alias_set(struct exchange *x)
{
	if (naming_is_label(x->match.sub))
		write_begin(x, replay_set, set);
	else
		exchange_fail(x, 400, "alias must be a DNS label");
}
