#include "clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "macros.h"
#include "num.h"

static int64_t read_us(clockid_t id)
{
	struct timespec ts;
	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t system_mono(void *arg)
{
	(void)arg;
	return read_us(CLOCK_MONOTONIC);
}

static int64_t system_wall(void *arg)
{
	(void)arg;
	return read_us(CLOCK_REALTIME);
}

const struct clock *clock_system(void)
{
	static const struct clock system = {system_mono, system_wall, NULL};
	return &system;
}

void clock_rfc3339(int64_t wall_us, char *out)
{
	static const int64_t min_s = -62135596800, max_s = 253402300799; /* years 1 and 9999 */
	int64_t s = wall_us / 1000000, us = wall_us % 1000000;
	if (us < 0) {
		us += 1000000;
		s--;
	}
	if (s < min_s || s > max_s) {
		us = s < min_s ? 0 : 999999;
		s = s < min_s ? min_s : max_s;
	}
	time_t t = (time_t)s;
	struct tm tm;
	(void)gmtime_r(&t, &tm);
	(void)snprintf(out, CLOCK_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
	               (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)(tm.tm_mon + 1) % 100u,
	               (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u,
	               (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u, (unsigned)us % 1000000u);
}

/* Reads `digits` digits at *at and moves it on. */
static int digits(const char **at, const char *end, int count, int64_t max, int64_t *ret)
{
	if (end - *at < count || !isdigit((unsigned char)**at) ||
	    num_i64(*at, (size_t)count, 0, max, ret) < 0)
		return -1;
	*at += count;
	return 0;
}

static int literal(const char **at, const char *end, char want)
{
	if (*at == end || toupper((unsigned char)**at) != want)
		return -1;
	(*at)++;
	return 0;
}

/* The fraction, cut to microseconds. */
static int fraction(const char **at, const char *end, int64_t *ret_us)
{
	if (*at == end || **at != '.')
		return 0;
	int64_t scale = 100000, us = 0;
	const char *from = ++*at;
	for (; *at < end && isdigit((unsigned char)**at); ++*at, scale /= 10)
		us += (**at - '0') * scale;
	if (*at == from)
		return -1;
	*ret_us = us;
	return 0;
}

static int zone(const char **at, const char *end, int64_t *ret_s)
{
	if (literal(at, end, 'Z') == 0)
		return 0;
	if (*at == end || (**at != '+' && **at != '-'))
		return -1;
	int64_t sign = *(*at)++ == '-' ? -1 : 1, hours, minutes;
	if (digits(at, end, 2, 23, &hours) < 0 || literal(at, end, ':') < 0 ||
	    digits(at, end, 2, 59, &minutes) < 0)
		return -1;
	*ret_s = sign * (hours * 3600 + minutes * 60);
	return 0;
}

int clock_parse_rfc3339(const char *text, size_t len, int64_t *ret_wall_us)
{
	const char *at = text, *end = text + len;
	int64_t y, mo, d, h, mi, s, us = 0, offset_s = 0;
	if (digits(&at, end, 4, 9999, &y) < 0 || literal(&at, end, '-') < 0 ||
	    digits(&at, end, 2, 12, &mo) < 0 || literal(&at, end, '-') < 0 ||
	    digits(&at, end, 2, 31, &d) < 0 || literal(&at, end, 'T') < 0 ||
	    digits(&at, end, 2, 23, &h) < 0 || literal(&at, end, ':') < 0 ||
	    digits(&at, end, 2, 59, &mi) < 0 || literal(&at, end, ':') < 0 ||
	    digits(&at, end, 2, 60, &s) < 0 || fraction(&at, end, &us) < 0 ||
	    zone(&at, end, &offset_s) < 0 || at != end || y < 1 || mo < 1 || d < 1)
		return -1;
	struct tm tm = {.tm_year = (int)y - 1900,
	                .tm_mon = (int)mo - 1,
	                .tm_mday = (int)d,
	                .tm_hour = (int)h,
	                .tm_min = (int)mi,
	                .tm_sec = (int)(s == 60 ? 59 : s)};
	time_t t = timegm(&tm);
	if (tm.tm_mday != (int)d) /* the 30th of February */
		return -1;
	*ret_wall_us = ((int64_t)t - offset_s) * 1000000 + us;
	return 0;
}
