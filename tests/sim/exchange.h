/* One public request from its arrival to its answer: the journal, the faults and the waiting are
 * here; what is answered is public_api.h's. */
#ifndef SIM_EXCHANGE_H
#define SIM_EXCHANGE_H

#include "sim.h"

struct exchange {
	struct sim *sim;
	struct http_req *req;
	struct op_target target;
	const char *team; /* X-Team-ID, borrowed from req; NULL: none */
	uint64_t seq;     /* in the journal; 0: not in it */
	struct fault fault;
	struct loop_timer timer;
	struct exchange *next, *prev; /* while it is held */
};

/* For http_opts: `arg` is the struct sim. */
void exchange_on_request(void *arg, struct http_req *req);
void exchange_on_refused(void *arg, struct http_req *req, int status, const char *why);
/* Closes all requests that wait, without an answer. */
void exchange_drop_all(struct sim *sim);

#endif
