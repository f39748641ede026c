/* The relay's durable side: the outbox table behind relay.h's interface, and the election of the one
 * relay that is active. */
#ifndef WORKER_OUTBOX_H
#define WORKER_OUTBOX_H

#include "queue/relay.h"
#include "sql/store_worker.h"

struct outbox_opts {
	const struct pg_config *postgres;
	const struct kafka_config *kafka;
	struct producer *producer;
	int64_t poll_ms;
	struct metrics *metrics;
};
struct outbox;
struct outbox *outbox_new(struct loop *loop, const struct outbox_opts *opts,
                          struct err *err) MUST_CHECK;
void outbox_free(struct outbox *outbox);
/* Rows may be there that no NOTIFY tells of: results that this process wrote. */
void outbox_wake(struct outbox *outbox);
bool outbox_active(const struct outbox *outbox);
bool outbox_healthy(const struct outbox *outbox, char why[128]);

#endif
