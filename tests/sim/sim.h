/* The whole simulator, and its time. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/http.h"
#include "base/loop.h"
#include "faults.h"
#include "journal.h"
#include "settings.h"
#include "world.h"

struct exchange;

struct sim {
	struct loop *loop;
	const char *token; /* borrowed */
	struct settings settings;
	struct world world;
	struct faults faults;
	struct journal journal;
	struct buf body;                   /* of the answer that is being made; used again and again */
	int64_t advanced_us;               /* how far simulated time is ahead */
	struct exchange *held;             /* public requests that wait for their answer */
	unsigned in_flight, in_flight_max; /* public requests without an answer, hanging ones too */
	struct http_server *public_server, *control_server;
};

void sim_init(struct sim *sim, struct loop *loop, const char *token);
/* Frees everything; the servers first. */
void sim_done(struct sim *sim);
/* Brings the world up to now. Before anything is looked at. */
void sim_tick(struct sim *sim);
/* Forgets everything but the servers; held requests are closed without an answer. */
void sim_reset(struct sim *sim);

#endif
