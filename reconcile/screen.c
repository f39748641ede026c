#include "screen.h"

#include <stdlib.h>

enum {
	BITS = 1 << 26,
	PROBES = 4, /* of each id */
};

struct screen {
	uint64_t words[BITS / 64];
};

struct screen *screen_new(void)
{
	return calloc(1, sizeof(struct screen));
}

void screen_free(struct screen *screen)
{
	free(screen);
}

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of the hash counts for every bit. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

bool screen_again(struct screen *screen, uint64_t hash)
{
	uint64_t at = mix(hash), step = (at >> 32) | 1;
	bool again = true;
	for (int i = 0; i < PROBES; i++, at += step) {
		uint64_t *word = &screen->words[at % BITS / 64], bit = UINT64_C(1) << (at % 64);
		again &= (*word & bit) != 0;
		*word |= bit;
	}
	return again;
}
