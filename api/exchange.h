/* One request and its answer: named, counted, answered exactly once, freed with the answer. */
#ifndef API_EXCHANGE_H
#define API_EXCHANGE_H

#include "auth.h"
#include "base/http.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "reply.h"
#include "route.h"

/* What all exchanges of a process share. */
struct exchanges;
/* `loop` and `metrics` must outlive it. */
struct exchanges *exchanges_new(struct loop *loop, struct metrics *metrics,
                                struct err *err) MUST_CHECK;
/* Forgets those that are still open: their requests must be gone. */
void exchanges_free(struct exchanges *all);

/* Each step of a request ends in exactly one of: an answer, after which the exchange is gone, or a
 * question to the store whose callback is the next step. */
struct exchange {
	struct exchanges *all;
	struct exchange *next, **link; /* among the open ones */
	struct http_req *http;
	bool late; /* the server's deadline has answered it already; what we say is not heard */
	struct route_match match;
	char request_id[REPLY_ID_MAX + 1];
	/* The handlers' own: */
	void *owner;
	struct auth_check check;
	struct uuid team_id, principal;
	char trace[TRACE_SIZE];
	struct buf rows; /* a list under construction */
};

/* Takes a request over; match.route is NULL until the caller looks it up. NULL without memory: the
 * request has been answered. */
struct exchange *exchange_take(struct exchanges *all, struct http_req *http, void *owner);

/* Answer with an error; the second form with one more header. */
void exchange_fail(struct exchange *x, int status, const char *message);
void exchange_fail_with(struct exchange *x, int status, const char *message,
                        const struct http_header *headers, size_t header_count);
/* Answer 500 and log why, at most once a second in this process. Whatever is wrong with the
 * database is 500: an outage must never read as "not found". */
void exchange_fail_store(struct exchange *x, const struct err *err, const char *message);
/* The server's deadline: answers in place of the step that is still to come, which then goes
 * unheard. */
void exchange_fail_late(struct exchange *x, int status, const char *message);

/* Answer 200: open the envelope, append the members of data to what it returns, send. */
struct buf *exchange_data(struct exchange *x, struct reply *reply);
void exchange_send(struct exchange *x, struct reply *reply);

#endif
