/* Who asks: the Bearer key of a request, its look-up in Postgres and a small cache before that. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "sql/store_api.h"

enum {
	AUTH_KEY_MAX = 256,     /* bytes of a whole key */
	AUTH_SECRET_BYTES = 24, /* random bytes of a key, written as 48 hex digits */
	AUTH_CACHE_SIZE = 4096, /* keys that are remembered */
};

/* ---- the text of a key: pure ---- */

/* Lower-case letters and digits in groups that single dashes join. */
bool auth_region_valid(const char *region, size_t len);
/* True for s0_<region>_<48 lower-case hex digits> of at most AUTH_KEY_MAX bytes. */
bool auth_key_valid(const char *key, size_t len);
/* Finds the key in the value of an Authorization header (NULL: there is none): the scheme Bearer in
 * any case, spaces, a valid key. 0, or -1 when there is no such thing; *ret_key is borrowed. */
int auth_parse(const char *header, const char **ret_key, size_t *ret_len) MUST_CHECK;

/* ---- the cache: pure, times are passed in ---- */

/* Open addressing over AUTH_CACHE_SIZE entries; a key lives in one of a few slots after its hash.
 * That a key does not exist is remembered too, but never at the cost of one that does. */
struct auth_cache;
enum auth_known { AUTH_MISS, AUTH_KEY, AUTH_NO_KEY };

struct auth_cache *auth_cache_new(struct err *err) MUST_CHECK;
void auth_cache_free(struct auth_cache *cache);
/* AUTH_KEY: *ret_key is valid until the cache is changed. `now_us` is monotonic, `wall_us` is for
 * the key's own expiry. */
enum auth_known auth_cache_get(struct auth_cache *cache, const uint8_t sha256[HASH_SIZE],
                               int64_t now_us, int64_t wall_us, const struct store_key **ret_key);
/* `key` NULL: there is none of this hash. Forgotten at until_us. */
void auth_cache_put(struct auth_cache *cache, const uint8_t sha256[HASH_SIZE],
                    const struct store_key *key, int64_t now_us, int64_t until_us);
void auth_cache_flush(struct auth_cache *cache);

/* ---- the two together, on the loop ---- */

struct auth;
/* `cache_ms` 0: every request asks Postgres. `loop`, `pool` and `metrics` must outlive it. */
struct auth *auth_new(struct loop *loop, struct pg_pool *pool, int64_t cache_ms,
                      struct metrics *metrics, struct err *err) MUST_CHECK;
void auth_free(struct auth *auth);
/* Some key was changed: what was heard before counts no more, answers under way included. */
void auth_flush(struct auth *auth);

/* `key` is borrowed for the call. NULL with err NULL: no such key, or it expired or was revoked. */
typedef void auth_fn(void *arg, const struct store_key *key, const struct err *err);

/* A look-up under way. Belongs to the caller, who keeps it until the callback. */
struct auth_check {
	struct auth *auth;
	uint64_t flushes; /* how often the cache had been flushed when it was sent */
	uint8_t sha256[HASH_SIZE];
	auth_fn *fn;
	void *arg;
};
/* Answers exactly once through fn: before it returns (from the cache, or without a connection) or
 * later. `key` is not needed after the call. */
void auth_check(struct auth *auth, struct auth_check *check, const char *key, size_t len,
                auth_fn *fn, void *arg);

#endif
