#include "explain.h"

#include <string.h>

#include "base/clock.h"
#include "sql/ledger.h"

/* ---- words for words ---- */

struct word {
	const char *word, *text;
};

static const char *say(const struct word *words, size_t count, const char *word)
{
	for (size_t i = 0; word && i < count; i++)
		if (strcmp(word, words[i].word) == 0)
			return words[i].text;
	return word;
}

static const char *released_because(const char *reason)
{
	static const struct word words[] = {
	    {"function_deleted", "its function was deleted"},
	    {"function_disabled", "its function was disabled"},
	    {"recycled", "somebody recycled the runtime"},
	    {"restarted", "somebody restarted the runtime"},
	    {"replaced", "another sandbox took its place"},
	    {"unmapped", "its revision lets go of it"},
	    {"revision_removed", "its revision was removed"},
	    {"reconcile:unreleased", "a reconciliation found it still mapped, with nothing to serve"},
	    {"reconcile:stale_mapping", "a reconciliation found it mapped, but not live"},
	    {"reconcile:orphan_sandbox", "a reconciliation found it live and known to nobody"},
	    {"reconcile:orphan_volume", "a reconciliation found that no revision needs it"},
	    {"reconcile:orphan_snapshot", "a reconciliation found that no revision needs it"},
	};
	return reason ? say(words, N_OF(words), reason) : "for a reason that was not written down";
}

static const char *doomed_because(const char *reason)
{
	static const struct word words[] = {
	    {"event:runtime", "an event named it"},
	    {"event:function_deleted", "an event told that its function was deleted"},
	    {"event:function_disabled", "an event told that its function was disabled"},
	    {"redrive", "somebody asked for another try"},
	    {"reconcile:missed_event", "a reconciliation found that no event had come for it"},
	    {"reconcile:unreleased", "a reconciliation found it still mapped, with nothing to serve"},
	    {"reconcile:stale_mapping", "a reconciliation found it mapped, but not live"},
	    {"reconcile:ghost", "a reconciliation found that the platform has nothing of it"},
	    {"reconcile:resurrected", "a reconciliation saw it on the platform after it was gone"},
	    {"reconcile:stuck_lease", "a reconciliation found it left lying by a worker"},
	    {"reconcile:orphan_sandbox", "a reconciliation proved it ours and known to nobody"},
	    {"reconcile:orphan_volume", "a reconciliation found that no revision needs it"},
	    {"reconcile:orphan_snapshot", "a reconciliation found that no revision needs it"},
	};
	return reason ? say(words, N_OF(words), reason) : "for a reason that was not written down";
}

/* What the check before every delete would say. */
static const char *in_use_because(const char *word)
{
	static const struct word words[] = {
	    {"mapped", "a revision maps it"},
	    {"source_sandbox", "it is the sandbox that a revision was published from, which is the "
	                       "user's own"},
	    {"referenced", "a revision of a function that is not deleted mounts it"},
	    {"source_volume",
	     "it is a volume that a revision was published from, which is the user's own"},
	};
	return say(words, N_OF(words), word);
}

static void add_time(struct buf *out, int64_t wall_us)
{
	enum { TO_SECONDS = 19 };
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	(void)buf_add(out, text, TO_SECONDS);
	(void)buf_char(out, 'Z');
}

static void add_uuid(struct buf *out, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(uuid, text);
	(void)buf_str(out, text);
}

/* function "shop" (id; deleted at ...) */
static void add_function(struct buf *out, const char *slug, const struct uuid *id, bool enabled,
                         int64_t deleted_at_us)
{
	if (!slug) {
		(void)buf_str(out, "a function that is no longer there (");
		add_uuid(out, id);
		(void)buf_char(out, ')');
		return;
	}
	(void)buf_printf(out, "function \"%s\" (", slug);
	add_uuid(out, id);
	if (deleted_at_us > 0) {
		(void)buf_str(out, ", deleted at ");
		add_time(out, deleted_at_us);
	} else {
		(void)buf_str(out, enabled ? ", enabled" : ", disabled");
	}
	(void)buf_char(out, ')');
}

static void add_revision(struct buf *out, int64_t number, bool active)
{
	if (number > 0)
		(void)buf_printf(out, "revision %lld (%s) of ", (long long)number,
		                 active ? "the one that serves" : "not the one that serves");
	else
		(void)buf_str(out, "a revision that is not there, of ");
}

/* ---- a ledger row ---- */

static void add_identity(const struct store_owned *o, struct buf *out)
{
	(void)buf_printf(out, "%s %s is ours, number %lld in the ledger: ", o->kind, o->resource_id,
	                 (long long)o->id);
	(void)buf_str(out,
	              strcmp(o->kind, "sandbox") == 0 ? "a runtime of " : "made by the publish of ");
	add_revision(out, o->revision_number, o->active);
	add_function(out, o->slug, &o->function_id, o->enabled, o->function_deleted_at_us);
	(void)buf_str(out, ", team ");
	add_uuid(out, &o->team_id);
	if (o->parent_id)
		(void)buf_printf(out, ", of the volume %s", o->parent_id);
	(void)buf_char(out, '.');
}

static void add_release(const struct store_owned *o, struct buf *out)
{
	if (o->released_at_us == 0)
		return;
	(void)buf_str(out, " It was released at ");
	add_time(out, o->released_at_us);
	(void)buf_printf(out, ": %s.", released_because(o->release_reason));
}

static void add_doom(const struct store_owned *o, struct buf *out)
{
	(void)buf_str(out, " It was doomed at ");
	add_time(out, o->doomed_at_us);
	(void)buf_printf(out, ": %s", doomed_because(o->doom_reason));
	if (!uuid_is_nil(&o->event_id)) {
		(void)buf_str(out, " (event ");
		add_uuid(out, &o->event_id);
		(void)buf_char(out, ')');
	}
	(void)buf_char(out, '.');
}

static void add_attempts(const struct store_owned *o, struct buf *out)
{
	if (o->attempts == 0 && !o->error_class)
		return;
	(void)buf_printf(out, " Failed attempts so far: %lld", (long long)o->attempts);
	if (o->error_class)
		(void)buf_printf(out, "; the last trouble was %s", o->error_class);
	if (o->last_status > 0)
		(void)buf_printf(out, ", HTTP %lld", (long long)o->last_status);
	if (o->last_error)
		(void)buf_printf(out, " (%s)", o->last_error);
	(void)buf_char(out, '.');
}

/* What stands against deleting it, if anything does. */
static void add_objection(const struct store_owned *o, struct buf *out)
{
	if (o->in_use_because)
		(void)buf_printf(out, " As things are now the check before the delete would refuse it: %s.",
		                 in_use_because(o->in_use_because));
}

static void say_in_use(const struct store_owned *o, struct buf *out)
{
	bool serves = o->active && o->enabled && o->function_deleted_at_us == 0;
	if (o->in_use_because)
		(void)buf_printf(out, " It is in use: %s. Nothing deletes it while that is so.",
		                 in_use_because(o->in_use_because));
	if (o->in_use_because && strcmp(o->in_use_because, "mapped") == 0 && !serves)
		(void)buf_str(out,
		              " But it serves nobody: once its grace has passed, a reconciliation takes "
		              "the mapping from it (unreleased), and it is deleted.");
	if (!o->in_use_because)
		(void)buf_str(out, " The ledger has it as in use, but nothing names it: once its grace has "
		                   "passed, a reconciliation proves that and has it deleted.");
}

static void say_released(const struct store_owned *o, struct buf *out)
{
	add_release(o, out);
	(void)buf_str(out, " It will be deleted: by the event that tells of it, or, should none come, "
	                   "by a reconciliation (missed_event).");
	add_objection(o, out);
}

static void say_doomed(const struct store_owned *o, struct buf *out)
{
	add_release(o, out);
	add_doom(o, out);
	(void)buf_str(out, " It will be deleted: a worker takes it from ");
	add_time(out, o->due_at_us);
	(void)buf_str(out, " on.");
	add_attempts(o, out);
	add_objection(o, out);
}

static void say_deleting(const struct store_owned *o, struct buf *out)
{
	add_release(o, out);
	add_doom(o, out);
	(void)buf_printf(out, " It is being deleted by worker %s, whose lease ends at ",
	                 o->lease_owner ? o->lease_owner : "(unknown)");
	add_time(out, o->due_at_us);
	(void)buf_str(out, "; then it is anybody's again.");
	add_attempts(o, out);
}

static void say_gone(const struct store_owned *o, struct buf *out)
{
	add_release(o, out);
	add_doom(o, out);
	(void)buf_str(out, " It was deleted, and proved absent at ");
	add_time(out, o->ended_at_us);
	(void)buf_str(out, ". Should the platform show it again, a reconciliation dooms it anew "
	                   "(resurrected).");
}

static void say_dead(const struct store_owned *o, struct buf *out)
{
	add_release(o, out);
	add_doom(o, out);
	(void)buf_str(out, " It could not be deleted, and since ");
	add_time(out, o->ended_at_us);
	(void)buf_str(out, " nobody tries any more.");
	add_attempts(o, out);
	(void)buf_printf(out, " `sandsweep targets redrive %lld` tries again.", (long long)o->id);
	add_objection(o, out);
}

static void say_refused(const struct store_owned *o, struct buf *out)
{
	add_release(o, out);
	add_doom(o, out);
	(void)buf_str(out, " It was not deleted: refused at ");
	add_time(out, o->ended_at_us);
	(void)buf_printf(out, ", because %s",
	                 o->error_class ? in_use_because(o->error_class) : "somebody said so");
	if (o->last_error)
		(void)buf_printf(out, " (%s)", o->last_error);
	(void)buf_printf(out,
	                 ". `sandsweep targets redrive %lld --state refused` has it looked at again.",
	                 (long long)o->id);
	add_objection(o, out);
}

void explain_owned(const struct store_owned *o, struct buf *out)
{
	static void (*const sayings[LEDGER_STATE_COUNT])(const struct store_owned *, struct buf *) = {
	    [LEDGER_IN_USE] = say_in_use,   [LEDGER_RELEASED] = say_released,
	    [LEDGER_DOOMED] = say_doomed,   [LEDGER_DELETING] = say_deleting,
	    [LEDGER_GONE] = say_gone,       [LEDGER_DEAD] = say_dead,
	    [LEDGER_REFUSED] = say_refused,
	};
	enum ledger_state state;
	add_identity(o, out);
	if (ledger_state_parse(o->state, &state) == 0)
		sayings[state](o, out);
}

/* ---- what is not in the ledger ---- */

void explain_use(const struct store_use *u, struct buf *out)
{
	static const struct word roles[] = {
	    {"mapping", "mapped by"},
	    {"source_sandbox", "the sandbox that was published as"},
	    {"volume", "mounted by"},
	    {"source_volume", "the volume that was copied for"},
	    {"snapshot", "the snapshot between volume and copy of"},
	};
	(void)buf_printf(out, "%s ", say(roles, N_OF(roles), u->role));
	add_revision(out, u->revision_number, u->active);
	add_function(out, u->slug, &u->function_id, u->enabled, u->function_deleted_at_us);
	if (u->since_us > 0) {
		(void)buf_str(out, " since ");
		add_time(out, u->since_us);
	}
}

void explain_function(const struct store_function *f, struct buf *out)
{
	add_function(out, f->slug, &f->id, f->enabled, f->deleted_at_us);
	(void)buf_str(out, " of team ");
	add_uuid(out, &f->team_id);
	(void)buf_printf(out, " has %lld revisions; ", (long long)f->revisions);
	if (f->active_number > 0)
		(void)buf_printf(out, "revision %lld serves, ", (long long)f->active_number);
	else
		(void)buf_str(out, "none serves, ");
	if (f->sandbox_id && *f->sandbox_id)
		(void)buf_printf(out, "in sandbox %s.", f->sandbox_id);
	else
		(void)buf_str(out, "and no sandbox runs for it.");
	if (f->deleted_at_us > 0)
		(void)buf_str(out, " It is deleted: everything that is ours of it is deleted too.");
	else if (!f->enabled)
		(void)buf_str(out, " It is disabled: what still runs for it goes when its grace has "
		                   "passed; volumes and snapshots stay.");
}

void explain_unowned(const struct explain_unowned *k, struct buf *out)
{
	if (k->sources > 0)
		(void)buf_printf(out,
		                 "%s is the user's own: %d revisions were published from it. It is never "
		                 "deleted.",
		                 k->text, k->sources);
	else if (k->mappings > 0)
		(void)buf_printf(out,
		                 "%s is mapped, but the ledger has no row of it. It is never deleted "
		                 "while it is mapped.",
		                 k->text);
	else if (k->mounts > 0)
		(void)buf_printf(out,
		                 "%s is mounted by %d revisions, but was not made by a publish of ours: it "
		                 "is the user's own. It is never deleted.",
		                 k->text, k->mounts);
	else if (k->open_attempts > 0)
		(void)buf_printf(out,
		                 "%s belongs to a restore that is open. What it made is looked at by a "
		                 "reconciliation once its grace has passed (orphan_sandbox), and deleted "
		                 "only if the platform's answer proves that it is of this restore.",
		                 k->text);
	else if (k->closed_attempts > 0)
		(void)buf_printf(out, "%s belongs to a restore that is over.", k->text);
	else if (k->findings > 0) {
		(void)buf_printf(out, "%s, live in team ", k->text);
		add_uuid(out, &k->team_id);
		(void)buf_str(
		    out,
		    k->proved
		        ? ", is in no row of the ledger; but a reconciliation proved it ours. The next "
		          "that repairs takes it into the ledger, and it is deleted."
		        : ", was seen by a reconciliation, and nothing proves that it is ours. It is "
		          "not touched.");
	} else
		(void)buf_printf(out,
		                 "Nothing here knows %s: no row of the ledger, no revision, no restore, no "
		                 "function. If it is on the platform it is somebody else's, and is never "
		                 "touched.",
		                 k->text);
}
