/* Talking to the service manager (sd_notify(3)): readiness, status text, watchdog.
 * Everything is a no-op when the process was not started by one. */
#ifndef BASE_SUPERVISE_H
#define BASE_SUPERVISE_H

#include <stdint.h>

#include "loop.h"

struct supervise;

/* A sign of life: returns true while the thing it watches makes progress; otherwise writes why not,
 * in a few words, into `why` (NUL-terminated, at most 127 bytes). */
typedef bool supervise_probe_fn(void *arg, char why[128]);

/* Feeds the watchdog (at a third of its period) only while every probe says true, so that a hung
 * loop, a dead database or a dead broker ends in a restart. NULL and *err: ERR_FATAL. */
struct supervise *supervise_new(struct loop *loop, struct err *err) MUST_CHECK;
void supervise_free(struct supervise *s);
/* At most 8 probes. `name` is borrowed. */
void supervise_probe(struct supervise *s, const char *name, supervise_probe_fn *fn, void *arg);
/* READY=1, once. */
void supervise_ready(struct supervise *s);
/* STOPPING=1. */
void supervise_stopping(struct supervise *s);
/* STATUS=..., one line for `systemctl status`. */
void supervise_status(struct supervise *s, const char *fmt, ...) PRINTF(2, 3);
/* True while every probe is; the first failing one in why (128 bytes). For /readyz. */
bool supervise_healthy(struct supervise *s, char why[128]);

#endif
