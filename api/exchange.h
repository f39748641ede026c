/* One request and its answer: named, counted, answered exactly once, freed with the answer. */
#ifndef API_EXCHANGE_H
#define API_EXCHANGE_H

#include "auth.h"
#include "base/http.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "reply.h"
#include "route.h"
#include "write.h"

/* What all exchanges of a process share. */
struct exchanges;
/* `loop` and `metrics` must outlive it. */
struct exchanges *exchanges_new(struct loop *loop, struct metrics *metrics,
                                struct err *err) MUST_CHECK;
/* Forgets those that are still open: their requests must be gone. */
void exchanges_free(struct exchanges *all);

enum { EXCHANGE_HEADERS_MAX = 6, EXCHANGE_VALUE_SIZE = 80 };

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
	struct buf rows;  /* a list under construction */
	size_t row_count; /* in it */
	struct write write;
	/* What the answer will have as headers besides those of every answer. */
	struct exchange_header {
		const char *name;
		char value[EXCHANGE_VALUE_SIZE];
	} headers[EXCHANGE_HEADERS_MAX];
	size_t header_count;
	void *work; /* what else the request has; work_free lets go of it with the exchange */
	void (*work_free)(void *work);
};

/* Takes a request over; match.route is NULL until the caller looks it up. NULL without memory: the
 * request has been answered. */
struct exchange *exchange_take(struct exchanges *all, struct http_req *http, void *owner);

/* One more header of the answer to come, an error's too; the value is copied. */
void exchange_header(struct exchange *x, const char *name, const char *fmt, ...) PRINTF(3, 4);

/* Answer with an error; the second form says more, as a JSON text. */
void exchange_fail(struct exchange *x, int status, const char *message);
void exchange_fail_details(struct exchange *x, int status, const char *message,
                           const char *details);
/* Answer 500 and log why, at most once a second in this process. Whatever is wrong with the
 * database is 500: an outage must never read as "not found". */
void exchange_fail_store(struct exchange *x, const struct err *err, const char *message);
/* The server's deadline: answers in place of the step that is still to come, which then goes
 * unheard. */
void exchange_fail_late(struct exchange *x, int status, const char *message);

/* Answer 2xx: open the envelope, append the members of data to what it returns, send. */
struct buf *exchange_data(struct exchange *x, struct reply *reply);
void exchange_send(struct exchange *x, struct reply *reply, int status);
/* Answer 200 with a text that is no envelope. */
void exchange_send_text(struct exchange *x, const char *type, const char *text, size_t len);

/* A list: the place for one row more, behind its comma; and the answer {"NAME":[rows]MORE}. */
struct buf *exchange_row(struct exchange *x);
void exchange_send_rows(struct exchange *x, const char *name, const char *more);

#endif
