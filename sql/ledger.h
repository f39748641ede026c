/* The ledger's state machine, as a table. The database holds the same edges in a trigger
 * (migration 2); a test compares the two. */
#ifndef SQL_LEDGER_H
#define SQL_LEDGER_H

#include <stdbool.h>
#include <stddef.h>

enum ledger_state {
	LEDGER_IN_USE,
	LEDGER_RELEASED,
	LEDGER_DOOMED,
	LEDGER_DELETING,
	LEDGER_GONE,
	LEDGER_DEAD,
	LEDGER_REFUSED,
	LEDGER_STATE_COUNT,
};
enum ledger_event {
	LEDGER_EV_RELEASE,  /* the mapping left it, or its function was deleted */
	LEDGER_EV_DOOM,     /* an event named it, or its grace ran out */
	LEDGER_EV_CLAIM,    /* a worker took a lease on it */
	LEDGER_EV_BACKOFF,  /* not now: an attempt failed, a conflict, a worker stopped */
	LEDGER_EV_CONFIRM,  /* proved absent */
	LEDGER_EV_EXHAUST,  /* the last attempt failed */
	LEDGER_EV_REFUSE,   /* the check at claim time, or an operator, says no */
	LEDGER_EV_REDRIVE,  /* an operator says again */
	LEDGER_EV_REAPPEAR, /* it was gone, and the platform shows it */
	LEDGER_EVENT_COUNT,
};
struct ledger_edge {
	enum ledger_state from;
	enum ledger_event event;
	enum ledger_state to;
	const char *why;
};
extern const struct ledger_edge ledger_edges[];
extern const size_t ledger_edge_count;

/* True and *ret_to when the event is legal in this state. */
bool ledger_next(enum ledger_state from, enum ledger_event event, enum ledger_state *ret_to);
bool ledger_legal(enum ledger_state from, enum ledger_state to);
const char *ledger_state_name(enum ledger_state state);
int ledger_state_parse(const char *name, enum ledger_state *ret); /* 0, or -1 */

#endif
