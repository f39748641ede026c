#include "supervise.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "log.h"

enum { PROBES_MAX = 8, WHY_SIZE = 128, FEED_MAX_US = 60000000 };

struct supervise {
	struct loop *loop;
	struct loop_timer feed;
	int64_t feed_us; /* a third of the watchdog's period; 0: no watchdog */
	bool ready, starving;
	struct probe {
		const char *name;
		supervise_probe_fn *fn;
		void *arg;
	} probes[PROBES_MAX];
	size_t probe_count;
};

static void on_feed(void *arg)
{
	struct supervise *s = arg;
	char why[WHY_SIZE];
	bool healthy = supervise_healthy(s, why);
	if (healthy)
		(void)sd_notify(0, "WATCHDOG=1");
	else if (!s->starving)
		log_event(LOG_L_WARN, "supervise.unhealthy", "why", why, NULL);
	s->starving = !healthy;
	loop_timer_set(s->loop, &s->feed, s->feed_us);
}

struct supervise *supervise_new(struct loop *loop, struct err *err)
{
	uint64_t period_us = 0;
	int rc = sd_watchdog_enabled(0, &period_us);
	if (rc < 0) {
		(void)err_errno(err, ERR_FATAL, -rc, "cannot read WATCHDOG_USEC");
		return NULL;
	}
	struct supervise *s = calloc(1, sizeof(*s));
	if (!s) {
		(void)err_set(err, ERR_FATAL, "ENOMEM", "out of memory");
		return NULL;
	}
	s->loop = loop;
	loop_timer_init(&s->feed, on_feed, s);
	if (rc > 0) {
		s->feed_us = period_us / 3 < FEED_MAX_US ? (int64_t)(period_us / 3) : FEED_MAX_US;
		loop_timer_set(loop, &s->feed, s->feed_us);
	}
	return s;
}

void supervise_free(struct supervise *s)
{
	if (!s)
		return;
	loop_timer_stop(s->loop, &s->feed);
	free(s);
}

void supervise_probe(struct supervise *s, const char *name, supervise_probe_fn *fn, void *arg)
{
	if (s->probe_count == PROBES_MAX)
		abort(); /* a bug: something would go unwatched */
	s->probes[s->probe_count++] = (struct probe){name, fn, arg};
}

void supervise_ready(struct supervise *s)
{
	if (s->ready)
		return;
	s->ready = true;
	(void)sd_notify(0, "READY=1");
}

void supervise_stopping(struct supervise *s)
{
	(void)s;
	(void)sd_notify(0, "STOPPING=1");
}

void supervise_status(struct supervise *s, const char *fmt, ...)
{
	(void)s;
	char text[512] = "STATUS=";
	size_t len = strlen(text);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text + len, sizeof(text) - len, fmt, ap);
	va_end(ap);
	/* A line end in it would begin another assignment. */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	(void)sd_notify(0, text);
}

bool supervise_healthy(struct supervise *s, char why[WHY_SIZE])
{
	for (size_t i = 0; i < s->probe_count; i++) {
		char reason[WHY_SIZE] = "";
		if (s->probes[i].fn(s->probes[i].arg, reason))
			continue;
		reason[WHY_SIZE - 1] = '\0';
		(void)snprintf(why, WHY_SIZE, "%.24s: %.100s", s->probes[i].name, reason);
		return false;
	}
	why[0] = '\0';
	return true;
}
