/* What a service tells of itself over HTTP: /metrics, /livez and /readyz. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "loop.h"
#include "metrics.h"
#include "supervise.h"

struct status;

/* Listens at once at `listen` (as http_opts has it). /readyz is 200 while every probe of `supervise` is
 * true. The others are borrowed and outlive it. NULL and *err as http_server_new. */
struct status *status_new(struct loop *loop, const char *listen, const struct metrics *metrics,
                          struct supervise *supervise, struct err *err) MUST_CHECK;
void status_free(struct status *status);
/* The port that it listens on, 1 to 65535. */
int status_port(const struct status *status);

#endif
