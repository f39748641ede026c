/* The platform's public API (docs/platform.md): Bearer token, X-Team-ID, sandboxes and
 * volumes. */
#ifndef SIM_PUBLIC_API_H
#define SIM_PUBLIC_API_H

#include "answer.h"
#include "exchange.h"

/* Does what the request asks and makes the answer. */
void public_answer(struct exchange *exchange, struct answer *ret);

/* The handlers, one for each operation. `team` is the number of X-Team-ID, IDS_NONE when nothing
 * in the world has that team. */
typedef void public_handler(struct exchange *exchange, uint32_t team, struct answer *ret);
public_handler public_sandbox_list, public_sandbox_get, public_sandbox_claim, public_sandbox_delete,
    public_sandbox_pause, public_sandbox_resume;
public_handler public_volume_list, public_volume_get, public_volume_create, public_volume_fork,
    public_volume_delete, public_snapshot_create, public_snapshot_delete;

/* The request's body as a JSON object, or NULL after answering 400. The caller drops it.
 * `empty_is_fine`: no body is {}. */
json_t *public_body(struct exchange *exchange, bool empty_is_fine, struct answer *ret);

#endif
