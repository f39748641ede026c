#include "rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void from_kernel(unsigned char *at, size_t len)
{
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

/* Small requests are served from a pool, which spares a system call each; what was given out is
 * wiped from it. Thread-local, so that nothing is shared. */
void rand_bytes(void *out, size_t len)
{
	static _Thread_local unsigned char pool[512];
	static _Thread_local size_t left;
	if (len > sizeof(pool) / 8) {
		from_kernel(out, len);
		return;
	}
	if (len > left) {
		from_kernel(pool, sizeof(pool));
		left = sizeof(pool);
	}
	left -= len;
	memcpy(out, pool + left, len);
	explicit_bzero(pool + left, len);
}

uint64_t rand_below(uint64_t bound)
{
	uint64_t random;
	if (bound == 0)
		return 0;
	rand_bytes(&random, sizeof(random));
	/* Lemire's multiplication: the bias is below bound / 2^64. */
	return (uint64_t)(((unsigned __int128)random * bound) >> 64);
}
