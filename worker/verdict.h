/* What an answer of the platform means for the row it was about: the whole knowledge of "gone means
 * proved gone", as one table. Pure; no clock, no I/O. Source: docs/platform.md. */
#ifndef WORKER_VERDICT_H
#define WORKER_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/platform.h"

enum target_kind { TARGET_SANDBOX, TARGET_VOLUME, TARGET_SNAPSHOT, TARGET_KIND_COUNT };

/* Where one deletion stands. */
enum target_step {
	STEP_DELETE,  /* send the DELETE */
	STEP_PROBE,   /* accepted: look until it is absent */
	STEP_CONFIRM, /* was absent once: look again after the confirmation interval */
	STEP_COUNT,
};

enum verdict_kind {
	VERDICT_NEXT,  /* go to `step` after `wait` */
	VERDICT_GONE,  /* proved: record gone */
	VERDICT_LATER, /* not now, no attempt used: 409, 429, 401 */
	VERDICT_FAIL,  /* an attempt is used */
};
enum verdict_wait { WAIT_NONE, WAIT_PROBE, WAIT_CONFIRM, WAIT_BACKOFF, WAIT_CONFLICT };

struct verdict {
	enum verdict_kind kind;
	enum target_step step;
	enum verdict_wait wait;
	bool platform_fault; /* counts against the breaker */
	bool overload;       /* counts against the in-flight limit */
	const char
	    *error_class; /* a stable word for LATER and FAIL: "conflict", "forbidden", "timeout",
	                          * "http_500", ... ; NULL otherwise */
	const char *why;  /* the rule's reason, for people; static, never NULL */
};

/* The call to send in a step. A snapshot has no GET: its proof is a DELETE that says 404. */
enum platform_op verdict_op(enum target_kind kind, enum target_step step);

struct verdict verdict_of(enum target_kind kind, enum target_step step,
                          const struct platform_answer *answer);

#endif
