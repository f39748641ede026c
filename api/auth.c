#include "auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the text of a key ---- */

static bool lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool auth_region_valid(const char *region, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool inner = i > 0 && i + 1 < len && region[i - 1] != '-';
		if (!lower_or_digit(region[i]) && !(region[i] == '-' && inner))
			return false;
	}
	return len > 0;
}

static bool secret_valid(const char *secret)
{
	for (size_t i = 0; i < 2 * (size_t)AUTH_SECRET_BYTES; i++)
		if (!((secret[i] >= '0' && secret[i] <= '9') || (secret[i] >= 'a' && secret[i] <= 'f')))
			return false;
	return true;
}

bool auth_key_valid(const char *key, size_t len)
{
	const size_t prefix = strlen("s0_"), secret = 1 + 2 * (size_t)AUTH_SECRET_BYTES;
	if (len <= prefix + secret || len > AUTH_KEY_MAX || memcmp(key, "s0_", prefix) != 0)
		return false;
	const size_t region_len = len - prefix - secret;
	const char *rest = key + prefix + region_len;
	return auth_region_valid(key + prefix, region_len) && rest[0] == '_' && secret_valid(rest + 1);
}

int auth_parse(const char *header, const char **ret_key, size_t *ret_len)
{
	static const char scheme[] = "Bearer ";
	if (!header || strncasecmp(header, scheme, sizeof(scheme) - 1) != 0)
		return -1;
	const char *key = header + sizeof(scheme) - 1;
	key += strspn(key, " ");
	size_t len = strlen(key);
	while (len > 0 && (key[len - 1] == ' ' || key[len - 1] == '\t'))
		len--;
	if (!auth_key_valid(key, len))
		return -1;
	*ret_key = key;
	*ret_len = len;
	return 0;
}

/* ---- the cache ---- */

enum { PROBES = 8 };

struct entry {
	int64_t until_us; /* 0: empty */
	bool exists;      /* false: there is no such key; only key.sha256 is set */
	struct store_key key;
};
struct auth_cache {
	struct entry entries[AUTH_CACHE_SIZE];
};

struct auth_cache *auth_cache_new(struct err *err)
{
	struct auth_cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		(void)err_oom(err);
	return cache;
}

void auth_cache_free(struct auth_cache *cache)
{
	free(cache);
}

static struct entry *slot(struct auth_cache *cache, const uint8_t sha256[HASH_SIZE], uint32_t probe)
{
	uint32_t hash;
	memcpy(&hash, sha256, sizeof(hash));
	return &cache->entries[(hash + probe) % AUTH_CACHE_SIZE];
}

enum auth_known auth_cache_get(struct auth_cache *cache, const uint8_t sha256[HASH_SIZE],
                               int64_t now_us, int64_t wall_us, const struct store_key **ret_key)
{
	for (uint32_t i = 0; i < PROBES; i++) {
		const struct entry *entry = slot(cache, sha256, i);
		if (entry->until_us <= now_us || !hash_equal(entry->key.sha256, sha256))
			continue;
		if (!entry->exists)
			return AUTH_NO_KEY;
		if (entry->key.expires_at_us != 0 && entry->key.expires_at_us <= wall_us)
			return AUTH_NO_KEY;
		*ret_key = &entry->key;
		return AUTH_KEY;
	}
	return AUTH_MISS;
}

/* How much is lost when this entry makes room for another: nothing, a refusal, a key. */
static int worth(const struct entry *entry, int64_t now_us)
{
	if (entry->until_us <= now_us)
		return 0;
	return entry->exists ? 2 : 1;
}

void auth_cache_put(struct auth_cache *cache, const uint8_t sha256[HASH_SIZE],
                    const struct store_key *key, int64_t now_us, int64_t until_us)
{
	struct entry *least = slot(cache, sha256, 0);
	for (uint32_t i = 0; i < PROBES; i++) {
		struct entry *entry = slot(cache, sha256, i);
		if (entry->until_us != 0 && hash_equal(entry->key.sha256, sha256)) {
			least = entry;
			break;
		}
		int less = worth(entry, now_us) - worth(least, now_us);
		if (less < 0 || (less == 0 && entry->until_us < least->until_us))
			least = entry;
	}
	if (!key && worth(least, now_us) == 2 && !hash_equal(least->key.sha256, sha256))
		return;
	*least = (struct entry){.until_us = until_us, .exists = key != NULL};
	if (key)
		least->key = *key;
	memcpy(least->key.sha256, sha256, HASH_SIZE);
}

void auth_cache_flush(struct auth_cache *cache)
{
	for (size_t i = 0; i < AUTH_CACHE_SIZE; i++)
		cache->entries[i].until_us = 0;
}

/* ---- the two together ---- */

/* A key that does not exist is asked for again after a second at most. */
enum { NO_KEY_MS_MAX = 1000 };

struct auth {
	struct loop *loop;
	struct pg_pool *pool;
	int64_t cache_ms;
	struct auth_cache *cache;
	uint64_t flushes;
	struct metric *hits, *misses;
};

struct auth *auth_new(struct loop *loop, struct pg_pool *pool, int64_t cache_ms,
                      struct metrics *metrics, struct err *err)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	struct auth_cache *cache = auth_cache_new(err);
	if (!auth || !cache) {
		free(auth);
		auth_cache_free(cache);
		(void)err_oom(err);
		return NULL;
	}
	*auth = (struct auth){.loop = loop, .pool = pool, .cache_ms = cache_ms, .cache = cache};
	const char *name = "sandsweep_key_cache_total", *help = "Look-ups of API keys, by outcome.";
	auth->hits = metrics_counter(metrics, name, "outcome=\"hit\"", help);
	auth->misses = metrics_counter(metrics, name, "outcome=\"miss\"", help);
	return auth;
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	auth_cache_free(auth->cache);
	free(auth);
}

void auth_flush(struct auth *auth)
{
	auth->flushes++;
	auth_cache_flush(auth->cache);
}

/* What was asked for before a flush may be what the flush was about: it answers its own request
 * and is not remembered. */
static void remember(const struct auth_check *check, const struct store_key *key)
{
	struct auth *auth = check->auth;
	int64_t now_us = loop_now_us(auth->loop), ms = auth->cache_ms;
	if (!key && ms > NO_KEY_MS_MAX)
		ms = NO_KEY_MS_MAX;
	if (check->flushes == auth->flushes && ms > 0)
		auth_cache_put(auth->cache, check->sha256, key, now_us, now_us + ms * 1000);
}

static void on_key(void *arg, const struct store_key *key, const struct err *err)
{
	struct auth_check *check = arg;
	if (key && !hash_equal(key->sha256, check->sha256))
		key = NULL;
	if (!err)
		remember(check, key);
	check->fn(check->arg, key, err);
}

void auth_check(struct auth *auth, struct auth_check *check, const char *key, size_t len,
                auth_fn *fn, void *arg)
{
	const struct store_key *found = NULL;
	struct err err = {0};
	*check = (struct auth_check){.auth = auth, .flushes = auth->flushes, .fn = fn, .arg = arg};
	hash_sha256(key, len, check->sha256);
	enum auth_known known = auth_cache_get(auth->cache, check->sha256, loop_now_us(auth->loop),
	                                       loop_wall_us(auth->loop), &found);
	metric_add(known == AUTH_MISS ? auth->misses : auth->hits, 1);
	if (known != AUTH_MISS)
		fn(arg, found, NULL);
	else if (store_key_find(auth->pool, check->sha256, on_key, check, &err) < 0)
		fn(arg, NULL, &err);
}
