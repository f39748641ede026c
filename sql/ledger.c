#include "ledger.h"

#include <string.h>

#include "base/macros.h"

const struct ledger_edge ledger_edges[] = {
    {LEDGER_IN_USE, LEDGER_EV_RELEASE, LEDGER_RELEASED,
     "the mapping left it, or its function was deleted"},
    {LEDGER_RELEASED, LEDGER_EV_DOOM, LEDGER_DOOMED, "an event named it, or its grace ran out"},
    {LEDGER_DOOMED, LEDGER_EV_CLAIM, LEDGER_DELETING, "a worker took a lease on it"},
    {LEDGER_DOOMED, LEDGER_EV_REFUSE, LEDGER_REFUSED, "the check at claim time, or an operator"},
    {LEDGER_DELETING, LEDGER_EV_CLAIM, LEDGER_DELETING,
     "the lease ran out: another worker took it over"},
    {LEDGER_DELETING, LEDGER_EV_BACKOFF, LEDGER_DOOMED,
     "not now: a failure, a conflict, a stopping worker"},
    {LEDGER_DELETING, LEDGER_EV_CONFIRM, LEDGER_GONE,
     "absent, and absent again after the interval"},
    {LEDGER_DELETING, LEDGER_EV_EXHAUST, LEDGER_DEAD, "the last attempt failed"},
    {LEDGER_DELETING, LEDGER_EV_REFUSE, LEDGER_REFUSED,
     "the check when a lapsed lease is taken over"},
    {LEDGER_DEAD, LEDGER_EV_REDRIVE, LEDGER_DOOMED, "an operator says: again"},
    {LEDGER_DEAD, LEDGER_EV_REFUSE, LEDGER_REFUSED, "an operator says: never"},
    {LEDGER_REFUSED, LEDGER_EV_REDRIVE, LEDGER_DOOMED, "an operator says: check again"},
    {LEDGER_GONE, LEDGER_EV_REAPPEAR, LEDGER_DOOMED, "the platform shows it again"},
};
const size_t ledger_edge_count = N_OF(ledger_edges);

static const char *const names[] = {
    [LEDGER_IN_USE] = "in_use",     [LEDGER_RELEASED] = "released", [LEDGER_DOOMED] = "doomed",
    [LEDGER_DELETING] = "deleting", [LEDGER_GONE] = "gone",         [LEDGER_DEAD] = "dead",
    [LEDGER_REFUSED] = "refused",
};

bool ledger_next(enum ledger_state from, enum ledger_event event, enum ledger_state *ret_to)
{
	for (size_t i = 0; i < N_OF(ledger_edges); i++)
		if (ledger_edges[i].from == from && ledger_edges[i].event == event) {
			*ret_to = ledger_edges[i].to;
			return true;
		}
	return false;
}

bool ledger_legal(enum ledger_state from, enum ledger_state to)
{
	for (size_t i = 0; i < N_OF(ledger_edges); i++)
		if (ledger_edges[i].from == from && ledger_edges[i].to == to)
			return true;
	return false;
}

const char *ledger_state_name(enum ledger_state state)
{
	return state < LEDGER_STATE_COUNT ? names[state] : "unknown";
}

int ledger_state_parse(const char *name, enum ledger_state *ret)
{
	for (size_t i = 0; i < N_OF(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum ledger_state)i;
			return 0;
		}
	return -1;
}
