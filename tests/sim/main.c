/* The sandbox platform for tests: sandboxes and volumes that behave as the platform's do
 * (docs/platform.md), the unpleasant parts included, and a control port through which a test makes and breaks them. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/log.h"
#include "control_api.h"
#include "exchange.h"

static const char usage[] =
    "usage: sandsweep-sim --listen HOST:PORT --control HOST:PORT --token TOKEN\n"
    "                     [--ready-file FILE]\n"
    "Port 0: the kernel picks one. FILE gets \"URL CONTROL_URL\\n\" once both ports listen.\n";

enum {
	PUBLIC_BODY_MAX = 4 << 20,
	CONTROL_BODY_MAX = 512 << 20,
	HEADER_MAX = 4 << 10, /* small: the server clears twice as much for every request */
	CONNS_MAX = 60000,
	IDLE_MS = 3600000,
	REQUEST_MS = 600000,
};

struct options {
	const char *listen, *control, *token, *ready_file;
};

/* 0, or -1 when the command line is wrong. */
static int read_options(int argc, char **argv, struct options *ret)
{
	static const struct option names[] = {{"listen", required_argument, NULL, 'l'},
	                                      {"control", required_argument, NULL, 'c'},
	                                      {"token", required_argument, NULL, 't'},
	                                      {"ready-file", required_argument, NULL, 'r'},
	                                      {0}};
	int letter;
	while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (letter) {
		case 'l': ret->listen = optarg; break;
		case 'c': ret->control = optarg; break;
		case 't': ret->token = optarg; break;
		case 'r': ret->ready_file = optarg; break;
		default: return -1;
		}
	}
	return optind == argc && ret->listen && ret->control && ret->token ? 0 : -1;
}

static size_t public_body_max(void *arg, const char *method, const char *path)
{
	(void)arg, (void)method, (void)path;
	return PUBLIC_BODY_MAX;
}

static size_t control_body_max(void *arg, const char *method, const char *path)
{
	(void)arg, (void)method, (void)path;
	return CONTROL_BODY_MAX;
}

/* Many clients and hanging requests: as many descriptors as the system lets us have. */
static void raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int listen_all(struct sim *sim, const struct options *options, struct err *err)
{
	/* answer_ms 0: a hanging request hangs. */
	const struct http_limits limits = {.header_max_bytes = HEADER_MAX,
	                                   .conns_max = CONNS_MAX,
	                                   .idle_ms = IDLE_MS,
	                                   .request_ms = REQUEST_MS};
	struct http_opts opts = {.listen = options->listen,
	                         .limits = limits,
	                         .body_max = public_body_max,
	                         .on_request = exchange_on_request,
	                         .on_refused = exchange_on_refused,
	                         .arg = sim};
	sim->public_server = http_server_new(sim->loop, &opts, err);
	if (!sim->public_server)
		return -1;
	opts.listen = options->control;
	opts.body_max = control_body_max;
	opts.on_request = control_on_request;
	opts.on_refused = control_on_refused;
	sim->control_server = http_server_new(sim->loop, &opts, err);
	return sim->control_server ? 0 : -1;
}

/* "http://HOST:PORT" of a listen text and the port that it became. */
static void write_url(FILE *out, const char *listen, const struct http_server *server)
{
	const char *colon = strrchr(listen, ':');
	int host_len = colon && colon > listen ? (int)(colon - listen) : 0;
	(void)fprintf(out, "http://%.*s:%d", host_len ? host_len : 9, host_len ? listen : "127.0.0.1",
	              http_server_port(server));
}

static void write_urls(FILE *out, const struct sim *sim, const struct options *options)
{
	write_url(out, options->listen, sim->public_server);
	(void)fputc(' ', out);
	write_url(out, options->control, sim->control_server);
	(void)fputc('\n', out);
}

/* Under another name first: whoever sees the file sees all of it. */
static int write_ready_file(const struct sim *sim, const struct options *options, struct err *err)
{
	char temporary[PATH_MAX];
	int len = snprintf(temporary, sizeof(temporary), "%s.tmp", options->ready_file);
	if (len < 0 || (size_t)len >= sizeof(temporary))
		return err_set(err, ERR_REJECT, "usage", "the ready file's name is too long");
	FILE *out = fopen(temporary, "we");
	if (!out)
		return err_errno(err, ERR_FATAL, errno, "cannot write %s", temporary);
	write_urls(out, sim, options);
	if (fclose(out) != 0 || rename(temporary, options->ready_file) < 0)
		return err_errno(err, ERR_FATAL, errno, "cannot write %s", options->ready_file);
	return 0;
}

static void on_signal(void *arg, int signal)
{
	(void)signal;
	loop_stop(arg);
}

static int serve(struct sim *sim, const struct options *options, struct err *err)
{
	if (loop_signals(sim->loop, on_signal, sim->loop, err) < 0 || listen_all(sim, options, err) < 0)
		return -1;
	if (options->ready_file && write_ready_file(sim, options, err) < 0)
		return -1;
	write_urls(stdout, sim, options);
	(void)fflush(stdout);
	return loop_run(sim->loop, err);
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct err err = {0};
	if (read_options(argc, argv, &options) < 0) {
		(void)fputs(usage, stderr);
		return EX_USAGE;
	}
	raise_descriptors();
	struct loop *loop = loop_new(clock_system(), &err);
	int failed = -1;
	if (loop) {
		struct sim sim;
		sim_init(&sim, loop, options.token);
		failed = serve(&sim, &options, &err);
		sim_done(&sim);
	}
	loop_free(loop);
	if (failed < 0)
		log_err(LOG_L_ERROR, "sim.failed", &err, NULL);
	return failed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
