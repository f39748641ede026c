/* An allocator that fails once, for json_set_alloc_funcs(). */
#ifndef TESTS_UNIT_SCARCE_H
#define TESTS_UNIT_SCARCE_H

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

static long allocations_left = -1; /* until one fails; -1: none does */
static long allocated;             /* blocks that are not freed yet */

/* As malloc(3) fails: errno says why. */
static void *scarce_malloc(size_t size)
{
	if (allocations_left == 0) {
		allocations_left = -1;
		errno = ENOMEM;
		return NULL;
	}
	if (allocations_left > 0)
		allocations_left--;
	allocated++;
	return malloc(size);
}

static void scarce_free(void *block)
{
	allocated -= block != NULL;
	free(block);
}

/* Before a test that runs out of memory, and after it. */
static int scarce(void **state)
{
	(void)state;
	json_set_alloc_funcs(scarce_malloc, scarce_free);
	allocated = 0;
	return 0;
}

static int plenty(void **state)
{
	(void)state;
	json_set_alloc_funcs(malloc, free);
	allocations_left = -1;
	return 0;
}

#endif
