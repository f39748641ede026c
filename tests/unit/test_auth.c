/* Keys: what an Authorization header may hold, and what the cache remembers of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/auth.h"
#include "base/macros.h"

#define HEX12 "0123456789ab"
#define HEX48 HEX12 HEX12 HEX12 HEX12
#define KEY "s0_aws-us-east-1_" HEX48
#define R16 "rrrrrrrrrrrrrrrr"
#define R204 R16 R16 R16 R16 R16 R16 R16 R16 R16 R16 R16 R16 "rrrrrrrrrrrr"

struct row {
	const char *name, *header;
	const char *want; /* the key; NULL: refused */
};

static const struct row rows[] = {
    {"plain", "Bearer " KEY, KEY},
    {"scheme in lower case", "bearer " KEY, KEY},
    {"scheme in any case", "bEaReR " KEY, KEY},
    {"several spaces", "Bearer    " KEY, KEY},
    {"space behind", "Bearer " KEY " \t", KEY},
    {"region of one group", "Bearer s0_local_" HEX48, "s0_local_" HEX48},
    {"region of one digit", "Bearer s0_1_" HEX48, "s0_1_" HEX48},
    {"longest key", "Bearer s0_" R204 "_" HEX48, "s0_" R204 "_" HEX48},
    {"longer", "Bearer s0_" R204 "r_" HEX48, NULL},
    {"absent", NULL, NULL},
    {"empty", "", NULL},
    {"scheme alone", "Bearer", NULL},
    {"scheme and space", "Bearer ", NULL},
    {"no scheme", KEY, NULL},
    {"another scheme", "Basic " KEY, NULL},
    {"a longer scheme", "Bearers " KEY, NULL},
    {"a tab between", "Bearer\t" KEY, NULL},
    {"space in front", " Bearer " KEY, NULL},
    {"a JWT", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", NULL},
    {"another prefix", "Bearer s1_local_" HEX48, NULL},
    {"prefix in upper case", "Bearer S0_local_" HEX48, NULL},
    {"prefix alone", "Bearer s0_", NULL},
    {"no region", "Bearer s0__" HEX48, NULL},
    {"no region at all", "Bearer s0_" HEX48, NULL},
    {"region in upper case", "Bearer s0_Local_" HEX48, NULL},
    {"region with an underscore", "Bearer s0_lo_cal_" HEX48, NULL},
    {"region with a dash in front", "Bearer s0_-a_" HEX48, NULL},
    {"region with a dash behind", "Bearer s0_a-_" HEX48, NULL},
    {"region with two dashes", "Bearer s0_a--b_" HEX48, NULL},
    {"region with a dot", "Bearer s0_a.b_" HEX48, NULL},
    {"secret in upper case", "Bearer s0_local_" HEX12 HEX12 HEX12 "0123456789AB", NULL},
    {"secret too short", "Bearer s0_local_" HEX12 HEX12 HEX12 "0123456789a", NULL},
    {"secret too long", "Bearer s0_local_" HEX48 "0", NULL},
    {"secret not hex", "Bearer s0_local_" HEX12 HEX12 HEX12 "0123456789ag", NULL},
    {"two keys", "Bearer " KEY " " KEY, NULL},
    {"two keys with a comma", "Bearer " KEY "," KEY, NULL},
};

static void test_header(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct row *row = &rows[i];
		const char *key = NULL;
		size_t len = 0;
		if ((auth_parse(row->header, &key, &len) == 0) != (row->want != NULL))
			fail_msg("%s: %s", row->name, row->want ? "refused" : "taken");
		if (!row->want)
			continue;
		assert_int_equal(len, strlen(row->want));
		assert_memory_equal(key, row->want, len);
	}
}

/* ---- the cache ---- */

static struct auth_cache *new_cache(void)
{
	struct err err = {0};
	struct auth_cache *cache = auth_cache_new(&err);
	assert_non_null(cache);
	return cache;
}

/* `slot` says where its look-up begins, `n` which key it is. */
static struct store_key key_of(uint32_t slot, uint32_t n)
{
	struct store_key key = {.may_read = true, .rate_per_second = n};
	memcpy(key.sha256, &slot, sizeof(slot));
	memcpy(key.sha256 + 8, &n, sizeof(n));
	return key;
}

static enum auth_known look(struct auth_cache *cache, const struct store_key *key, int64_t now_us,
                            int64_t wall_us)
{
	const struct store_key *found = NULL;
	enum auth_known known = auth_cache_get(cache, key->sha256, now_us, wall_us, &found);
	assert_true((known == AUTH_KEY) == (found != NULL));
	if (found)
		assert_int_equal(found->rate_per_second, key->rate_per_second);
	return known;
}

static void test_cache_times(void **state)
{
	(void)state;
	struct auth_cache *cache = new_cache();
	struct store_key a = key_of(7, 1), b = key_of(7, 2), c = key_of(7, 3);
	c.expires_at_us = 5000;
	assert_int_equal(look(cache, &a, 100, 0), AUTH_MISS);
	auth_cache_put(cache, a.sha256, &a, 100, 200);
	auth_cache_put(cache, b.sha256, NULL, 100, 200);
	auth_cache_put(cache, c.sha256, &c, 100, 200);
	assert_int_equal(look(cache, &a, 199, 0), AUTH_KEY);
	assert_int_equal(look(cache, &a, 200, 0), AUTH_MISS);
	assert_int_equal(look(cache, &b, 199, 0), AUTH_NO_KEY);
	assert_int_equal(look(cache, &b, 200, 0), AUTH_MISS);
	assert_int_equal(look(cache, &c, 199, 4999), AUTH_KEY);
	assert_int_equal(look(cache, &c, 199, 5000), AUTH_NO_KEY);
	auth_cache_flush(cache);
	assert_int_equal(look(cache, &a, 101, 0), AUTH_MISS);
	auth_cache_free(cache);
}

static void test_cache_replaces(void **state)
{
	(void)state;
	struct auth_cache *cache = new_cache();
	struct store_key a = key_of(7, 1);
	auth_cache_put(cache, a.sha256, NULL, 0, 100);
	auth_cache_put(cache, a.sha256, &a, 0, 200);
	assert_int_equal(look(cache, &a, 150, 0), AUTH_KEY);
	auth_cache_put(cache, a.sha256, NULL, 0, 300);
	assert_int_equal(look(cache, &a, 250, 0), AUTH_NO_KEY);
	auth_cache_free(cache);
}

/* All that begin in one slot: the cache keeps a few, at the end of the table too. */
static void test_cache_full(void **state)
{
	(void)state;
	enum { KEYS = 32 };
	const uint32_t slot = AUTH_CACHE_SIZE - 2;
	struct auth_cache *cache = new_cache();
	for (uint32_t n = 1; n <= KEYS; n++) {
		struct store_key key = key_of(slot, n);
		auth_cache_put(cache, key.sha256, &key, 0, 1000 + n);
		assert_int_equal(look(cache, &key, 0, 0), AUTH_KEY);
	}
	int kept = 0;
	for (uint32_t n = 1; n <= KEYS; n++) {
		struct store_key key = key_of(slot, n);
		kept += look(cache, &key, 0, 0) == AUTH_KEY;
	}
	assert_int_equal(kept, 8);

	/* A key that does not exist never displaces one that does, and is displaced by one. */
	for (uint32_t n = 100; n < 200; n++) {
		struct store_key garbage = key_of(slot, n);
		auth_cache_put(cache, garbage.sha256, NULL, 0, 5000);
		assert_int_equal(look(cache, &garbage, 0, 0), AUTH_MISS);
	}
	struct store_key newest = key_of(slot, KEYS);
	assert_int_equal(look(cache, &newest, 0, 0), AUTH_KEY);
	auth_cache_flush(cache);
	struct store_key garbage = key_of(slot, 300);
	auth_cache_put(cache, garbage.sha256, NULL, 0, 5000);
	for (uint32_t n = 1; n <= 8; n++) {
		struct store_key key = key_of(slot, n);
		auth_cache_put(cache, key.sha256, &key, 0, 1000);
	}
	assert_int_equal(look(cache, &garbage, 0, 0), AUTH_MISS);
	auth_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_cache_times),
	    cmocka_unit_test(test_cache_replaces),
	    cmocka_unit_test(test_cache_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
