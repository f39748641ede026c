#include "sim.h"

#include "exchange.h"

enum { BODY_MAX_BYTES = 1 << 30 };

static void start(struct sim *sim)
{
	settings_init(&sim->settings);
	world_init(&sim->world, &sim->settings);
	journal_init(&sim->journal);
	sim->faults = (struct faults){0};
	sim->advanced_us = 0;
	sim->in_flight = sim->in_flight_max = 0;
	sim_tick(sim);
}

static void forget(struct sim *sim)
{
	world_done(&sim->world);
	journal_done(&sim->journal);
	faults_done(&sim->faults);
}

void sim_init(struct sim *sim, struct loop *loop, const char *token)
{
	*sim = (struct sim){.loop = loop, .token = token};
	buf_init(&sim->body, BODY_MAX_BYTES);
	start(sim);
}

void sim_done(struct sim *sim)
{
	exchange_drop_all(sim);
	http_server_free(sim->public_server);
	http_server_free(sim->control_server);
	forget(sim);
	buf_done(&sim->body);
}

void sim_tick(struct sim *sim)
{
	world_tick(&sim->world, loop_now_us(sim->loop) + sim->advanced_us, loop_wall_us(sim->loop));
}

void sim_reset(struct sim *sim)
{
	exchange_drop_all(sim);
	forget(sim);
	start(sim);
}
