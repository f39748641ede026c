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
static const char no_revision[] = "function revision not found";

/* ---- looking ---- */

/* What a function has several of, as clients know it. */
struct part {
	const char *one, *all, *missing, *failed;
};
static const struct part revisions = {"revision", "revisions", no_revision,
                                      "failed to get function revisions"};
static const struct part aliases = {"alias", "aliases", "function alias not found",
                                    "failed to get function aliases"};

/* Answers with the rows: all, or the one that the path names. */
static void send_part(struct exchange *x, const struct part *part)
{
	struct reply reply;
	if (!*x->match.sub) {
		exchange_send_rows(x, part->all, "");
		return;
	}
	struct buf *body = exchange_data(x, &reply);
	(void)buf_printf(body, "\"%s\":", part->one);
	(void)buf_add(body, x->rows.data, x->rows.len);
	body->failed |= x->rows.failed;
	exchange_send(x, &reply, 200);
}

/* After the last row. */
static void finish(struct exchange *x, const struct part *part, bool found, const struct err *err)
{
	if (err)
		exchange_fail_store(x, err, part->failed);
	else if (!found)
		exchange_fail(x, 404, no_function);
	else if (*x->match.sub && x->row_count == 0)
		exchange_fail(x, 404, part->missing);
	else
		send_part(x, part);
}

static void on_revision(void *arg, const struct store_revision *revision, bool found,
                        const struct err *err)
{
	if (revision)
		function_json_revision(exchange_row(arg), revision);
	else
		finish(arg, &revisions, found, err);
}

void handle_revision_find(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	int64_t number = 0;
	const char *text = x->match.sub;
	if (*text && num_i64(text, strlen(text), 1, INT32_MAX, &number) < 0)
		exchange_fail(x, 400, "revision number must be greater than zero");
	else
		step_asked(x, store_revision_find(step_pool(x), &ref, number, on_revision, x, &err), &err,
		           revisions.failed);
}

static void on_alias(void *arg, const struct store_alias *alias, bool found, const struct err *err)
{
	struct exchange *x = arg;
	if (!alias) {
		finish(x, &aliases, found, err);
		return;
	}
	if (*x->match.sub)
		write_etag(x, alias->updated_at_us);
	function_json_alias(exchange_row(x), alias);
}

void handle_alias_find(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	const char *alias = *x->match.sub ? x->match.sub : NULL;
	step_asked(x, store_alias_find(step_pool(x), &ref, alias, on_alias, x, &err), &err,
	           aliases.failed);
}

/* ---- pointing an alias ---- */

static const char set_failed[] = "failed to set function alias";

static void finish_set(struct exchange *x, const struct store_alias *alias)
{
	on_alias(x, alias, true, NULL);
	finish(x, &aliases, true, NULL);
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
