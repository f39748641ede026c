#include "dice.h"

/* One round of splitmix64 (Steele, Lea, Flood 2014): every bit of x reaches every bit out. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

bool dice(int64_t seed, uint64_t a, uint64_t b, double percent)
{
	uint64_t thrown = mix(mix(mix((uint64_t)seed) ^ a) ^ b);
	return (double)(thrown >> 11) * 0x1p-53 * 100.0 < percent;
}
