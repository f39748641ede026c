#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

/* A text, `times` over. */
static const struct hash_case {
	const char *name, *text;
	size_t times;
	const char *want;
} cases[] = {
    /* FIPS 180-4 and NIST's example values */
    {"empty", "", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"448 bits", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"896 bits",
     "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnop"
     "qrs"
     "mnopqrstnopqrstu",
     1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {"a million times a", "a", 1000000,
     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    /* around the ends of a block */
    {"55", "a", 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
    {"56", "a", 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
    {"63", "a", 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
    {"64", "a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
    {"65", "a", 65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
    {"119", "a", 119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
    {"120", "a", 120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
    {"128", "a", 128, "6836cf13bac400e9105071cd6af47084dfacad4e5e302c94bfed24e013afb73e"},
};

/* Against the digits, in memory of exactly its size. */
static void test_sha256(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		const struct hash_case *c = &cases[i];
		size_t len = strlen(c->text), total = len * c->times;
		char *data = malloc(total ? total : 1), hex[HASH_HEX_SIZE], digits[] = "00";
		assert_non_null(data);
		for (size_t n = 0; n < c->times; n++)
			memcpy(data + n * len, c->text, len);
		uint8_t out[HASH_SIZE];
		hash_sha256_hex(data, total, hex);
		hash_sha256(data, total, out);
		free(data);
		if (strcmp(hex, c->want) != 0)
			fail_msg("%s: %s", c->name, hex);
		for (size_t n = 0; n < HASH_SIZE; n++) {
			memcpy(digits, c->want + 2 * n, 2);
			assert_int_equal(out[n], strtoul(digits, NULL, 16));
		}
	}
}

static void test_of_nothing(void **state)
{
	(void)state;
	char hex[HASH_HEX_SIZE];
	hash_sha256_hex(NULL, 0, hex);
	assert_string_equal(hex, cases[0].want);
}

static void test_a_byte_zero_counts(void **state)
{
	(void)state;
	uint8_t a[HASH_SIZE], b[HASH_SIZE];
	hash_sha256("a\0b", 3, a);
	hash_sha256("a\0c", 3, b);
	assert_false(hash_equal(a, b));
	hash_sha256("a", 1, b);
	assert_false(hash_equal(a, b));
}

/* Every single bit counts. */
static void test_equal(void **state)
{
	(void)state;
	uint8_t a[HASH_SIZE], b[HASH_SIZE];
	hash_sha256("abc", 3, a);
	hash_sha256("abc", 3, b);
	assert_true(hash_equal(a, b));
	for (size_t bit = 0; bit < 8 * HASH_SIZE; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(hash_equal(a, b));
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(hash_equal(a, b));
}

/* In pieces of every size it is what it is in one. */
static void test_streamed(void **state)
{
	(void)state;
	static const char text[] =
	    "the quick brown fox jumps over the lazy dog, again and again and again, "
	    "until there is more than one block of it to look at";
	const size_t len = sizeof(text) - 1;
	uint8_t want[HASH_SIZE], got[HASH_SIZE];
	hash_sha256(text, len, want);
	for (size_t piece = 1; piece <= len; piece++) {
		struct hash_stream *stream = hash_begin();
		assert_non_null(stream);
		for (size_t at = 0; at < len; at += piece)
			hash_more(stream, text + at, len - at < piece ? len - at : piece);
		hash_end(&stream, got);
		assert_null(stream);
		assert_memory_equal(got, want, HASH_SIZE);
	}
	struct hash_stream *dropped = hash_begin();
	hash_drop(&dropped);
	hash_drop(&dropped);
	assert_null(dropped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sha256),
	    cmocka_unit_test(test_of_nothing),
	    cmocka_unit_test(test_a_byte_zero_counts),
	    cmocka_unit_test(test_equal),
	    cmocka_unit_test(test_streamed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
