/* The outbox relay: publishes rows of a durable outbox in their order and lets them go only when
 * the broker has confirmed them. Knows nothing of Postgres: the outbox is an interface.
 *
 * At most one relay of a deployment is active (the source elects it by an advisory lock), the
 * others stand by; so events of one key keep their order. A fail-over may publish a row twice,
 * never zero times: consumers are idempotent by event id. */
#ifndef QUEUE_RELAY_H
#define QUEUE_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "producer.h"

/* One outbox row, borrowed during on_rows. */
struct relay_row {
	int64_t id;
	struct uuid event_id, function_id;
	const char *topic;       /* a topic's name */
	const char *type;        /* the full CloudEvents type */
	const char *source;      /* the CloudEvents source */
	const char *data;        /* JSON text */
	const char *traceparent; /* "" when none */
	int64_t time_us;         /* wall clock */
};

/* The durable side, implemented over Postgres by the worker. Every call answers later, through
 * relay_on_rows() or relay_on_deleted(), exactly once. */
struct relay_source {
	/* The first rows with id > after, at most `max`, in the order of id. */
	void (*fetch)(void *arg, int64_t after, int max);
	/* Deletes these rows, at most RELAY_FETCH_MAX. The ids are borrowed during the call. */
	void (*delete_rows)(void *arg, const int64_t *ids, int count);
	void *arg;
};

struct relay;
enum { RELAY_IN_FLIGHT_MAX = 4096, RELAY_FETCH_MAX = 1000 };

struct relay *relay_new(struct loop *loop, struct producer *producer,
                        const struct relay_source *source, int64_t poll_ms, struct metrics *metrics,
                        struct err *err) MUST_CHECK;
/* Unless relay_idle(), the producer must be freed first: its deliveries come here. */
void relay_free(struct relay *relay);

/* The source was elected (or lost the election: nothing more is fetched). */
void relay_set_active(struct relay *relay, bool active);
/* There may be new rows (NOTIFY). Cheap; many calls become one fetch. */
void relay_wake(struct relay *relay);
/* Answers to the source's calls. err: NULL or ERR_RETRY (the relay waits and asks again). */
void relay_on_rows(struct relay *relay, const struct relay_row *rows, int count,
                   const struct err *err);
/* `ids`: as they came, from the first on. */
void relay_on_deleted(struct relay *relay, const int64_t *ids, int count, const struct err *err);
/* True when nothing is in flight: for a clean stop. */
bool relay_idle(const struct relay *relay);

#endif
