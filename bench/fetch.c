/* The limit of a reconciliation: fetches and parses every page of every team's listings, with the same
 * client and parser, and does nothing with them. For bench/reconcile.
 *
 *     bench-fetch URL TOKEN IN_FLIGHT TEAM... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/num.h"
#include "platform/inventory.h"
#include "platform/platform.h"

struct team {
	struct uuid id;
	int64_t next, total; /* total < 0: not known before the first page */
	bool asked_first, asked_volumes;
};
struct fetch {
	struct loop *loop;
	struct platform *platform;
	struct team *teams;
	int team_count, at; /* the team that is asked for pages now */
	int64_t in_flight, in_flight_max, rows, pages;
	const char *wrong;
	char text[700];
};
struct page {
	struct fetch *fetch;
	struct team *team;
	bool volumes;
};

static void fill(struct fetch *fetch);

static void on_page(void *arg, const struct platform_answer *answer)
{
	struct page *page = arg;
	struct fetch *fetch = page->fetch;
	struct inventory_page got = {0};
	struct err err = {0};
	fetch->in_flight--;
	int rc = -1;
	if (answer->body)
		rc = page->volumes ? inventory_volumes(answer->body, answer->body_len, &got, &err)
		                   : inventory_sandboxes(answer->body, answer->body_len, &got, &err);
	if (rc < 0) {
		(void)snprintf(fetch->text, sizeof(fetch->text), "%s: %s", answer->text, err.text);
		fetch->wrong = fetch->text;
	}
	for (size_t i = 0; rc == 0 && i < got.count; i++) {
		struct inventory_item item;
		inventory_item(&got, i, &item);
		fetch->rows++;
	}
	if (!page->volumes)
		page->team->total = got.total;
	fetch->pages++;
	inventory_page_done(&got);
	free(page);
	fill(fetch);
}

static bool ask(struct fetch *fetch, struct team *team, bool volumes)
{
	struct page *page = malloc(sizeof(*page));
	if (!page)
		return false;
	*page = (struct page){fetch, team, volumes};
	const struct platform_request request = {
	    .op = volumes ? PLATFORM_VOLUME_LIST : PLATFORM_SANDBOX_LIST,
	    .team_id = team->id,
	    .traceparent = "",
	    .limit = INVENTORY_PAGE_MAX,
	    .offset = volumes ? 0 : team->next,
	    .done = on_page,
	    .arg = page,
	};
	if (!platform_send(fetch->platform, &request, NULL)) {
		free(page);
		return false;
	}
	fetch->in_flight++;
	return true;
}

/* The next page that can be asked for: the first of each team before the others of any, whose number is
 * not known before. */
static bool ask_next(struct fetch *fetch)
{
	for (int i = 0; i < fetch->team_count; i++) {
		struct team *team = &fetch->teams[(fetch->at + i) % fetch->team_count];
		if (!team->asked_first) {
			team->asked_first = true;
			bool sent = ask(fetch, team, false);
			team->next = INVENTORY_PAGE_MAX;
			return sent;
		}
		if (!team->asked_volumes) {
			team->asked_volumes = true;
			return ask(fetch, team, true);
		}
		if (team->next < team->total) {
			fetch->at = (fetch->at + i) % fetch->team_count;
			bool sent = ask(fetch, team, false);
			team->next += INVENTORY_PAGE_MAX;
			return sent;
		}
	}
	return false;
}

static void fill(struct fetch *fetch)
{
	while (fetch->in_flight < fetch->in_flight_max && !fetch->wrong && ask_next(fetch))
		;
	if (fetch->in_flight == 0)
		loop_stop(fetch->loop);
}

static int run(struct fetch *fetch, const struct platform_config *config)
{
	struct err err = {0};
	fetch->loop = loop_new(clock_system(), &err);
	struct metrics *metrics = fetch->loop ? metrics_new(&err) : NULL;
	if (metrics)
		fetch->platform = platform_new(fetch->loop, config, metrics, &err);
	if (fetch->platform) {
		fill(fetch);
		if (loop_run(fetch->loop, &err) < 0)
			fetch->wrong = err.text;
		platform_free(fetch->platform);
	} else {
		fetch->wrong = err.text;
	}
	if (fetch->wrong)
		(void)fprintf(stderr, "bench-fetch: %s\n", fetch->wrong);
	else
		(void)printf("%lld rows in %lld pages\n", (long long)fetch->rows, (long long)fetch->pages);
	metrics_free(metrics);
	loop_free(fetch->loop);
	return fetch->wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct fetch fetch = {.team_count = argc - 4};
	if (argc < 5 || num_i64(argv[3], strlen(argv[3]), 1, 4096, &fetch.in_flight_max) < 0) {
		(void)fprintf(stderr, "usage: bench-fetch URL TOKEN IN_FLIGHT TEAM...\n");
		return 64;
	}
	fetch.teams = calloc((size_t)fetch.team_count, sizeof(*fetch.teams));
	for (int i = 0; fetch.teams && i < fetch.team_count; i++) {
		fetch.teams[i].total = -1;
		if (uuid_parse(argv[4 + i], strlen(argv[4 + i]), &fetch.teams[i].id) < 0)
			fetch.wrong = "a team must be a UUID";
	}
	const struct platform_config config = {
	    .url = argv[1],
	    .token = argv[2],
	    .ca_file = "",
	    .connect_timeout_ms = 5000,
	    .timeout_ms = 60000,
	    .connections_max = fetch.in_flight_max,
	    .body_max_bytes = 16 << 20,
	};
	int rc = fetch.teams && !fetch.wrong ? run(&fetch, &config) : 1;
	free(fetch.teams);
	return rc;
}
