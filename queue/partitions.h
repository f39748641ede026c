/* The partitions of one topic that are assigned to this consumer, and where in them we are. The
 * position is ours: librdkafka's own is only told, never asked, because what it resumes from after
 * a pause depends on what it had queued, dropped or lost meanwhile. */
#ifndef QUEUE_PARTITIONS_H
#define QUEUE_PARTITIONS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct partition {
	int32_t id;
	bool paused;
	int64_t position;  /* the next message to take; -1: nothing was read since it was assigned */
	int64_t done;      /* what may be committed; -1: nothing yet */
	int64_t asked;     /* what a commit was asked for, and its outcome is open or good */
	int64_t committed; /* what the broker has confirmed to us */
};
struct partitions {
	rd_kafka_t *client;     /* borrowed */
	const char *topic;      /* borrowed */
	struct partition *list; /* by id */
	int count, capacity;
};

/* Frees the list; safe on {0}. */
void partitions_done(struct partitions *parts);

int partitions_add(struct partitions *parts, int32_t id, struct err *err) MUST_CHECK;
struct partition *partitions_find(const struct partitions *parts, int32_t id);
/* A partition that leaves is resumed first: the pause would outlive the assignment. */
void partitions_remove(struct partitions *parts, int32_t id);

/* Nothing more comes from this one. A message that is taken back is read again after resuming. */
void partitions_pause(struct partitions *parts, struct partition *part);
void partitions_take_back(struct partitions *parts, struct partition *part, int64_t offset);
/* Pauses all whose position is known; of the others the first message is to be taken back. */
void partitions_pause_known(struct partitions *parts);
/* Goes on with all that are paused, exactly at their positions. */
void partitions_resume(struct partitions *parts);

/* Makes librdkafka look for more at once where the broker has more, with nothing of it queued. */
void partitions_nudge(struct partitions *parts);

/* What is done and not asked for yet, now taken as asked for; NULL when there is nothing. */
rd_kafka_topic_partition_list_t *partitions_to_commit(struct partitions *parts);
/* The outcome of such a commit. Returns how many partitions failed: they are to be asked again. */
int partitions_on_commit(struct partitions *parts, rd_kafka_resp_err_t code,
                         const rd_kafka_topic_partition_list_t *offsets);

/* Messages that are there and not taken, as the broker last said; -1 while that is unknown. */
int64_t partitions_lag(const struct partitions *parts);

#endif
