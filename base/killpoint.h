/* Named places where a test may kill the process. Only test builds (-DSANDSWEEP_KILLPOINTS)
 * contain them; in a release build a killpoint is nothing at all. */
#ifndef BASE_KILLPOINT_H
#define BASE_KILLPOINT_H

#ifdef SANDSWEEP_KILLPOINTS
/* SIGKILLs this process when the environment says SANDSWEEP_KILL="name" or "name:n" (the n-th
 * pass, counted from 1). Everything else of the environment is left to its reader. */
void killpoint(const char *name);
#else
static inline void killpoint(const char *name)
{
	(void)name;
}
#endif

#endif
