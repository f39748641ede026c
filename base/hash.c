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

void hash_sha1_hex(const void *data, size_t len, char out[HASH_SHA1_HEX_SIZE])
{
	uint8_t digest[HASH_SHA1_HEX_SIZE / 2];
	if (EVP_Digest(data, len, digest, NULL, EVP_sha1(), NULL) != 1)
		abort();
	num_hex(digest, sizeof(digest), out);
}

/* OpenSSL's context under a name of ours. */
static EVP_MD_CTX *raw(struct hash_stream *stream)
{
	return (EVP_MD_CTX *)stream;
}

struct hash_stream *hash_begin(void)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
		abort();
	return (struct hash_stream *)context;
}

void hash_more(struct hash_stream *stream, const void *data, size_t len)
{
	if (EVP_DigestUpdate(raw(stream), data, len) != 1)
		abort();
}

void hash_end(struct hash_stream **stream, uint8_t out[HASH_SIZE])
{
	if (EVP_DigestFinal_ex(raw(*stream), out, NULL) != 1)
		abort();
	hash_drop(stream);
}

void hash_drop(struct hash_stream **stream)
{
	EVP_MD_CTX_free(raw(*stream));
	*stream = NULL;
}

bool hash_equal(const uint8_t a[HASH_SIZE], const uint8_t b[HASH_SIZE])
{
	return CRYPTO_memcmp(a, b, HASH_SIZE) == 0;
}
