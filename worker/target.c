#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	enum target_state from, to;
	const char *why;
} edges[] = {
    {TARGET_CLAIMED, TARGET_READY, "queued for its team"},
    {TARGET_READY, TARGET_SENT, "the budget allowed a call"},
    {TARGET_SENT, TARGET_READY, "the next step needs no waiting"},
    {TARGET_SENT, TARGET_RESTING, "the next step waits"},
    {TARGET_RESTING, TARGET_READY, "it has waited"},
    {TARGET_SENT, TARGET_DECIDED, "the answer decided, or we stop"},
    {TARGET_READY, TARGET_DECIDED, "the lease ends, or we stop"},
    {TARGET_RESTING, TARGET_DECIDED, "the lease ends, or we stop"},
};

bool target_edge_legal(enum target_state from, enum target_state to)
{
	for (size_t i = 0; i < N_OF(edges); i++)
		if (edges[i].from == from && edges[i].to == to)
			return true;
	return false;
}

void target_set_state(struct target *target, enum target_state to)
{
	if (!target_edge_legal(target->state, to)) {
		(void)fprintf(stderr, "bug: target goes from %d to %d\n", target->state, to);
		abort();
	}
	target->state = to;
}

static int parse_kind(const char *name, enum target_kind *ret)
{
	static const char *const names[] = {
	    [TARGET_SANDBOX] = "sandbox", [TARGET_VOLUME] = "volume", [TARGET_SNAPSHOT] = "snapshot"};
	for (size_t i = 0; i < N_OF(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum target_kind)i;
			return 0;
		}
	return -1;
}

struct target *target_new(const struct store_claimed *row, struct err *err)
{
	enum target_kind kind;
	if (parse_kind(row->kind, &kind) < 0) {
		(void)err_set(err, ERR_FATAL, "kind", "the ledger has a kind \"%s\" that is unknown here",
		              row->kind);
		return NULL;
	}
	size_t id_size = strlen(row->resource_id) + 1;
	size_t parent_size = row->parent_id ? strlen(row->parent_id) + 1 : 0;
	struct target *target = calloc(1, sizeof(*target) + id_size + parent_size);
	if (!target) {
		(void)err_oom(err);
		return NULL;
	}
	target->kind = kind;
	target->id = row->id;
	target->lease = row->lease;
	target->team_id = row->team_id;
	target->attempts = (int)row->attempts;
	target->resource_id = memcpy(target->text, row->resource_id, id_size);
	if (parent_size)
		target->parent_id = memcpy(target->text + id_size, row->parent_id, parent_size);
	(void)snprintf(target->traceparent, sizeof(target->traceparent), "%s", row->traceparent);
	return target;
}

void target_free(struct target *target)
{
	if (!target)
		return;
	free(target->error);
	free(target);
}

/* The platform's words go into a text column: plain ASCII, so that no byte of theirs can make the
 * database refuse a whole batch. */
static char *plain_copy(const char *text)
{
	char *copy = text && *text ? strdup(text) : NULL; /* without memory the text is left out */
	for (char *p = copy; p && *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	return copy;
}

void target_decide(struct target *target, enum store_outcome_kind kind, int64_t wait_ms, int status,
                   const char *error_class, const char *error)
{
	target_set_state(target, TARGET_DECIDED);
	free(target->error);
	target->error = plain_copy(error);
	target->outcome = (struct store_outcome){
	    .id = target->id,
	    .lease = target->lease,
	    .kind = kind,
	    .wait_ms = wait_ms,
	    .status = status,
	    .error_class = error_class,
	    .error = target->error,
	    .accepted = target->step != STEP_DELETE,
	};
}
