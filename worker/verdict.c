#include "verdict.h"

#include <limits.h>
#include <stddef.h>

#include "base/macros.h"

/* ---- the vocabulary of the table ---- */

enum { /* sets of kinds and of steps */
	   SANDBOX = 1u << TARGET_SANDBOX,
	   VOLUME = 1u << TARGET_VOLUME,
	   SNAPSHOT = 1u << TARGET_SNAPSHOT,
	   ALL = (1u << TARGET_KIND_COUNT) - 1,

	   DELETE = 1u << STEP_DELETE,
	   PROBE = 1u << STEP_PROBE,
	   CONFIRM = 1u << STEP_CONFIRM,
	   ANY = (1u << STEP_COUNT) - 1,

	   STEP_SAME = STEP_COUNT, /* the step stays */
};
enum form { ANY_FORM, PLAIN, ENVELOPE }; /* of an error: {"error":"text"}, or with a code */
enum { FAULT = 1, OVERLOAD = 2 };        /* verdict.platform_fault, verdict.overload */

/* What was answered. The status of a MALFORMED answer is that of whoever gave it. */
#define ANSWERED(from, to) 1u << PLATFORM_ANSWERED, from, to, ANY_FORM
#define ANSWERED_AS(form, status) 1u << PLATFORM_ANSWERED, status, status, form
#define BROKEN(fault) 1u << (fault), INT_MIN, INT_MAX, ANY_FORM
#define BROKEN_WITH(fault, status) 1u << (fault), status, status, ANY_FORM
#define ANYTHING ~0u, INT_MIN, INT_MAX, ANY_FORM

/* What it means. */
#define NEXT(step, wait) VERDICT_NEXT, step, wait, 0, NULL
#define GONE VERDICT_GONE, STEP_SAME, WAIT_NONE, 0, NULL
#define LATER(step, wait, flags, class) VERDICT_LATER, step, wait, flags, class
#define FAIL(flags, class) VERDICT_FAIL, STEP_SAME, WAIT_BACKOFF, flags, class

struct rule {
	unsigned kinds, steps, faults;
	int status_from, status_to;
	enum form form;

	enum verdict_kind kind;
	int step; /* enum target_step or STEP_SAME */
	enum verdict_wait wait;
	unsigned flags;
	const char *error_class;
	const char *why;
};

/* ---- the table: the first rule that holds decides ---- */

static const struct rule rules[] = {
    /* There, or accepted. */
    {ALL, DELETE, ANSWERED(200, 299), NEXT(STEP_PROBE, WAIT_PROBE),
     "accepted is not gone: deleting is asynchronous, and a missing volume is accepted as well"},
    {ALL, PROBE, ANSWERED(200, 299), NEXT(STEP_PROBE, WAIT_PROBE), "still there"},
    {SANDBOX | VOLUME, CONFIRM, ANSWERED(200, 299), NEXT(STEP_DELETE, WAIT_PROBE),
     "the 404 was a lagging cache; the DELETE may have met it too and done nothing: send it again"},
    {SNAPSHOT, CONFIRM, ANSWERED(200, 299), NEXT(STEP_PROBE, WAIT_PROBE),
     "the 404 was a lagging cache; this was the DELETE, sent again"},

    /* Absent. Only the platform's own not_found envelope is a 404 here. */
    {VOLUME, DELETE, ANSWERED(404, 404), FAIL(0, "not_visible"),
     "a missing volume answers 200, so this one is another team's or hidden by an owner"},
    {ALL, DELETE | PROBE, ANSWERED(404, 404), NEXT(STEP_CONFIRM, WAIT_CONFIRM),
     "absent once: a lagging cache or any error of the platform's look-up reads the same"},
    {ALL, CONFIRM, ANSWERED(404, 404), GONE, "absent twice, an interval apart"},

    /* Not now. */
    {SNAPSHOT, PROBE | CONFIRM, ANSWERED(409, 409), LATER(STEP_PROBE, WAIT_CONFLICT, 0, "conflict"),
     "it is there, and its volume is busy"},
    {ALL, DELETE, ANSWERED(409, 409), LATER(STEP_SAME, WAIT_CONFLICT, 0, "conflict"),
     "mounted, locked or in transition: normal for a while after its sandbox was deleted"},
    {ALL, ANY, ANSWERED(429, 429), LATER(STEP_SAME, WAIT_BACKOFF, FAULT | OVERLOAD, "rate_limited"),
     "we ask too much"},
    {ALL, ANY, ANSWERED(401, 401), LATER(STEP_SAME, WAIT_BACKOFF, FAULT, "unauthorized"),
     "our credentials are wrong: no row is to blame"},

    /* Refused. */
    {ALL, ANY, ANSWERED_AS(PLAIN, 403), FAIL(FAULT, "forbidden"),
     "refused before any handler saw it: our key lacks a permission"},
    {ALL, ANY, ANSWERED_AS(ENVELOPE, 403), FAIL(0, "forbidden"), "another team's"},
    {ALL, ANY, ANSWERED(400, 499), FAIL(0, "http_4xx"), "the platform refuses this call"},

    /* The platform fails. */
    {ALL, ANY, ANSWERED(500, 500), FAIL(0, "http_500"),
     "one resource that cannot be deleted must not stop the others"},
    {ALL, ANY, ANSWERED(502, 502), FAIL(FAULT, "http_502"), "a part of the platform is away"},
    {ALL, ANY, ANSWERED(503, 503), FAIL(FAULT | OVERLOAD, "http_503"), "not ready, or too busy"},
    {ALL, ANY, ANSWERED(504, 504), FAIL(FAULT, "http_504"), "a part of the platform is too slow"},
    {ALL, ANY, ANSWERED(500, 599), FAIL(0, "http_5xx"), "a failure the contract does not name"},

    /* No answer to speak of. */
    {ALL, ANY, BROKEN(PLATFORM_CONNECT), FAIL(FAULT, "connect"), "the platform is out of reach"},
    {ALL, ANY, BROKEN(PLATFORM_TIMEOUT), FAIL(FAULT | OVERLOAD, "timeout"),
     "it may have arrived or not, and may be sent again: every call of ours can be repeated"},
    {ALL, ANY, BROKEN(PLATFORM_RESET), FAIL(FAULT, "reset"), "as for a timeout"},
    {ALL, ANY, BROKEN(PLATFORM_TOO_LARGE), FAIL(0, "too_large"), "one resource's answer, no more"},
    {ALL, ANY, BROKEN_WITH(PLATFORM_MALFORMED, 429), FAIL(FAULT | OVERLOAD, "malformed"),
     "something in between says: too much"},
    {ALL, ANY, BROKEN_WITH(PLATFORM_MALFORMED, 503), FAIL(FAULT | OVERLOAD, "malformed"),
     "something in between says: too busy"},
    {ALL, ANY, BROKEN(PLATFORM_MALFORMED), FAIL(FAULT, "malformed"),
     "not the platform's words: something in between answered, or the URL is wrong"},
    {ALL, ANY, BROKEN(PLATFORM_CANCELLED), LATER(STEP_SAME, WAIT_NONE, 0, "cancelled"),
     "by us, so it tells nothing"},

    {ALL, ANY, ANYTHING, FAIL(0, "unexpected"), "none of the above: never taken for absence"},
};

static bool form_holds(enum form form, const struct platform_answer *answer)
{
	return form == ANY_FORM || (form == PLAIN) == (answer->code[0] == '\0');
}

static bool rule_holds(const struct rule *rule, enum target_kind kind, enum target_step step,
                       const struct platform_answer *answer)
{
	return (rule->kinds >> kind & 1) && (rule->steps >> step & 1) &&
	       (rule->faults >> answer->fault & 1) && answer->status >= rule->status_from &&
	       answer->status <= rule->status_to && form_holds(rule->form, answer);
}

struct verdict verdict_of(enum target_kind kind, enum target_step step,
                          const struct platform_answer *answer)
{
	const struct rule *rule = rules;
	while (!rule_holds(rule, kind, step, answer) && rule < &rules[N_OF(rules) - 1])
		rule++;
	return (struct verdict){
	    .kind = rule->kind,
	    .step = rule->step == STEP_SAME ? step : (enum target_step)rule->step,
	    .wait = rule->wait,
	    .platform_fault = rule->flags & FAULT,
	    .overload = rule->flags & OVERLOAD,
	    .error_class = rule->error_class,
	    .why = rule->why,
	};
}

enum platform_op verdict_op(enum target_kind kind, enum target_step step)
{
	static const enum platform_op ops[TARGET_KIND_COUNT][STEP_COUNT] = {
	    [TARGET_SANDBOX] = {PLATFORM_SANDBOX_DELETE, PLATFORM_SANDBOX_GET, PLATFORM_SANDBOX_GET},
	    [TARGET_VOLUME] = {PLATFORM_VOLUME_DELETE, PLATFORM_VOLUME_GET, PLATFORM_VOLUME_GET},
	    [TARGET_SNAPSHOT] = {PLATFORM_SNAPSHOT_DELETE, PLATFORM_SNAPSHOT_DELETE,
	                         PLATFORM_SNAPSHOT_DELETE},
	};
	return ops[kind][step];
}
