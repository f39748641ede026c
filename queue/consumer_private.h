/* What consumer.c and dead_letter.c share. */
#ifndef QUEUE_CONSUMER_PRIVATE_H
#define QUEUE_CONSUMER_PRIVATE_H

#include "base/loop.h"
#include "client.h"
#include "consumer.h"
#include "joining.h"
#include "partitions.h"

enum batch_state {
	BATCH_NONE,    /* collecting */
	BATCH_OUT,     /* with its owner */
	BATCH_WAITING, /* given back, to be handed out again */
};

struct letter;

/* Dead letters on their way, and their figures. */
struct letters {
	struct loop *loop;
	const char *topic; /* where they go; borrowed */
	struct letter *first;
	struct metric *sent;
	struct metric *rejected[32]; /* by reason */
};
void letters_init(struct letters *letters, struct loop *loop, const char *topic,
                  struct metrics *metrics);
/* The message goes: a letter that still wants to be sent again cannot be. */
void letters_forget(struct letters *letters, const rd_kafka_message_t *message);
void letters_done(struct letters *letters);

struct consumer {
	struct loop *loop;
	struct consumer_opts opts;
	rd_kafka_t *client;
	rd_kafka_queue_t *queue; /* messages, and through it everything else that is polled */
	struct client_wake wake;
	struct partitions parts;
	struct letters letters;

	/* The batch. An item is lost when its partition is not ours any more. */
	struct consumer_item *items;
	bool *lost;
	int count, batch_max;
	size_t bytes;
	enum batch_state state;

	bool holding; /* nothing is taken: partitions are paused, polling is for being alive */
	struct loop_timer hold, retry, commit_retry, nudge;
	size_t taken_bytes; /* since the last nudge */
	int commits_out;
	struct joining *joining;

	bool joined, fatal;
	bool assigned;    /* has been, at least once */
	int64_t heard_us; /* the last sign of a broker */
	struct metric *consumed, *commits, *commit_failures;
};

/* Fills what is borrowed from a Kafka message: at most `max` fields. Returns how many it has. */
size_t consumer_fields(rd_kafka_message_t *message, struct event_field *ret, size_t max);

#endif
