/* A Kafka broker for tests: librdkafka's mock cluster in a process of its own, so that any number
 * of clients can use it, and a control socket through which a test makes it misbehave.
 *
 *   mockbroker --dir DIR [--port PORT] [--brokers N] [--topic NAME:PARTITIONS]...
 *
 * DIR/bootstrap   HOST:PORT[,...], written once everything answers
 * DIR/control     UNIX stream socket: one command a line, one answer a line, "ok" or "error: TEXT"
 *
 * What it cannot do: keep anything over a restart, keep more than about 5 MiB a partition (older
 * messages vanish silently), create topics on a client's request, isolate read_committed. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/macros.h"
#include "base/num.h"

enum {
	TOPICS_MAX = 32,
	CLIENTS_MAX = 16,
	LINE_MAX_BYTES = 512,
	ERRORS_MAX = 1000,
	PARTITIONS_MAX = 1000,
	BROKERS_MAX = 9,
	RTT_MAX_MS = 600000,
	ARGS_MAX = 3,
	ALL_BROKERS = -1,
};

struct topic {
	char *name; /* borrowed from argv */
	int partition_count;
};

struct options {
	const char *dir;
	int port; /* 0: the kernel picks */
	int broker_count;
	struct topic topics[TOPICS_MAX];
	size_t topic_count;
};

struct client {
	int fd; /* -1: free */
	size_t used_bytes;
	char line[LINE_MAX_BYTES];
};

struct mock {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	int broker_count;
	int signal_fd;
	int listen_fd;
	bool stop;
	struct client clients[CLIENTS_MAX];
};

static _Noreturn void die(int code, const char *format, ...) PRINTF(2, 3);

static _Noreturn void die(int code, const char *format, ...)
{
	va_list ap;

	fputs("mockbroker: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(code);
}

static bool parse_int(const char *text, int min, int max, int *ret)
{
	int64_t value;

	if (num_i64(text, strlen(text), min, max, &value) < 0)
		return false;
	*ret = (int)value;
	return true;
}

/* ---- the port ---- */

/* Read by mock_bind() only; a parameter cannot reach it through librdkafka. */
static in_port_t wanted_port;

/* librdkafka binds its mock brokers to port 0. A broker that comes back after a kill must have its
 * old address, so the executable takes over bind() and fills in --port, the first broker's, and the
 * ports after it for the others. A taken port ends the process here: the library would fail an
 * assertion. (The assembler name avoids glibc's transparent-union prototype.) */
int mock_bind(int fd, const struct sockaddr *addr, socklen_t len) __asm__("bind")
    __attribute__((visibility("default"), used));

int mock_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_in in;
	const int one = 1;

	if (!wanted_port || addr->sa_family != AF_INET || len < sizeof(in))
		return (int)syscall(SYS_bind, fd, addr, len);
	memcpy(&in, addr, sizeof(in));
	in.sin_port = htons(wanted_port);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    syscall(SYS_bind, fd, &in, sizeof(in)) < 0)
		die(EX_UNAVAILABLE, "cannot listen on port %d: %s", wanted_port, strerror(errno));
	wanted_port++;
	return 0;
}

/* ---- commands ---- */

/* NULL when all went well, else a text that lives for ever. */
static const char *answer(rd_kafka_resp_err_t err)
{
	return err ? rd_kafka_err2str(err) : NULL;
}

/* The code of the Kafka protocol, or librdkafka's own negative one (-195: cut the connection). */
static bool parse_code(const char *text, rd_kafka_resp_err_t *ret)
{
	int code;

	if (!parse_int(text, RD_KAFKA_RESP_ERR__BEGIN, RD_KAFKA_RESP_ERR_END_ALL - 1, &code))
		return false;
	*ret = (rd_kafka_resp_err_t)code;
	return true;
}

static const char *cmd_errors(struct mock *m, char **arg)
{
	rd_kafka_resp_err_t code, codes[ERRORS_MAX];
	int key, count;

	if (!parse_int(arg[0], 0, INT16_MAX, &key))
		return "APIKEY is not a number from 0 to 32767";
	if (!parse_code(arg[1], &code))
		return "CODE is not an error code";
	if (!parse_int(arg[2], 1, ERRORS_MAX, &count))
		return "COUNT is not a number from 1 to 1000";
	for (int i = 0; i < count; i++)
		codes[i] = code;
	rd_kafka_mock_push_request_errors_array(m->cluster, (int16_t)key, (size_t)count, codes);
	return NULL;
}

static const char *cmd_clear(struct mock *m, char **arg)
{
	int key;

	if (!parse_int(arg[0], 0, INT16_MAX, &key))
		return "APIKEY is not a number from 0 to 32767";
	rd_kafka_mock_clear_request_errors(m->cluster, (int16_t)key);
	return NULL;
}

static const char *cmd_rtt(struct mock *m, char **arg)
{
	int rtt_ms;

	if (!parse_int(arg[0], 0, RTT_MAX_MS, &rtt_ms))
		return "MS is not a number from 0 to 600000";
	return answer(rd_kafka_mock_broker_set_rtt(m->cluster, ALL_BROKERS, rtt_ms));
}

static const char *cmd_down(struct mock *m, char **arg)
{
	(void)arg;
	return answer(rd_kafka_mock_broker_set_down(m->cluster, ALL_BROKERS));
}

static const char *cmd_up(struct mock *m, char **arg)
{
	(void)arg;
	return answer(rd_kafka_mock_broker_set_up(m->cluster, ALL_BROKERS));
}

static const char *cmd_topic(struct mock *m, char **arg)
{
	int count;

	if (!parse_int(arg[1], 1, PARTITIONS_MAX, &count))
		return "PARTITIONS is not a number from 1 to 1000";
	return answer(rd_kafka_mock_topic_create(m->cluster, arg[0], count, m->broker_count));
}

static const char *cmd_topic_error(struct mock *m, char **arg)
{
	rd_kafka_resp_err_t code;

	if (!parse_code(arg[1], &code))
		return "CODE is not an error code";
	rd_kafka_mock_topic_set_error(m->cluster, arg[0], code);
	return NULL;
}

static const char *cmd_quit(struct mock *m, char **arg)
{
	(void)arg;
	m->stop = true;
	return NULL;
}

static const struct command {
	const char *name;
	size_t arg_count;
	const char *(*run)(struct mock *m, char **arg);
} commands[] = {
    {"errors", 3, cmd_errors}, /* APIKEY CODE COUNT: fail the next COUNT requests of a kind */
    {"clear", 1, cmd_clear},   /* APIKEY: forget what `errors` still holds */
    {"rtt", 1, cmd_rtt},       /* MS: delay every answer */
    {"down", 0, cmd_down},     /* cut all connections, accept none; the data stays */
    {"up", 0, cmd_up},         /* accept again, same port */
    {"topic", 2, cmd_topic},   /* NAME PARTITIONS: create */
    {"topic-error", 2, cmd_topic_error}, /* NAME CODE: what metadata says of it; 0 heals it */
    {"quit", 0, cmd_quit},
};

/* Splits `line` in place at spaces. Returns how many words; ARGS_MAX + 2 is more than any takes. */
static size_t split_words(char *line, char *words[ARGS_MAX + 2])
{
	static const char blank[] = " \t\r";
	size_t n = 0;

	for (line += strspn(line, blank); *line && n < ARGS_MAX + 2; line += strspn(line, blank)) {
		words[n++] = line;
		line += strcspn(line, blank);
		if (*line)
			*line++ = '\0';
	}
	return n;
}

static const char *run_line(struct mock *m, char *line)
{
	char *words[ARGS_MAX + 2];
	size_t n = split_words(line, words);

	if (n == 0)
		return "empty command";
	for (size_t i = 0; i < N_OF(commands); i++) {
		if (strcmp(words[0], commands[i].name) != 0)
			continue;
		if (n - 1 != commands[i].arg_count)
			return "wrong number of arguments";
		return commands[i].run(m, words + 1);
	}
	return "unknown command";
}

/* ---- clients ---- */

static void client_close(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	*c = (struct client){.fd = -1};
}

/* Answers are a few bytes to a peer that waits for them: a full socket buffer means a lost peer. */
static bool client_answer(const struct client *c, const char *error)
{
	char text[256];
	int len = snprintf(text, sizeof(text), error ? "error: %s\n" : "ok\n", error);

	if (len < 0 || (size_t)len >= sizeof(text))
		return false;
	return send(c->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) == len;
}

/* Runs every whole line in the buffer and keeps the rest. False: drop the client. */
static bool client_lines(struct mock *m, struct client *c)
{
	char *end;

	while ((end = memchr(c->line, '\n', c->used_bytes))) {
		size_t line_bytes = (size_t)(end - c->line) + 1;

		*end = '\0';
		if (!client_answer(c, run_line(m, c->line)))
			return false;
		c->used_bytes -= line_bytes;
		memmove(c->line, c->line + line_bytes, c->used_bytes);
	}
	if (c->used_bytes < sizeof(c->line))
		return true;
	(void)client_answer(c, "line longer than 511 bytes");
	return false;
}

static void client_read(struct mock *m, struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->used_bytes, sizeof(c->line) - c->used_bytes, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->used_bytes += (size_t)n;
	if (n <= 0 || !client_lines(m, c))
		client_close(c);
}

static void client_accept(struct mock *m)
{
	int fd = accept(m->listen_fd, NULL, NULL);

	if (fd < 0)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (m->clients[i].fd < 0) {
			m->clients[i].fd = fd;
			return;
		}
	}
	(void)close(fd);
}

/* ---- start, serve, stop ---- */

static const char usage[] =
    "usage: mockbroker --dir DIR [--port PORT] [--brokers N] [--topic NAME:PARTITIONS]...";

static void parse_topic(struct options *o, char *text)
{
	struct topic *t = &o->topics[o->topic_count];
	char *colon = strrchr(text, ':');

	if (o->topic_count == TOPICS_MAX)
		die(EX_USAGE, "more than %d topics", (int)TOPICS_MAX);
	if (!colon || colon == text || !parse_int(colon + 1, 1, PARTITIONS_MAX, &t->partition_count))
		die(EX_USAGE, "--topic %s is not NAME:PARTITIONS", text);
	*colon = '\0';
	t->name = text;
	o->topic_count++;
}

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
	    {"dir", required_argument, NULL, 'd'},
	    {"port", required_argument, NULL, 'p'},
	    {"brokers", required_argument, NULL, 'b'},
	    {"topic", required_argument, NULL, 't'},
	    {NULL, 0, NULL, 0},
	};
	int opt;

	opterr = 0; /* the sentence is ours */
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'd')
			o->dir = optarg;
		else if (opt == 't')
			parse_topic(o, optarg);
		else if (opt == 'p' && !parse_int(optarg, 0, UINT16_MAX - BROKERS_MAX, &o->port))
			die(EX_USAGE, "--port %s is not a port number", optarg);
		else if (opt == 'b' && !parse_int(optarg, 1, BROKERS_MAX, &o->broker_count))
			die(EX_USAGE, "--brokers %s is not a number from 1 to %d", optarg, (int)BROKERS_MAX);
		else if (opt == '?')
			die(EX_USAGE, "%s", usage);
	}
	if (!o->dir || optind != argc)
		die(EX_USAGE, "%s", usage);
}

/* Before librdkafka starts its threads, so that the signals reach nobody else. */
static int open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || (fd = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
		die(EX_OSERR, "cannot wait for signals: %s", strerror(errno));
	return fd;
}

/* Relative to DIR, the working directory: a socket's path has at most 107 bytes, DIR may have more. */
static int open_control(const char *dir)
{
	const struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "control"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)unlink(addr.sun_path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, CLIENTS_MAX) < 0)
		die(EX_CANTCREAT, "cannot listen on %s/control: %s", dir, strerror(errno));
	return fd;
}

static void open_cluster(struct mock *m, const struct options *o)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_resp_err_t err;
	char text[512];

	(void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
	m->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (!m->rk)
		die(EX_SOFTWARE, "librdkafka does not start: %s", text);
	wanted_port = (in_port_t)o->port;
	m->broker_count = o->broker_count;
	m->cluster = rd_kafka_mock_cluster_new(m->rk, o->broker_count);
	if (!m->cluster)
		die(EX_SOFTWARE, "the mock cluster does not start");
	wanted_port = 0;
	for (size_t i = 0; i < o->topic_count; i++) {
		err = rd_kafka_mock_topic_create(m->cluster, o->topics[i].name,
		                                 o->topics[i].partition_count, o->broker_count);
		if (err)
			die(EX_USAGE, "cannot create topic %s: %s", o->topics[i].name, rd_kafka_err2str(err));
	}
}

/* Written aside and renamed: whoever sees the file sees all of it. */
static void write_bootstrap(const struct mock *m, const char *dir)
{
	FILE *f = fopen("bootstrap.new", "we");
	bool ok = f && fprintf(f, "%s\n", rd_kafka_mock_cluster_bootstraps(m->cluster)) > 0;

	ok = f && fclose(f) == 0 && ok;
	if (!ok || rename("bootstrap.new", "bootstrap") < 0)
		die(EX_CANTCREAT, "cannot write %s/bootstrap: %s", dir, strerror(errno));
}

static void serve(struct mock *m)
{
	struct pollfd fds[2 + CLIENTS_MAX] = {{m->signal_fd, POLLIN, 0}, {m->listen_fd, POLLIN, 0}};

	while (!m->stop) {
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			fds[2 + i] = (struct pollfd){m->clients[i].fd, POLLIN, 0}; /* poll skips fd -1 */
		if (poll(fds, N_OF(fds), -1) < 0 && errno != EINTR)
			die(EX_OSERR, "poll: %s", strerror(errno));
		if (fds[0].revents)
			return;
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			if (fds[2 + i].revents)
				client_read(m, &m->clients[i]);
		if (fds[1].revents)
			client_accept(m);
	}
}

/* The kernel frees what is left, the cluster too: taking it apart costs librdkafka a second. */
static _Noreturn void finish(void)
{
	(void)unlink("bootstrap");
	(void)unlink("control");
	_exit(EX_OK);
}

int main(int argc, char **argv)
{
	struct options o = {.broker_count = 1};
	struct mock m = {0};

	parse_options(argc, argv, &o);
	if (chdir(o.dir) < 0)
		die(EX_NOINPUT, "cannot enter %s: %s", o.dir, strerror(errno));
	(void)unlink("bootstrap");
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		m.clients[i].fd = -1;
	m.signal_fd = open_signals();
	open_cluster(&m, &o);
	m.listen_fd = open_control(o.dir);
	write_bootstrap(&m, o.dir);
	serve(&m);
	finish();
}
