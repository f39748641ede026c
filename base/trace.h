/* W3C Trace Context (https://www.w3.org/TR/trace-context/), version 00. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>

enum { TRACE_SIZE = 56 }; /* "00-<32 hex>-<16 hex>-<2 hex>" and a NUL */

/* True for a well-formed traceparent: lower-case hex, version not ff, ids not all zero.
 * A higher version is accepted when it begins like version 00, as the standard asks. */
bool trace_valid(const char *text, size_t len);

/* A new trace of our own, sampled. */
void trace_new(char out[TRACE_SIZE]);

/* The same trace with a new span id of ours; a new trace when `parent` is NULL or not valid. */
void trace_child(const char *parent, char out[TRACE_SIZE]);

#endif
