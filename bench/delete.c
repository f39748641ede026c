/* What libcurl allows of a worker: the same three requests for each sandbox through the worker's own
 * platform client, and nothing else. For bench/worker.
 *
 *     bench-delete URL TOKEN IN_FLIGHT TEAM PREFIX COUNT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/num.h"
#include "platform/platform.h"

static const enum platform_op steps[] = {PLATFORM_SANDBOX_DELETE, PLATFORM_SANDBOX_GET,
                                         PLATFORM_SANDBOX_GET};

struct deleting;
struct one { /* a sandbox on its way */
	struct deleting *all;
	char id[64];
	size_t step;
};
struct deleting {
	struct loop *loop;
	struct platform *platform;
	struct uuid team;
	const char *prefix;
	int64_t next, count, wrong, out;
};

static void ask(struct one *one);

static void take(struct one *one)
{
	struct deleting *all = one->all;
	if (all->next == all->count) {
		if (--all->out == 0)
			loop_stop(all->loop);
		return;
	}
	(void)snprintf(one->id, sizeof(one->id), "%s%08lld", all->prefix, (long long)all->next++);
	one->step = 0;
	ask(one);
}

static void on_answer(void *arg, const struct platform_answer *answer)
{
	struct one *one = arg;
	one->all->wrong += answer->status != (one->step == 0 ? 200 : 404);
	if (++one->step < N_OF(steps))
		ask(one);
	else
		take(one);
}

static void ask(struct one *one)
{
	const struct platform_request request = {
	    .op = steps[one->step],
	    .team_id = one->all->team,
	    .id = one->id,
	    .traceparent = "",
	    .done = on_answer,
	    .arg = one,
	};
	if (!platform_send(one->all->platform, &request, NULL)) {
		one->all->wrong++;
		take(one);
	}
}

static int run(struct deleting *all, const struct platform_config *config, struct err *err)
{
	struct metrics *metrics = metrics_new(err);
	struct one *ones = calloc((size_t)config->connections_max, sizeof(*ones));
	all->loop = loop_new(clock_system(), err);
	if (metrics && ones && all->loop)
		all->platform = platform_new(all->loop, config, metrics, err);
	int rc = -1;
	if (ones && all->platform) {
		all->out = config->connections_max;
		for (int64_t i = 0; i < config->connections_max; i++) {
			ones[i].all = all;
			take(&ones[i]);
		}
		rc = loop_run(all->loop, err);
		platform_free(all->platform);
	}
	free(ones);
	metrics_free(metrics);
	loop_free(all->loop);
	return rc;
}

int main(int argc, char **argv)
{
	struct deleting all = {0};
	struct platform_config config = {
	    .ca_file = "", .connect_timeout_ms = 5000, .timeout_ms = 60000, .body_max_bytes = 1 << 20};
	struct err err = {0};
	if (argc != 7 || num_i64(argv[3], strlen(argv[3]), 1, 4096, &config.connections_max) < 0 ||
	    uuid_parse(argv[4], strlen(argv[4]), &all.team) < 0 ||
	    num_i64(argv[6], strlen(argv[6]), 4096, INT64_MAX, &all.count) < 0) {
		(void)fprintf(stderr, "usage: bench-delete URL TOKEN IN_FLIGHT TEAM PREFIX COUNT\n");
		return 64;
	}
	config.url = argv[1];
	config.token = argv[2];
	all.prefix = argv[5];
	const struct clock *clock = clock_system();
	int64_t begun_us = clock->mono_us(clock->arg);
	if (run(&all, &config, &err) < 0 || all.wrong > 0) {
		(void)fprintf(stderr, "bench-delete: %lld wrong answers %s\n", (long long)all.wrong,
		              err.text);
		return 1;
	}
	(void)printf("%.1f a second\n",
	             (double)all.count * 1e6 / (double)(clock->mono_us(clock->arg) - begun_us));
	return 0;
}
