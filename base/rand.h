/* Random bytes from the kernel. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* getrandom(2); aborts when the kernel refuses. Blocks only before the pool is first seeded. */
void rand_bytes(void *out, size_t len);

/* Uniform in [0, bound); 0 when bound is 0. Cheap, not for secrets. */
uint64_t rand_below(uint64_t bound);

#endif
