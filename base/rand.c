#include "rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void rand_bytes(void *out, size_t len)
{
	unsigned char *at = out;
	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);
		if (n < 0 && errno != EINTR)
			abort();
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

uint64_t rand_below(uint64_t bound)
{
	/* A small pool spares one system call a number. Thread-local, so that nothing is shared. */
	static _Thread_local uint64_t pool[64];
	static _Thread_local size_t left;
	if (bound == 0)
		return 0;
	if (left == 0) {
		rand_bytes(pool, sizeof(pool));
		left = sizeof(pool) / sizeof(pool[0]);
	}
	/* Lemire's multiplication: the bias is below bound / 2^64. */
	return (uint64_t)(((unsigned __int128)pool[--left] * bound) >> 64);
}
