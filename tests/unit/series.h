/* What a metric says, as the exposition has it. */
#ifndef TESTS_UNIT_SERIES_H
#define TESTS_UNIT_SERIES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"

/* The value of a series (its name, and its labels in braces if it has some); -1: there is none. */
static double series_value(const struct metrics *registry, const char *series)
{
	struct buf text;
	char line[160];
	double value = -1;
	buf_init(&text, 262144);
	metrics_write(registry, &text);
	(void)snprintf(line, sizeof(line), "\n%s ", series);
	const char *at = strstr(text.data, line);
	if (at)
		value = strtod(at + strlen(line), NULL);
	buf_done(&text);
	return value;
}

#endif
