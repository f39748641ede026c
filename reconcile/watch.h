/* The reconciler as a service: one run after the other, until told to stop. */
#ifndef RECONCILE_WATCH_H
#define RECONCILE_WATCH_H

#include "reconcile.h"

struct watch_opts {
	const struct reconcile_config *config;
	const struct pg_config *postgres;
	const struct platform_config *platform;
	const struct reconcile_request *request; /* of every run */
	const struct kafka_config *kafka;        /* NULL: the queue is not looked at */
};
/* Runs, waits reconcile.interval_ms and up to a quarter of it more or less, and runs again; serves /metrics,
 * /livez and /readyz meanwhile. A run that fails is logged and does not end it. Returns 0 after SIGTERM
 * or SIGINT; -1 and *err when it cannot start, or the loop fails. A look at a queue that does not answer
 * keeps all of this waiting for three seconds, and two more where librdkafka's threads do not end. */
int watch_run(const struct watch_opts *opts, struct err *err) MUST_CHECK;

/* The wait after a run: from three quarters to five quarters of interval_us. */
int64_t watch_pause_us(int64_t interval_us);

#endif
