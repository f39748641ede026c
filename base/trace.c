#include "trace.h"

#include <stdint.h>
#include <string.h>

#include "num.h"
#include "rand.h"

enum { TRACE_LEN = 55, TRACE_ID_AT = 3, SPAN_ID_AT = 36, FLAGS_AT = 53 };

static bool lower_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	return true;
}

static bool all_zero(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != '0')
			return false;
	return true;
}

bool trace_valid(const char *text, size_t len)
{
	if (len < TRACE_LEN || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
	    !lower_hex(text, 2) || !lower_hex(text + TRACE_ID_AT, 32) ||
	    !lower_hex(text + SPAN_ID_AT, 16) || !lower_hex(text + FLAGS_AT, 2))
		return false;
	if (memcmp(text, "ff", 2) == 0 || all_zero(text + TRACE_ID_AT, 32) ||
	    all_zero(text + SPAN_ID_AT, 16))
		return false;
	return memcmp(text, "00", 2) == 0 ? len == TRACE_LEN : len == TRACE_LEN || text[55] == '-';
}

static void random_hex(char *at, size_t bytes)
{
	uint8_t raw[16];
	char hex[33];
	rand_bytes(raw, bytes);
	raw[0] |= 1; /* never all zero */
	num_hex(raw, bytes, hex);
	memcpy(at, hex, bytes * 2);
}

void trace_new(char out[TRACE_SIZE])
{
	memcpy(out, "00-................................-................-01", TRACE_SIZE);
	random_hex(out + TRACE_ID_AT, 16);
	random_hex(out + SPAN_ID_AT, 8);
}

void trace_child(const char *parent, char out[TRACE_SIZE])
{
	if (!parent || !trace_valid(parent, strlen(parent))) {
		trace_new(out);
		return;
	}
	memmove(out, parent, TRACE_LEN);
	memcpy(out, "00", 2);
	out[TRACE_LEN] = '\0';
	random_hex(out + SPAN_ID_AT, 8);
}
