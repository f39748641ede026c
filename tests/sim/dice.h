/* Chance that can be repeated: the same seed and the same numbers fall the same way. */
#ifndef SIM_DICE_H
#define SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

/* True in `percent` (0 to 100) of all cases. `a` and `b` say which throw it is. Pure. */
bool dice(int64_t seed, uint64_t a, uint64_t b, double percent);

#endif
