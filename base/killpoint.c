#include "killpoint.h"

#ifdef SANDSWEEP_KILLPOINTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "num.h"

void killpoint(const char *name)
{
	static int64_t passes;
	const char *want = getenv("SANDSWEEP_KILL");
	if (!want)
		return;
	const char *colon = strchr(want, ':');
	size_t len = colon ? (size_t)(colon - want) : strlen(want);
	int64_t at = 1;
	if (strlen(name) != len || memcmp(name, want, len) != 0)
		return;
	if (colon && num_i64(colon + 1, strlen(colon + 1), 1, INT64_MAX, &at) < 0)
		abort();
	if (++passes == at)
		(void)kill(getpid(), SIGKILL);
}
#endif
