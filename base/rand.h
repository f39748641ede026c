/* Random bytes from the kernel. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* From getrandom(2), in advance for small requests; aborts when the kernel refuses. Blocks only before
 * the kernel's pool is first seeded. Not to be used on both sides of a fork. */
void rand_bytes(void *out, size_t len);

/* Uniform in [0, bound); 0 when bound is 0. */
uint64_t rand_below(uint64_t bound);

#endif
