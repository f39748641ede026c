#include "cmd_api.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "api.h"
#include "base/log.h"
#include "base/supervise.h"
#include "route.h"
#include "sql/migrate.h"

enum { POLL_US = 5000 }; /* while it starts and while it drains */

/* The process from its start to its end. */
struct front {
	struct loop *loop;
	struct api *api;
	struct supervise *supervise;
	const char *port_file; /* NULL: none */
	struct api_config config;
	struct pg_config postgres;
	struct platform_config platform;
	struct loop_timer start_timer, drain_timer;
	int64_t drain_until_us;
	bool draining;
	struct err failed; /* why it stops, when that was not asked for */
};

/* ---- starting ---- */

/* Written beside its place and moved there, so that a reader never sees half of it. */
static int write_ports(const struct front *front, struct err *err)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s.new", front->port_file) >= (int)sizeof(path))
		return err_set(err, ERR_REJECT, "usage", "the name of the port file is too long");
	FILE *file = fopen(path, "we");
	if (!file)
		return err_errno(err, ERR_FATAL, errno, "cannot write %s", path);
	int printed = fprintf(file, "%d %d\n", api_port(front->api), api_metrics_port(front->api));
	if (fclose(file) != 0 || printed < 0 || rename(path, front->port_file) < 0) {
		int why = errno;
		(void)unlink(path);
		return err_errno(err, ERR_FATAL, why, "cannot write %s", front->port_file);
	}
	return 0;
}

static void announce(struct front *front)
{
	char port[16], metrics_port[16];
	(void)snprintf(port, sizeof(port), "%d", api_port(front->api));
	(void)snprintf(metrics_port, sizeof(metrics_port), "%d", api_metrics_port(front->api));
	log_event(LOG_L_INFO, "api.listening", "listen", front->config.listen, "port", port, "metrics",
	          front->config.metrics_listen, "metrics_port", metrics_port, NULL);
	supervise_status(front->supervise, "serving on port %s", port);
	supervise_ready(front->supervise);
}

/* The port is open from the beginning; "ready" is said once Postgres is there too. */
static void on_start(void *arg)
{
	struct front *front = arg;
	char why[128];
	if (front->draining)
		return;
	if (!api_healthy(front->api, why)) {
		loop_timer_set(front->loop, &front->start_timer, POLL_US);
		return;
	}
	if (front->port_file && write_ports(front, &front->failed) < 0)
		loop_stop(front->loop);
	else
		announce(front);
}

/* ---- stopping ---- */

static void on_drain(void *arg)
{
	struct front *front = arg;
	unsigned left = api_open_requests(front->api);
	if (left > 0 && loop_now_us(front->loop) < front->drain_until_us) {
		loop_timer_set(front->loop, &front->drain_timer, POLL_US);
		return;
	}
	char text[16];
	(void)snprintf(text, sizeof(text), "%u", left);
	log_event(left > 0 ? LOG_L_WARN : LOG_L_INFO, "api.stopped", "unanswered", text, NULL);
	loop_stop(front->loop);
}

static void drain(struct front *front)
{
	if (front->draining) { /* asked twice: at once */
		loop_stop(front->loop);
		return;
	}
	front->draining = true;
	front->drain_until_us = loop_now_us(front->loop) + front->config.drain_ms * 1000;
	supervise_stopping(front->supervise);
	api_drain(front->api);
	loop_timer_set(front->loop, &front->drain_timer, 0);
}

static void on_signal(void *arg, int signal)
{
	struct front *front = arg;
	if (signal == SIGHUP)
		log_event(LOG_L_INFO, "api.hangup", "note", "a changed configuration needs a restart",
		          NULL);
	else
		drain(front);
}

/* ---- telling what it serves ---- */

/* One line per route: method, path, permission. */
static int print_routes(void)
{
	static const char *const permissions[] = {[ROUTE_PUBLIC] = "public",
	                                          [ROUTE_READ] = "function:read",
	                                          [ROUTE_CREATE] = "function:create",
	                                          [ROUTE_WRITE] = "function:write",
	                                          [ROUTE_DELETE] = "function:delete"};
	for (size_t i = 0; i < ROUTE_COUNT; i++)
		(void)printf("%s %s %s\n", routes[i].method, routes[i].path,
		             permissions[routes[i].permission]);
	return CMD_OK;
}

/* ---- the whole ---- */

/* The watchdog is fed by a timer of the loop: that the loop turns needs no probe of its own. */
static bool postgres_answers(void *arg, char why[128])
{
	const struct front *front = arg;
	return api_healthy(front->api, why);
}

static int run(struct front *front, struct err *err)
{
	if (migrate_verify_config(&front->postgres, err) < 0 ||
	    !(front->loop = loop_new(clock_system(), err)) ||
	    loop_signals(front->loop, on_signal, front, err) < 0)
		return -1;
	loop_timer_init(&front->start_timer, on_start, front);
	loop_timer_init(&front->drain_timer, on_drain, front);
	front->supervise = supervise_new(front->loop, err);
	if (!front->supervise)
		return -1;
	front->api = api_new(front->loop, &front->config, &front->postgres, &front->platform, err);
	if (!front->api)
		return -1;
	supervise_probe(front->supervise, "postgres", postgres_answers, front);
	loop_timer_set(front->loop, &front->start_timer, 0);
	if (loop_run(front->loop, err) < 0)
		return -1;
	*err = front->failed;
	return front->failed.kind == ERR_NONE ? 0 : -1;
}

int cmd_api(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct err err = {0};
	struct front front = {0};
	bool list_routes = false;
	const struct cmd_opt opts[] = {{"port-file", &front.port_file, NULL},
	                               {"routes", NULL, &list_routes}};
	if (cmd_options(argc, argv, opts, N_OF(opts), NULL, 0, &err) < 0)
		return cmd_fail(ctx, &err);
	if (list_routes)
		return print_routes();
	if (pg_config_read(ctx->config, PG_ROLE_API, &front.postgres, &err) < 0 ||
	    config_read(ctx->config, &platform_section, &front.platform, &err) < 0 ||
	    config_read(ctx->config, &api_section, &front.config, &err) < 0)
		return cmd_fail(ctx, &err);
	int rc = run(&front, &err);
	api_free(front.api);
	supervise_free(front.supervise);
	loop_free(front.loop);
	return rc < 0 ? cmd_fail(ctx, &err) : CMD_OK;
}
