#include "num.h"

#include <stdbool.h>

int num_i64(const char *text, size_t len, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = len > 0 && text[0] == '-';
	size_t i = negative ? 1 : 0;
	if (i == len || len > 20)
		return -1;
	int64_t value = 0;
	for (; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		int digit = text[i] - '0';
		/* Built up on the negative side where asked, so that INT64_MIN fits. */
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, negative ? -digit : digit, &value))
			return -1;
	}
	if (value < min || value > max)
		return -1;
	*ret = value;
	return 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int num_unhex(const char *text, size_t len, uint8_t *ret_bytes)
{
	if (len % 2)
		return -1;
	for (size_t i = 0; i < len; i++)
		if (nibble(text[i]) < 0)
			return -1;
	for (size_t i = 0; i < len; i += 2)
		ret_bytes[i / 2] = (uint8_t)(nibble(text[i]) << 4 | nibble(text[i + 1]));
	return 0;
}

void num_hex(const uint8_t *bytes, size_t n, char *out)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex[bytes[i] >> 4];
		out[2 * i + 1] = hex[bytes[i] & 15];
	}
	out[2 * n] = '\0';
}
