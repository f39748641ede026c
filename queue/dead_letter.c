#include "consumer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "producer.h"

/* A dead letter must never be what holds up a partition, so it always finds a form that the topic
 * takes: with everything; without the value; without the key and the foreign headers too. */
enum shape { SHAPE_WHOLE, SHAPE_NO_VALUE, SHAPE_BARE };
enum { OWN_FIELDS = 7 };

struct letter {
	struct letters *letters;
	struct producer *producer;
	rd_kafka_message_t *message; /* borrowed; NULL once it is gone */
	enum shape shape;
	char reason[32], reason_text[EVENT_REASON_MAX];
	void (*done)(void *arg, const struct err *err);
	void *arg;
	struct letter *prev, *next;
};

/* ---- figures ---- */

/* Every reason that docs/events.md names: the decoder's, then the database's. */
static const struct {
	const char *code, *label;
} reasons[] = {
    {"too_large", "reason=\"too_large\""},
    {"bad_json", "reason=\"bad_json\""},
    {"json_depth", "reason=\"json_depth\""},
    {"not_cloudevents", "reason=\"not_cloudevents\""},
    {"bad_specversion", "reason=\"bad_specversion\""},
    {"bad_content_type", "reason=\"bad_content_type\""},
    {"missing_attribute", "reason=\"missing_attribute\""},
    {"bad_attribute", "reason=\"bad_attribute\""},
    {"unknown_type", "reason=\"unknown_type\""},
    {"bad_data", "reason=\"bad_data\""},
    {"key_mismatch", "reason=\"key_mismatch\""},
    {"unknown_resource", "reason=\"unknown_resource\""},
    {"unknown_function", "reason=\"unknown_function\""},
    {"not_owner", "reason=\"not_owner\""},
    {"in_use", "reason=\"in_use\""},
    {"not_deleted", "reason=\"not_deleted\""},
    {"refused", "reason=\"refused\""},
    {"", "reason=\"other\""}, /* last: what is none of the above */
};
_Static_assert(N_OF(reasons) <= N_OF(((struct letters *)0)->rejected),
               "one metric for each reason");

void letters_init(struct letters *letters, struct loop *loop, const char *topic,
                  struct metrics *metrics)
{
	*letters = (struct letters){.loop = loop, .topic = topic};
	letters->sent = metrics_counter(metrics, "sandsweep_dead_letters_total", NULL,
	                                "Messages that the dead-letter topic has confirmed.");
	for (size_t i = 0; i < N_OF(reasons); i++)
		letters->rejected[i] =
		    metrics_counter(metrics, "sandsweep_events_rejected_total", reasons[i].label,
		                    "Events that went to the dead-letter topic, by reason.");
}

static void count(const struct letter *letter)
{
	size_t i = 0;
	while (i + 1 < N_OF(reasons) && strcmp(reasons[i].code, letter->reason) != 0)
		i++;
	metric_add(letter->letters->rejected[i], 1);
	metric_add(letter->letters->sent, 1);
}

/* ---- on their way ---- */

static void unlink_letter(struct letter *letter)
{
	if (letter->prev)
		letter->prev->next = letter->next;
	else
		letter->letters->first = letter->next;
	if (letter->next)
		letter->next->prev = letter->prev;
}

void letters_forget(struct letters *letters, const rd_kafka_message_t *message)
{
	for (struct letter *letter = letters->first; letter; letter = letter->next)
		if (letter->message == message)
			letter->message = NULL;
}

void letters_done(struct letters *letters)
{
	for (struct letter *letter = letters->first, *next; letter; letter = next) {
		next = letter->next;
		free(letter);
	}
	letters->first = NULL;
}

/* The texts of our own fields, which live as long as the call that sends them. */
struct own_text {
	char partition[16], offset[24], length[24], time[CLOCK_RFC3339_SIZE];
};

static struct event_field field(const char *name, const char *value)
{
	return (struct event_field){name, value, strlen(value)};
}

static size_t own_fields(const struct letter *letter, struct own_text *text,
                         struct event_field ret[OWN_FIELDS])
{
	const rd_kafka_message_t *message = letter->message;
	size_t n = 0;
	(void)snprintf(text->partition, sizeof(text->partition), "%d", (int)message->partition);
	(void)snprintf(text->offset, sizeof(text->offset), "%lld", (long long)message->offset);
	(void)snprintf(text->length, sizeof(text->length), "%zu", message->len);
	clock_rfc3339(loop_wall_us(letter->letters->loop), text->time);
	ret[n++] = field("sandsweep_reason", letter->reason);
	ret[n++] = field("sandsweep_reason_text", letter->reason_text);
	ret[n++] = field("sandsweep_topic", rd_kafka_topic_name(message->rkt));
	ret[n++] = field("sandsweep_partition", text->partition);
	ret[n++] = field("sandsweep_offset", text->offset);
	ret[n++] = field("sandsweep_time", text->time);
	if (letter->shape != SHAPE_WHOLE)
		ret[n++] = field("sandsweep_truncated", text->length);
	return n;
}

static void on_sent(void *arg, const struct err *err);

static int send_letter(struct letter *letter, struct err *err)
{
	rd_kafka_message_t *message = letter->message;
	struct own_text text = {0};
	size_t foreign = letter->shape == SHAPE_BARE ? 0 : consumer_fields(message, NULL, 0);
	struct event_field *fields = calloc(foreign + OWN_FIELDS, sizeof(*fields));
	if (!fields)
		return err_oom(err);
	(void)consumer_fields(message, fields, foreign);
	struct event_message out = {
	    .fields = fields, .field_count = foreign + own_fields(letter, &text, fields + foreign)};
	if (letter->shape != SHAPE_BARE) {
		out.key = message->key;
		out.key_len = message->key_len;
	}
	if (letter->shape == SHAPE_WHOLE) {
		out.value = message->payload;
		out.value_len = message->len;
	}
	int rc = producer_send(letter->producer, letter->letters->topic, &out, on_sent, letter, err);
	free(fields);
	return rc;
}

static void on_sent(void *arg, const struct err *err)
{
	struct letter *letter = arg;
	struct err again = {0};
	if (err && err->kind == ERR_REJECT && letter->shape != SHAPE_BARE && letter->message) {
		letter->shape++;
		if (send_letter(letter, &again) == 0)
			return;
		err = &again;
	}
	if (!err)
		count(letter);
	unlink_letter(letter);
	letter->done(letter->arg, err);
	free(letter);
}

int consumer_dead_letter(struct consumer *consumer, struct producer *producer,
                         const struct consumer_item *item,
                         void (*done)(void *arg, const struct err *err), void *arg, struct err *err)
{
	struct letters *letters = &consumer->letters;
	struct letter *letter = calloc(1, sizeof(*letter));
	if (!letter)
		return err_oom(err);
	*letter = (struct letter){.letters = letters,
	                          .producer = producer,
	                          .message = item->raw,
	                          .done = done,
	                          .arg = arg,
	                          .next = letters->first};
	memcpy(letter->reason, item->reject_code, sizeof(letter->reason));
	memcpy(letter->reason_text, item->reject_text, sizeof(letter->reason_text));
	if (send_letter(letter, err) < 0) {
		free(letter);
		return -1;
	}
	if (letter->next)
		letter->next->prev = letter;
	letters->first = letter;
	return 0;
}
