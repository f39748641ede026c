/* What the HTTP front asks of Postgres. Every call is one statement, never blocks and answers once
 * through its callback; a call that returns -1 never does. Results are borrowed during the callback.
 * Errors: as pg_done_fn. Every statement carries the team and sees no other team's rows (S4). */
#ifndef SQL_STORE_API_H
#define SQL_STORE_API_H

#include "base/hash.h"
#include "pg.h"

/* The numbers of an autoscaling as they are stored, which another program may have done: any text. NULL: none. */
struct store_autoscaling {
	const char *min_warm, *max_active, *target_concurrency, *scale_down_after_seconds;
};

/* A function as docs/api.md describes it. Texts are borrowed. */
struct store_function {
	struct uuid id, team_id, active_revision_id /* nil: none */, created_by /* nil: none */;
	const char *name, *slug, *domain_label;
	bool enabled;
	int64_t created_at_us, updated_at_us, deleted_at_us /* 0: not deleted */;
	struct store_autoscaling autoscaling;
};

/* The runtime of the active revision. */
struct store_runtime {
	struct uuid function_id, revision_id /* nil: the function has no active revision */;
	int64_t revision_number;
	bool enabled;
	const char *sandbox_id, *context_id; /* NULL: none */
	int64_t runtime_updated_at_us;       /* 0: none */
	struct uuid team_id;
	int64_t
	    mapped_at_us; /* since when the ledger has the sandbox; 0: it does not, or is not asked */
	const char *recent_events; /* a JSON array; NULL: none, or not asked for */
	struct store_autoscaling autoscaling;
};

/* `function` is NULL with err NULL: there is none for this team (404). */
typedef void store_function_fn(void *arg, const struct store_function *function,
                               const struct err *err);
typedef void store_runtime_fn(void *arg, const struct store_runtime *runtime,
                              const struct err *err);
/* Called for every row in order, then once with function NULL: the end, or an error. */
typedef void store_function_list_fn(void *arg, const struct store_function *function,
                                    const struct err *err);

/* Which function of which team: `text` is the {id} of the path, percent-decoded; it matches the id
 * when it reads as a UUID, and the slug in any case. */
struct store_ref {
	struct uuid team_id;
	const char *text;
};
/* Who asks, for audit and events. */
struct store_actor {
	struct uuid principal; /* docs/api.md, "Keys"; never nil */
	const char *request_id;
	const char *traceparent; /* the request's own span */
	/* NULL: none. The answer is kept under it, with a digest of the request, in the same
	 * transaction; a key that was used meanwhile makes the write fail with ERR_REJECT "23505". */
	const char *idempotency_key, *fingerprint;
};
/* Of which version a thing must be to be changed: the microseconds of its updated_at. */
enum { STORE_VERSIONS_MAX = 16 };
struct store_match {
	bool given;  /* otherwise any will do */
	bool exists; /* any will do, but it must be there */
	int64_t versions[STORE_VERSIONS_MAX];
	size_t count;
};
/* What PUT may change; absent: NULL or has_* false. */
struct store_function_change {
	const char *name;
	bool has_enabled, enabled;
	bool has_autoscaling;
	int64_t min_warm, max_active, target_concurrency, scale_down_after_seconds;
};

/* All of a team, last updated first. */
int store_function_list(struct pg_pool *pool, const struct uuid *team_id,
                        store_function_list_fn *fn, void *arg, struct err *err) MUST_CHECK;
/* The `limit` that come after this one (created_at_us 0: from the beginning), newest created first. */
struct store_page {
	int64_t created_at_us;
	struct uuid id;
	int64_t limit;
};
int store_function_page(struct pg_pool *pool, const struct uuid *team_id,
                        const struct store_page *page, store_function_list_fn *fn, void *arg,
                        struct err *err) MUST_CHECK;
int store_function_get(struct pg_pool *pool, const struct store_ref *ref, store_function_fn *fn,
                       void *arg, struct err *err) MUST_CHECK;
/* Changes, releases the runtimes when it disables, writes audit and outbox rows: one statement. A `match`
 * that does not hold finds no function. */
int store_function_update(struct pg_pool *pool, const struct store_ref *ref,
                          const struct store_actor *actor, const struct store_match *match,
                          const struct store_function_change *change, store_function_fn *fn,
                          void *arg, struct err *err) MUST_CHECK;
/* Soft delete: releases everything of every revision, writes audit and outbox rows: one statement. */
int store_function_delete(struct pg_pool *pool, const struct store_ref *ref,
                          const struct store_actor *actor, const struct store_match *match,
                          store_function_fn *fn, void *arg, struct err *err) MUST_CHECK;
enum { STORE_RUNTIME_EVENTS_MAX = 20 };
int store_runtime_get(struct pg_pool *pool, const struct store_ref *ref, store_runtime_fn *fn,
                      void *arg, struct err *err) MUST_CHECK;
/* Clears the mapping of the active revision, releases its sandbox, writes audit and outbox rows: one statement.
 * The runtime that is given back is the one after clearing. */
enum store_clear { STORE_RECYCLE, STORE_RESTART };
int store_runtime_clear(struct pg_pool *pool, enum store_clear how, const struct store_ref *ref,
                        const struct store_actor *actor, store_runtime_fn *fn, void *arg,
                        struct err *err) MUST_CHECK;

/* What was answered under the actor's key; NULL: it was not used. ERR_REJECT "SW007": for another request. */
int store_function_replay(struct pg_pool *pool, const struct uuid *team_id,
                          const struct store_actor *actor, store_function_fn *fn, void *arg,
                          struct err *err) MUST_CHECK;
int store_runtime_replay(struct pg_pool *pool, const struct uuid *team_id,
                         const struct store_actor *actor, store_runtime_fn *fn, void *arg,
                         struct err *err) MUST_CHECK;

/* An API key by the SHA-256 of its text. */
struct store_key {
	struct uuid id, team_id /* nil: scope platform */, principal;
	uint8_t sha256[HASH_SIZE];
	bool platform_scope;
	bool may_read, may_create, may_write, may_delete; /* function:read ... */
	int64_t expires_at_us;                            /* 0: never */
	int64_t rate_per_second;                          /* 0: the configured default */
};
/* `key` NULL with err NULL: no such active key. Expired and revoked keys are not found. */
typedef void store_key_fn(void *arg, const struct store_key *key, const struct err *err);
int store_key_find(struct pg_pool *pool, const uint8_t sha256[HASH_SIZE], store_key_fn *fn,
                   void *arg, struct err *err) MUST_CHECK;

/* SELECT 1, for readiness. */
int store_ping(struct pg_pool *pool, void (*fn)(void *arg, const struct err *err), void *arg,
               struct err *err) MUST_CHECK;
/* Wakes the outbox relays (NOTIFY sandsweep_outbox). Lost ones are made good by their slow poll. */
int store_wake_relays(struct pg_pool *pool, struct err *err) MUST_CHECK;

/* A connection that hears when a key was revoked (NOTIFY sandsweep_keys): on_change is called on
 * every notice and after every reconnect, when notices may have been missed. */
struct store_key_watch;
struct store_key_watch *store_key_watch_new(struct loop *loop, const struct pg_config *config,
                                            void (*on_change)(void *arg), void *arg,
                                            struct err *err) MUST_CHECK;
void store_key_watch_free(struct store_key_watch *watch);

/* ---- for `sandsweep keys`, blocking ---- */
struct pg_sync;
struct store_key_new {
	const char *name; /* for people */
	const char *region;
	struct uuid team_id;     /* nil: scope platform */
	struct uuid principal;   /* nil: the key's own id stands for it */
	const char *permissions; /* "function:read,function:write", "*" */
	int64_t expires_in_s;    /* 0: never */
	int64_t rate_per_second; /* 0: default */
	char sha256_hex[HASH_HEX_SIZE];
};
int store_key_create(struct pg_sync *sync, const struct store_key_new *key, struct uuid *ret_id,
                     struct err *err) MUST_CHECK;
struct store_key_row {
	struct uuid id, team_id;
	const char *name, *region, *scope, *permissions;
	int64_t created_at_us, expires_at_us, revoked_at_us;
};
int store_key_list(struct pg_sync *sync, void (*fn)(void *arg, const struct store_key_row *row),
                   void *arg, struct err *err) MUST_CHECK;
/* *ret_found false: no such key. A second revoke keeps the first one's date. */
int store_key_revoke(struct pg_sync *sync, const struct uuid *id, bool *ret_found,
                     struct err *err) MUST_CHECK;

#endif
