/* What a handler of the public API says, and the platform's ways to say no. */
#ifndef SIM_ANSWER_H
#define SIM_ANSWER_H

#include "sim.h"

#define ANSWER_JSON "application/json; charset=utf-8"

/* The body is in sim->body. */
struct answer {
	int status;
	const char *type;
	struct http_header headers[2]; /* texts that live until the reply */
	size_t header_count;
};

/* Begins a success: the caller appends the data and closes it with answer_end(). Returns the body's
 * buffer. */
struct buf *answer_begin(struct sim *sim, int status, struct answer *ret);
void answer_end(struct sim *sim);
/* A success whose data is this JSON text. */
void answer_data(struct sim *sim, int status, const char *data, struct answer *ret);

/* {"success":false,"error":{"code","message"}} */
void answer_error(struct sim *sim, int status, const char *code, const char *message,
                  struct answer *ret);
/* {"error":"text"}, as the gateway's auth and rate limit write it; a 429 says retry_after too. */
void answer_plain(struct sim *sim, int status, const char *retry_after, struct answer *ret);
/* 404 with `message`, 403, 409 or 503, by what the world said; not for WORLD_OK. */
void answer_refusal(struct sim *sim, enum world_answer why, const char *message,
                    struct answer *ret);
/* 400 "invalid request: ..." */
void answer_invalid(struct sim *sim, const char *why, struct answer *ret);

#endif
