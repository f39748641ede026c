#include "producer.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

enum { EVENTS_PER_ROUND = 64 };

/* One message between producer_send() and `done`, in the list of all of them. */
struct sending {
	struct producer *producer;
	void (*done)(void *arg, const struct err *err);
	void *arg;
	struct sending *prev, *next;
	int refused; /* librdkafka did not even take it, by this code: told at the end of the round */
};

struct producer {
	struct loop *loop;
	struct producer_opts opts;
	rd_kafka_t *client;
	rd_kafka_queue_t *queue; /* the main queue: deliveries, errors, logs, statistics */
	struct client_wake wake;
	struct sending *sendings; /* newest first */
	struct loop_task tell_refused;
	int in_flight;
	int64_t progress_us;
	bool fatal;
};

/* ---- what comes back ---- */

static void on_fatal(struct producer *producer, const struct err *err)
{
	if (producer->fatal)
		return;
	producer->fatal = true;
	producer->opts.on_fatal(producer->opts.arg, err);
}

static void unlink_sending(struct sending *sending)
{
	struct producer *producer = sending->producer;
	if (sending->prev)
		sending->prev->next = sending->next;
	else
		producer->sendings = sending->next;
	if (sending->next)
		sending->next->prev = sending->prev;
	producer->in_flight--;
}

/* The last thing that happens to a message. To its sender an error is either for ever or for now;
 * one that is neither is the producer's own. */
static void finish(struct sending *sending, const struct err *err)
{
	struct producer *producer = sending->producer;
	struct err told = {0};
	unlink_sending(sending);
	if (err && err->kind == ERR_FATAL) {
		(void)err_set(&told, ERR_RETRY, err->code, "%s", err->text);
		sending->done(sending->arg, &told);
		on_fatal(producer, err);
	} else {
		sending->done(sending->arg, err);
	}
	free(sending);
}

static void tell_refused(void *arg)
{
	struct producer *producer = arg;
	struct sending *next;
	for (struct sending *s = producer->sendings; s; s = next) {
		struct err err = {0};
		next = s->next;
		if (!s->refused)
			continue;
		(void)kafka_err(&err, s->refused, "a message was not taken");
		finish(s, &err);
		next = producer->sendings; /* `done` may have sent or ended others */
	}
}

static void on_deliveries(struct producer *producer, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *message;
	while ((message = rd_kafka_event_message_next(event))) {
		struct err err = {0};
		if (message->err) {
			(void)kafka_err(&err, message->err, "a message was not delivered");
		} else {
			producer->progress_us = loop_now_us(producer->loop);
		}
		finish(message->_private, message->err ? &err : NULL);
	}
}

static void on_error(struct producer *producer, rd_kafka_event_t *event)
{
	int code = rd_kafka_event_error(event);
	const char *text = rd_kafka_event_error_string(event);
	struct err err = {0}, kind = {0};
	(void)kafka_err(&kind, code, text);
	if (rd_kafka_event_error_is_fatal(event) || kind.kind == ERR_FATAL) {
		client_fatal(producer->client, code, text, &err);
		on_fatal(producer, &err);
		return;
	}
	/* librdkafka tries again by itself; messages that do not make it tell of themselves */
	client_log_error(code, text);
}

/* With nothing on its way, a connected broker is all the progress that there can be. */
static void on_stats(struct producer *producer, rd_kafka_event_t *event)
{
	const char *report = rd_kafka_event_stats(event);
	if (producer->in_flight == 0 && client_heard_us(report, strlen(report)) >= 0)
		producer->progress_us = loop_now_us(producer->loop);
}

static void on_event(struct producer *producer, rd_kafka_event_t *event)
{
	const char *facility, *text;
	int level;
	switch (rd_kafka_event_type(event)) {
	case RD_KAFKA_EVENT_DR: on_deliveries(producer, event); break;
	case RD_KAFKA_EVENT_ERROR: on_error(producer, event); break;
	case RD_KAFKA_EVENT_STATS: on_stats(producer, event); break;
	case RD_KAFKA_EVENT_LOG:
		if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
			client_log(level, facility, text);
		break;
	default: break;
	}
}

static void on_wake(void *arg)
{
	struct producer *producer = arg;
	for (int i = 0; i < EVENTS_PER_ROUND; i++) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(producer->queue, 0);
		if (!event)
			return;
		on_event(producer, event);
		rd_kafka_event_destroy(event);
	}
	client_wake_again(&producer->wake);
}

/* ---- life ---- */

static rd_kafka_t *new_client(const struct kafka_config *config, struct err *err)
{
	rd_kafka_conf_t *conf = client_conf(config, CLIENT_PRODUCER, err);
	if (!conf)
		return NULL;
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS |
	                                   RD_KAFKA_EVENT_LOG);
	return client_new(CLIENT_PRODUCER, conf, err);
}

struct producer *producer_new(struct loop *loop, const struct kafka_config *config,
                              const struct producer_opts *opts, struct err *err)
{
	struct producer *producer = calloc(1, sizeof(*producer));
	if (!producer) {
		(void)err_oom(err);
		return NULL;
	}
	producer->loop = loop;
	producer->opts = *opts;
	producer->wake.fd = -1;
	producer->progress_us = loop_now_us(loop);
	loop_task_init(&producer->tell_refused, tell_refused, producer);
	producer->client = new_client(config, err);
	if (producer->client) {
		producer->queue = rd_kafka_queue_get_main(producer->client);
		if (client_wake_init(&producer->wake, loop, producer->queue, on_wake, producer, err) == 0)
			return producer;
	}
	producer_free(producer, 0);
	return NULL;
}

void producer_free(struct producer *producer, int64_t wait_ms)
{
	if (!producer)
		return;
	client_wake_done(&producer->wake, producer->loop);
	loop_task_cancel(producer->loop, &producer->tell_refused);
	if (producer->queue)
		rd_kafka_queue_destroy(producer->queue);
	/* What is still queued goes with the client; its reports find nobody. */
	(void)client_destroy(producer->client, wait_ms);
	for (struct sending *sending = producer->sendings, *next; sending; sending = next) {
		next = sending->next;
		free(sending);
	}
	free(producer);
}

/* ---- sending ---- */

static rd_kafka_headers_t *headers_of(const struct event_message *message)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(message->field_count);
	for (size_t i = 0; i < message->field_count; i++)
		(void)rd_kafka_header_add(headers, message->fields[i].name, -1, message->fields[i].value,
		                          (ssize_t)message->fields[i].len);
	return headers;
}

/* librdkafka's answer; it copies key and value, and owns the headers only when it takes them. */
static rd_kafka_resp_err_t produce(struct sending *sending, const char *topic,
                                   const struct event_message *message)
{
	rd_kafka_headers_t *headers = headers_of(message);
	rd_kafka_vu_t parts[] = {
	    {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
	    {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
	    {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)message->key, message->key_len}},
	    {.vtype = RD_KAFKA_VTYPE_VALUE,
	     .u.mem = {(void *)(uintptr_t)message->value, message->value_len}},
	    {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = sending},
	    {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
	};
	rd_kafka_error_t *error = rd_kafka_produceva(sending->producer->client, parts, N_OF(parts));
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	if (error)
		rd_kafka_headers_destroy(headers);
	rd_kafka_error_destroy(error);
	return code;
}

static void link_sending(struct sending *sending)
{
	struct producer *producer = sending->producer;
	/* Waiting for an answer begins with the first question. */
	if (producer->in_flight++ == 0)
		producer->progress_us = loop_now_us(producer->loop);
	sending->next = producer->sendings;
	if (sending->next)
		sending->next->prev = sending;
	producer->sendings = sending;
}

int producer_send(struct producer *producer, const char *topic, const struct event_message *message,
                  void (*done)(void *arg, const struct err *err), void *arg, struct err *err)
{
	struct sending *sending = calloc(1, sizeof(*sending));
	if (!sending)
		return err_oom(err);
	*sending = (struct sending){.producer = producer, .done = done, .arg = arg};
	rd_kafka_resp_err_t code = produce(sending, topic, message);
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
		free(sending);
		return err_set(err, ERR_RETRY, "QUEUE_FULL", "the producer's queue is full");
	}
	link_sending(sending);
	sending->refused = code;
	if (code)
		loop_defer(producer->loop, &producer->tell_refused);
	return 0;
}

int producer_in_flight(const struct producer *producer)
{
	return producer->in_flight;
}

int64_t producer_last_progress_us(const struct producer *producer)
{
	return producer->progress_us;
}
