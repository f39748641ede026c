/* SHA-256 (FIPS 180-4, by OpenSSL), SHA-1 for names that others have made with it, and a comparison that
 * tells nothing by its time. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macros.h"

enum { HASH_SIZE = 32, HASH_HEX_SIZE = 65, HASH_SHA1_HEX_SIZE = 41 };

/* Aborts only if OpenSSL has no SHA-256 at all. */
void hash_sha256(const void *data, size_t len, uint8_t out[HASH_SIZE]);
void hash_sha256_hex(const void *data, size_t len, char out[HASH_HEX_SIZE]);
/* Proves nothing: for names only. */
void hash_sha1_hex(const void *data, size_t len, char out[HASH_SHA1_HEX_SIZE]);

/* Of what comes in pieces. The caller ends it with hash_end(), or drops it. NULL without memory. */
struct hash_stream;
struct hash_stream *hash_begin(void) MUST_CHECK;
void hash_more(struct hash_stream *stream, const void *data, size_t len);
void hash_end(struct hash_stream **stream, uint8_t out[HASH_SIZE]);
void hash_drop(struct hash_stream **stream); /* for AUTO */

bool hash_equal(const uint8_t a[HASH_SIZE], const uint8_t b[HASH_SIZE]);

#endif
