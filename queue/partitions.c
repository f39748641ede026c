#include "partitions.h"

#include <stdlib.h>
#include <string.h>

void partitions_done(struct partitions *parts)
{
	free(parts->list);
	*parts = (struct partitions){0};
}

/* The index of `id`, or where it would stand. */
static int lower_bound(const struct partitions *parts, int32_t id)
{
	int low = 0, high = parts->count;
	while (low < high) {
		int middle = low + (high - low) / 2;
		if (parts->list[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct partition *partitions_find(const struct partitions *parts, int32_t id)
{
	int at = lower_bound(parts, id);
	return at < parts->count && parts->list[at].id == id ? &parts->list[at] : NULL;
}

static int grow(struct partitions *parts, struct err *err)
{
	int capacity = parts->capacity ? 2 * parts->capacity : 16;
	struct partition *list = reallocarray(parts->list, (size_t)capacity, sizeof(*list));
	if (!list)
		return err_oom(err);
	parts->list = list;
	parts->capacity = capacity;
	return 0;
}

int partitions_add(struct partitions *parts, int32_t id, struct err *err)
{
	int at = lower_bound(parts, id);
	if (parts->count == parts->capacity && grow(parts, err) < 0)
		return -1;
	struct partition *part = &parts->list[at];
	memmove(part + 1, part, (size_t)(parts->count - at) * sizeof(*part));
	*part = (struct partition){.id = id, .position = -1, .done = -1, .asked = -1, .committed = -1};
	parts->count++;
	return 0;
}

/* ---- pausing ---- */

static rd_kafka_topic_partition_list_t *list_of(const struct partitions *parts,
                                                const struct partition *part)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	(void)rd_kafka_topic_partition_list_add(list, parts->topic, part->id);
	return list;
}

/* Failures of these calls name partitions that librdkafka no longer knows, and then there is
 * nothing to pause or resume. */
void partitions_pause(struct partitions *parts, struct partition *part)
{
	if (part->paused)
		return;
	rd_kafka_topic_partition_list_t *list = list_of(parts, part);
	(void)rd_kafka_pause_partitions(parts->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	part->paused = true;
}

void partitions_take_back(struct partitions *parts, struct partition *part, int64_t offset)
{
	partitions_pause(parts, part);
	part->position = offset;
}

void partitions_pause_known(struct partitions *parts)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(parts->count);
	for (int i = 0; i < parts->count; i++) {
		struct partition *part = &parts->list[i];
		if (part->paused || part->position < 0)
			continue;
		(void)rd_kafka_topic_partition_list_add(list, parts->topic, part->id);
		part->paused = true;
	}
	if (list->cnt > 0)
		(void)rd_kafka_pause_partitions(parts->client, list);
	rd_kafka_topic_partition_list_destroy(list);
}

/* The seek goes first, while nothing is fetched. */
void partitions_resume(struct partitions *parts)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(parts->count);
	for (int i = 0; i < parts->count; i++) {
		struct partition *part = &parts->list[i];
		if (!part->paused)
			continue;
		rd_kafka_topic_partition_list_add(list, parts->topic, part->id)->offset = part->position;
		part->paused = false;
	}
	if (list->cnt > 0) {
		rd_kafka_error_destroy(rd_kafka_seek_partitions(parts->client, list, 0));
		(void)rd_kafka_resume_partitions(parts->client, list);
	}
	rd_kafka_topic_partition_list_destroy(list);
}

/* What the broker last said is behind our position; -1: it did not say, or we have none. */
static int64_t lag_of(const struct partitions *parts, const struct partition *part)
{
	int64_t low, high;
	if (part->position < 0 ||
	    rd_kafka_get_watermark_offsets(parts->client, parts->topic, part->id, &low, &high) ||
	    high < 0)
		return -1;
	return high > part->position ? high - part->position : 0;
}

void partitions_nudge(struct partitions *parts)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(parts->count);
	for (int i = 0; i < parts->count; i++) {
		const struct partition *part = &parts->list[i];
		if (!part->paused && lag_of(parts, part) > 0)
			rd_kafka_topic_partition_list_add(list, parts->topic, part->id)->offset =
			    part->position;
	}
	if (list->cnt > 0)
		rd_kafka_error_destroy(rd_kafka_seek_partitions(parts->client, list, 0));
	rd_kafka_topic_partition_list_destroy(list);
}

void partitions_remove(struct partitions *parts, int32_t id)
{
	struct partition *part = partitions_find(parts, id);
	if (!part)
		return;
	if (part->paused) {
		rd_kafka_topic_partition_list_t *list = list_of(parts, part);
		(void)rd_kafka_resume_partitions(parts->client, list);
		rd_kafka_topic_partition_list_destroy(list);
	}
	parts->count--;
	memmove(part, part + 1, (size_t)(&parts->list[parts->count] - part) * sizeof(*part));
}

/* ---- commits ---- */

rd_kafka_topic_partition_list_t *partitions_to_commit(struct partitions *parts)
{
	rd_kafka_topic_partition_list_t *list = NULL;
	for (int i = 0; i < parts->count; i++) {
		struct partition *part = &parts->list[i];
		if (part->done == part->asked)
			continue;
		if (!list)
			list = rd_kafka_topic_partition_list_new(parts->count);
		rd_kafka_topic_partition_list_add(list, parts->topic, part->id)->offset = part->done;
		part->asked = part->done;
	}
	return list;
}

int partitions_on_commit(struct partitions *parts, rd_kafka_resp_err_t code,
                         const rd_kafka_topic_partition_list_t *offsets)
{
	int failed = 0;
	for (int i = 0; !offsets && i < parts->count; i++) {
		parts->list[i].asked = parts->list[i].committed; /* it did not even say for which */
		failed++;
	}
	for (int i = 0; offsets && i < offsets->cnt; i++) {
		const rd_kafka_topic_partition_t *elem = &offsets->elems[i];
		struct partition *part = partitions_find(parts, elem->partition);
		bool ok = !code && !elem->err;
		failed += !ok;
		if (part && ok)
			part->committed = elem->offset;
		else if (part && part->asked == elem->offset)
			part->asked = part->committed;
	}
	return failed;
}

int64_t partitions_lag(const struct partitions *parts)
{
	int64_t sum = 0;
	for (int i = 0; i < parts->count; i++) {
		int64_t lag = lag_of(parts, &parts->list[i]);
		if (lag < 0)
			return -1;
		sum += lag;
	}
	return sum;
}
