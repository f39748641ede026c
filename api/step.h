/* What the handlers of all routes need for their steps. */
#ifndef API_STEP_H
#define API_STEP_H

#include "exchange.h"
#include "platform/platform.h"
#include "sql/store_publish.h"

struct pg_pool *step_pool(const struct exchange *x);
struct platform *step_platform(const struct exchange *x);
const char *step_host_suffix(const struct exchange *x);
/* Which function of which team the request names, and who asks: borrowed from the exchange. */
struct store_ref step_ref(const struct exchange *x);
struct store_actor step_actor(struct exchange *x);

/* After a question to the store: its callback goes on; or there will be none, and this answers. */
void step_asked(struct exchange *x, int taken, const struct err *err, const char *failure);
/* A write that may have left something in the outbox is done (`changed`), or may be although its answer was
 * lost: wakes the relays, at once when the last call is long enough ago. */
void step_wrote(struct exchange *x, bool changed, const struct err *err);
/* False: not to be sent requests, with why. */
bool step_ready(const struct exchange *x, char why[128]);

#endif
