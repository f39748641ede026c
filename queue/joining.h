/* Whether a consumer is joining its group just now, which librdkafka does not tell.
 *
 * Why it matters: a commit that is asked for meanwhile waits on the connection behind the JoinGroup
 * request, arrives with the generation of before, is refused as ILLEGAL_GENERATION, and for that
 * librdkafka (2.0.2) gives up the whole assignment: seconds of standstill, and everything since
 * the last good commit is read again. So commits wait until the group has settled. */
#ifndef QUEUE_JOINING_H
#define QUEUE_JOINING_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/err.h"

struct joining;

/* Watches the requests of the client that `conf` will make. It is read and written by librdkafka's
 * threads until the client is destroyed. */
struct joining *joining_new(rd_kafka_conf_t *conf, struct err *err) MUST_CHECK;
void joining_free(struct joining *joining);

bool joining_now(const struct joining *joining);
bool joining_ever(const struct joining *joining); /* has asked to join, at least once */
/* The client will join again as its next step. */
void joining_expect(struct joining *joining);

#endif
