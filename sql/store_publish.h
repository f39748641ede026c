/* What the HTTP front asks of Postgres about revisions, aliases and publishing. As store_api.h: no call
 * blocks, each answers once through its callback, results are borrowed during the callback. */
#ifndef SQL_STORE_PUBLISH_H
#define SQL_STORE_PUBLISH_H

#include "store_api.h"

/* ---- revisions ---- */

struct store_revision {
	struct uuid id, function_id, team_id, created_by /* nil: none */;
	int64_t revision_number;
	const char *source_type, *source_sandbox_id, *source_service_id, *source_template_id;
	/* JSON texts without any null in them; NULL: empty. */
	const char *restore_mounts, *service_snapshot, *revision_spec, *provenance;
	const char *runtime_sandbox_id, *runtime_context_id; /* NULL: none */
	int64_t runtime_updated_at_us /* 0: none */, created_at_us;
};
/* Called for every row in order, then once with `revision` NULL: the end, or an error. `found` false at the
 * end: there is no such function. */
typedef void store_revision_fn(void *arg, const struct store_revision *revision, bool found,
                               const struct err *err);
/* All of a function, newest first, or (number > 0) that one. */
int store_revision_find(struct pg_pool *pool, const struct store_ref *ref, int64_t number,
                        store_revision_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* ---- aliases ---- */

struct store_alias {
	struct uuid function_id, revision_id, updated_by /* nil: none */;
	const char *alias;
	int64_t revision_number, updated_at_us;
};
/* As store_revision_fn. */
typedef void store_alias_fn(void *arg, const struct store_alias *alias, bool found,
                            const struct err *err);
/* All of a function by name, or (alias not NULL) that one. */
int store_alias_find(struct pg_pool *pool, const struct store_ref *ref, const char *alias,
                     store_alias_fn *fn, void *arg, struct err *err) MUST_CHECK;

enum store_alias_outcome {
	STORE_ALIAS_SET,
	STORE_ALIAS_NO_FUNCTION,
	STORE_ALIAS_NO_REVISION,
	STORE_ALIAS_CHANGED, /* `match` does not hold */
	STORE_ALIAS_UNUSED,  /* of a replay: the key was not used */
};
/* `alias` is NULL but for STORE_ALIAS_SET; the outcome counts only with err NULL. */
typedef void store_alias_set_fn(void *arg, enum store_alias_outcome outcome,
                                const struct store_alias *alias, const struct err *err);
/* Points the alias at a revision, and with `production` the function: one transaction, with its audit row. */
int store_alias_set(struct pg_pool *pool, const struct store_ref *ref,
                    const struct store_actor *actor, const struct store_match *match,
                    const char *alias, int64_t number, store_alias_set_fn *fn, void *arg,
                    struct err *err) MUST_CHECK;
int store_alias_replay(struct pg_pool *pool, const struct uuid *team_id,
                       const struct store_actor *actor, store_alias_set_fn *fn, void *arg,
                       struct err *err) MUST_CHECK;

/* ---- publishing ----
 * begin, then for everything that the platform is asked to make a step before and after, then publish
 * or fail. What was made stands in the ledger from the step after it on; what a crash leaves is removed by
 * the reconciler. */

struct store_publish {
	struct uuid team_id, function_id, revision_id;
	struct uuid attempt_id; /* nil: the platform is asked for nothing */
	/* A new function: its name and autoscaling. NULL: one more revision of function_id. */
	const struct store_function_change *create;
	const char *slug, *domain_label; /* NULL without `create` */
	const char *revision;            /* JSON of its columns; for store_publish_end alone */
	bool promote;
};
/* `function_id` nil: there is no such function; `taken`: slug or label are somebody's. */
typedef void store_publish_begun_fn(void *arg, const struct uuid *function_id, bool taken,
                                    const struct err *err);
/* `ref` says which function gets the revision; NULL for a new one. */
int store_publish_begin(struct pg_pool *pool, const struct store_publish *publish,
                        const struct store_ref *ref, store_publish_begun_fn *fn, void *arg,
                        struct err *err) MUST_CHECK;

struct store_publish_step {
	int number;          /* of the step that is over; 0: none yet */
	const char *made;    /* what it made */
	const char *user_id; /* whom the platform calls its maker; NULL: it did not say */
	const char *kind;   /* "snapshot", "volume": what the next one will make; NULL: there is none */
	const char *parent; /* of this volume, from this snapshot */
};
/* `open` false: the publish took so long that it was given up, and its things are being deleted. */
typedef void store_publish_step_fn(void *arg, bool open, const struct err *err);
int store_publish_step(struct pg_pool *pool, const struct store_publish *publish,
                       const struct store_publish_step *step, store_publish_step_fn *fn, void *arg,
                       struct err *err) MUST_CHECK;

/* Everything that was made is doomed. `refused`: the step that is open is known to have made nothing. */
int store_publish_fail(struct pg_pool *pool, const struct store_publish *publish, bool refused,
                       void (*fn)(void *arg, const struct err *err), void *arg,
                       struct err *err) MUST_CHECK;

struct store_published {
	const char *outcome; /* "published", "taken", "missing"; what follows counts with the first */
	struct store_function function; /* id nil: not promoted */
	struct store_revision revision;
	struct store_alias alias; /* function_id nil: not promoted */
};
/* `published` NULL with err NULL, of a replay: the key was not used. */
typedef void store_published_fn(void *arg, const struct store_published *published,
                                const struct err *err);
int store_publish_end(struct pg_pool *pool, const struct store_publish *publish,
                      const struct store_actor *actor, store_published_fn *fn, void *arg,
                      struct err *err) MUST_CHECK;
int store_publish_replay(struct pg_pool *pool, const struct uuid *team_id,
                         const struct store_actor *actor, store_published_fn *fn, void *arg,
                         struct err *err) MUST_CHECK;

/* ---- what is being removed ---- */

/* A resource of the function, with what is true of the function on every row. */
struct store_cleanup {
	struct uuid function_id, revision_id;
	int64_t deleted_at_us;                             /* 0: not deleted */
	int64_t released, doomed, deleting, dead, refused; /* counts over all resources */
	const char *kind, *resource_id, *state; /* NULL: nothing is left; also what follows */
	const char *release_reason, *error_class, *last_error; /* NULL: none */
	int64_t attempts, last_status;
	int64_t released_at_us, doomed_at_us, next_attempt_at_us; /* 0: none */
};
/* Called for every row, then once with NULL: the end, or an error. No row at all: no such function. */
typedef void store_cleanup_fn(void *arg, const struct store_cleanup *row, const struct err *err);
/* The `max` that were released first. */
int store_cleanup_get(struct pg_pool *pool, const struct store_ref *ref, int64_t max,
                      store_cleanup_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* Forgets a portion of the answers that are older. */
int store_idempotency_expire(struct pg_pool *pool, int64_t age_ms, struct err *err) MUST_CHECK;

#endif
