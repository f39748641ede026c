/* The control port: JSON over HTTP without authentication, for tests that make the world and break
 * it. Nothing here goes through faults, latency or the journal.
 *
 *   POST   /seed        {volumes, sandboxes, snapshots}      things that are there (control_seed.c)
 *   POST   /seed-range  {team_id, prefix, from, count, template_id}   sandboxes by the million
 *   POST   /remove      {kind, id}          gone at once, without a delete
 *   GET    /state       ?kind=&id= | ?kind=&team=&all=1&after=&limit=     the truth
 *   GET    /live-count
 *   GET    /settings    PUT /settings {name: value}          settings.h; with ?team= those of one team
 *   DELETE /settings                        no team has settings of its own any more
 *   GET    /faults      POST /faults {rule}   DELETE /faults [?id=]       faults.h
 *   GET    /journal     ?since=&limit=&id=&op=&team=         journal.h
 *   GET    /counters
 *   POST   /advance     {ms}                moves simulated time forward
 *   POST   /reset                           forgets everything
 *
 * Errors are 400 or 404 with {"error": "..."}. */
#ifndef SIM_CONTROL_API_H
#define SIM_CONTROL_API_H

#include "sim.h"

/* For http_opts: `arg` is the struct sim. */
void control_on_request(void *arg, struct http_req *req);
void control_on_refused(void *arg, struct http_req *req, int status, const char *why);

/* A handler fills sim->body with its JSON and returns 0, or -1 and *err. `json` is the request's
 * body, NULL without one. */
typedef int control_handler(struct sim *sim, const struct http_req *req, json_t *json,
                            struct err *err);
control_handler control_seed, control_seed_range, control_remove;

/* A number of the query, `def` when absent. */
int control_number(const struct http_req *req, const char *name, int64_t def, int64_t *ret,
                   struct err *err) MUST_CHECK;

#endif
