#include "hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "num.h"

void hash_sha256(const void *data, size_t len, uint8_t out[HASH_SIZE])
{
	if (EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

void hash_sha256_hex(const void *data, size_t len, char out[HASH_HEX_SIZE])
{
	uint8_t digest[HASH_SIZE];
	hash_sha256(data, len, digest);
	num_hex(digest, HASH_SIZE, out);
}

bool hash_equal(const uint8_t a[HASH_SIZE], const uint8_t b[HASH_SIZE])
{
	return CRYPTO_memcmp(a, b, HASH_SIZE) == 0;
}
