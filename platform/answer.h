/* From the bytes of a reply to an answer that can be trusted, or the fault that it is not one.
 * Pure: no clock, no I/O. Forms of the contract: an envelope {"success":true,...} for 2xx,
 * {"success":false,"error":{"code","message"}} for errors, and a plain {"error":"text"} for the
 * few statuses that come from in front of the platform's handlers. */
#ifndef PLATFORM_ANSWER_H
#define PLATFORM_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"

enum { PLATFORM_RETRY_AFTER_MAX_MS = 3600000, PLATFORM_MEMO_BYTES = 512 };

/* A complete reply, as it came. */
struct platform_reply {
	int status;
	bool listing;            /* of a listing: a 2xx need only begin as an object, see below */
	const char *retry_after; /* the header's value; NULL without one */
	const char *body;        /* not NUL-terminated; may be NULL when len is 0 */
	size_t len;
};

/* Fills *ret: fault (PLATFORM_ANSWERED or PLATFORM_MALFORMED), status, code, text, retry_after_ms;
 * latency_us is 0 and reused false; body is the reply's for an answered 2xx, else NULL. A listing's
 * 2xx is not parsed here, since inventory.h will: ANSWERED then says only that its body begins as a
 * JSON object, and whoever reads it takes a refusal of inventory.h for PLATFORM_MALFORMED. Texts are valid
 * UTF-8 without control characters. `wall_us` is the time that an HTTP date in Retry-After is compared
 * with. Never fails. */
void platform_answer_read(const struct platform_reply *reply, int64_t wall_us,
                          struct platform_answer *ret);

/* The last trusted reply without Retry-After, byte for byte, and what was read in it. {0} to begin. */
struct platform_memo {
	size_t len;
	char body[PLATFORM_MEMO_BYTES]; /* longer ones are not kept */
	struct platform_answer answer;
};
/* The same as platform_answer_read(). Most replies to one operation are the same bytes with the same
 * status, and reading is pure: with a memo for each operation they are read once. */
void platform_answer_recall(struct platform_memo *memo, const struct platform_reply *reply,
                            int64_t wall_us, struct platform_answer *ret);

/* An answer that stands for a call without a reply. `text` may be anything; it is made fit. */
void platform_answer_fault(enum platform_fault fault, const char *text,
                           struct platform_answer *ret);

/* Seconds or one of the three HTTP dates (RFC 9110 5.6.7) in milliseconds from wall_us on:
 * 0 for the past or for what is neither, at most PLATFORM_RETRY_AFTER_MAX_MS. */
int64_t platform_retry_after_ms(const char *text, int64_t wall_us);

#endif
