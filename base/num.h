/* The only way from text to numbers in this code base. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

#include "macros.h"

/* Decimal, optional '-', nothing around it, min <= value <= max.
 * Returns 0, or -1 and leaves *ret alone. */
int num_i64(const char *text, size_t len, int64_t min, int64_t max, int64_t *ret) MUST_CHECK;

/* `len` hex digits, upper or lower case, into len/2 bytes. Returns 0 or -1 (odd, not hex). */
int num_unhex(const char *text, size_t len, uint8_t *ret_bytes) MUST_CHECK;

/* 2*n lower-case digits and a NUL into `out`. */
void num_hex(const uint8_t *bytes, size_t n, char *out);

#endif
