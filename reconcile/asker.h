/* Calls to the platform at the pacer's pace, tried again where that is worth it: what the lister and the
 * prover have in common. Drives the loop until nothing is left to ask. */
#ifndef RECONCILE_ASKER_H
#define RECONCILE_ASKER_H

#include "pacer.h"

struct asker;
/* One call, embedded in whatever it is about; must not move or go while it waits or is out. */
struct ask {
	struct platform_request request; /* but done and arg; its texts are borrowed while it waits */
	/* Takes the last word: an answer that is not worth another try. May put asks, this one included, and
	 * returns true then; false (of an ANSWERED one only): the body is not what was asked for, which is to
	 * be treated like PLATFORM_MALFORMED. */
	bool (*take)(void *arg, const struct platform_answer *answer);
	void *arg;
	/* private */
	struct asker *asker;
	struct ask *next, **link;
	struct platform_call *call;
	int64_t due_us;
	int64_t attempts;
};
struct asker {
	struct loop *loop;
	struct platform *platform;
	struct pacer *pacer;
	struct ask *waiting, **waiting_end; /* in the order of asking */
	struct ask *out;
	int64_t retries; /* counted from asker_init on */
};
void asker_init(struct asker *asker, struct loop *loop, struct platform *platform,
                struct pacer *pacer);
/* Asks not before delay_us from now. */
void asker_put(struct asker *asker, struct ask *ask, int64_t delay_us);

/* Nothing waits to be asked, and nothing that was asked is without its last word. */
bool asker_idle(const struct asker *asker);

/* Lets `feed` put asks, sends what may be sent and waits, round by round, until feed has put nothing and
 * nothing is waiting or out. -1 and *err: feed returned -1; the loop failed; *stop became true
 * (ERR_RETRY "stopped"). All calls are cancelled then, and nobody is told. */
int asker_run(struct asker *asker, int (*feed)(void *arg, struct err *err), void *arg,
              const bool *stop, struct err *err) MUST_CHECK;

/* Gives the loop a round without waiting, so that signals are heard; -1 and *err as asker_run. */
int asker_breathe(struct loop *loop, const bool *stop, struct err *err) MUST_CHECK;

#endif
