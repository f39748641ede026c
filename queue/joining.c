#include "joining.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { JOIN_GROUP = 11, SYNC_GROUP = 14 }; /* API keys of the Kafka protocol */

struct joining {
	atomic_bool now, ever;
};

/* Joining begins with the request to join and ends with the answer to the one that follows it, in
 * which each member learns its partitions. A failure in between is followed by another try. */
static rd_kafka_resp_err_t on_request(rd_kafka_t *client, int fd, const char *broker,
                                      int32_t broker_id, int16_t key, int16_t version,
                                      int32_t correlation, size_t size, void *arg)
{
	struct joining *joining = arg;
	(void)client, (void)fd, (void)broker, (void)broker_id, (void)version, (void)correlation,
	    (void)size;
	if (key == JOIN_GROUP) {
		atomic_store(&joining->ever, true);
		atomic_store(&joining->now, true);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_response(rd_kafka_t *client, int fd, const char *broker,
                                       int32_t broker_id, int16_t key, int16_t version,
                                       int32_t correlation, size_t size, int64_t rtt,
                                       rd_kafka_resp_err_t code, void *arg)
{
	struct joining *joining = arg;
	(void)client, (void)fd, (void)broker, (void)broker_id, (void)version, (void)correlation,
	    (void)size;
	(void)rtt;
	if (key == SYNC_GROUP && !code)
		atomic_store(&joining->now, false);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *arg,
                                  char *text, size_t size)
{
	static const char name[] = "sandsweep";
	(void)conf;
	rd_kafka_resp_err_t code =
	    rd_kafka_interceptor_add_on_request_sent(client, name, on_request, arg);
	if (!code)
		code = rd_kafka_interceptor_add_on_response_received(client, name, on_response, arg);
	if (code)
		(void)snprintf(text, size, "%s", rd_kafka_err2str(code));
	return code;
}

struct joining *joining_new(rd_kafka_conf_t *conf, struct err *err)
{
	struct joining *joining = calloc(1, sizeof(*joining));
	if (!joining) {
		(void)err_oom(err);
		return NULL;
	}
	rd_kafka_resp_err_t code =
	    rd_kafka_conf_interceptor_add_on_new(conf, "sandsweep", on_new, joining);
	if (!code)
		return joining;
	(void)err_set(err, ERR_FATAL, "kafka_property", "librdkafka takes no interceptor: %s",
	              rd_kafka_err2str(code));
	free(joining);
	return NULL;
}

void joining_free(struct joining *joining)
{
	free(joining);
}

bool joining_now(const struct joining *joining)
{
	return atomic_load(&joining->now);
}

bool joining_ever(const struct joining *joining)
{
	return atomic_load(&joining->ever);
}

void joining_expect(struct joining *joining)
{
	atomic_store(&joining->now, true);
}
