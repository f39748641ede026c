/* What a metric says, as the exposition has it. */
#ifndef TESTS_UNIT_SERIES_H
#define TESTS_UNIT_SERIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

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

/* The exposition has every one of these texts. */
static void expect_lines(const struct metrics *registry, const char *const want[], size_t count)
{
	struct buf text;
	buf_init(&text, 1 << 20);
	metrics_write(registry, &text);
	for (size_t i = 0; i < count; i++)
		if (!strstr(text.data, want[i]))
			fail_msg("no '%s' in\n%s", want[i], text.data);
	buf_done(&text);
}

#endif
