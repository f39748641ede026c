#include "kafka.h"

#include <librdkafka/rdkafka.h>

static const struct config_row rows[] = {
    {"bootstrap_servers", CONFIG_STR, offsetof(struct kafka_config, bootstrap_servers), 0, 0, NULL,
     false, "Brokers to start from, HOST:PORT[,HOST:PORT...]; the others are learnt from them."},
    {"events_topic", CONFIG_STR, offsetof(struct kafka_config, events_topic), 0, 0,
     "sandsweep.events", false,
     "Topic of the delete and recycle events, which the outbox is relayed to and workers consume."},
    {"results_topic", CONFIG_STR, offsetof(struct kafka_config, results_topic), 0, 0,
     "sandsweep.results", false, "Topic on which it is told what became of each resource."},
    {"dead_letter_topic", CONFIG_STR, offsetof(struct kafka_config, dead_letter_topic), 0, 0,
     "sandsweep.deadletters", false,
     "Topic of the messages that cannot be carried out, each with the reason in its headers."},
    {"group_id", CONFIG_STR, offsetof(struct kafka_config, group_id), 0, 0, "sandsweep-workers",
     false, "Consumer group of the workers: those of one group share the events topic."},
    {"batch_max", CONFIG_I64, offsetof(struct kafka_config, batch_max), 1, 5000, "500", false,
     "Events that are carried out in one transaction, at most."},
    {"partitions", CONFIG_I64, offsetof(struct kafka_config, partitions), 1, 10000, "12", false,
     "Partitions of each topic that `topics create` makes: the most workers that can share the "
     "work."},
    {"replication_factor", CONFIG_I64, offsetof(struct kafka_config, replication_factor), 1, 100,
     "1", false,
     "Copies of each topic that `topics create` makes. 3 where losing a broker must not lose "
     "events."},
};

const struct config_section kafka_section = {
    .name = "kafka",
    .help = "Apache Kafka, or what speaks its protocol. Any other key of this section is handed to "
            "librdkafka as it is (security.protocol, sasl.username, ssl.ca.location, ...), except "
            "those on which correctness rests.",
    .rows = rows,
    .row_count = N_OF(rows),
    .open = true,
};

/* The whole policy for Kafka's error codes. */
static enum err_kind kind_of(int code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD: return ERR_REJECT;
	/* nobody but an operator can help */
	case RD_KAFKA_RESP_ERR__FATAL:
	case RD_KAFKA_RESP_ERR__FENCED:
	case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
	case RD_KAFKA_RESP_ERR__INVALID_ARG:
	case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
	case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
	case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
	case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
	case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
	/* who we are */
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
	case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
	/* a topic that is not there */
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return ERR_FATAL;
	default: return ERR_RETRY;
	}
}

int kafka_err(struct err *err, int code, const char *what)
{
	const char *name = rd_kafka_err2name((rd_kafka_resp_err_t)code);
	const char *text = rd_kafka_err2str((rd_kafka_resp_err_t)code);
	bool no_topic =
	    code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	/* librdkafka marks its own codes with an underscore; whoever reads ours need not know. */
	return err_set(err, kind_of(code), name + (*name == '_'), "%s: %s%s", what, text,
	               no_topic ? " (run `sandsweep topics create`)" : "");
}
