/* The runtime of a function's active revision: what it is, and letting go of it. */
#include "base/killpoint.h"
#include "function_json.h"
#include "handlers.h"
#include "step.h"

#include <string.h>

static void finish_runtime(struct exchange *x, const struct store_runtime *runtime,
                           const struct err *err, const char *failure)
{
	if (err) {
		exchange_fail_store(x, err, failure);
		return;
	}
	if (!runtime || uuid_is_nil(&runtime->revision_id)) {
		exchange_fail(x, 404, runtime ? "function revision not found" : "function not found");
		return;
	}
	struct reply reply;
	struct buf *body = exchange_data(x, &reply);
	(void)buf_str(body, "\"runtime\":");
	function_json_runtime(body, runtime);
	exchange_send(x, &reply, 200);
}

static void on_runtime(void *arg, const struct store_runtime *runtime, const struct err *err)
{
	finish_runtime(arg, runtime, err, "failed to get function runtime");
}

void handle_runtime_get(struct exchange *x)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	int taken = store_runtime_get(step_pool(x), &ref, on_runtime, x, &err);
	step_asked(x, taken, &err, "failed to get function runtime");
}

static const char clear_failed[] = "failed to clear function runtime";

static void on_cleared(void *arg, const struct store_runtime *runtime, const struct err *err)
{
	step_wrote(arg, runtime, err);
	/* Its key was used while it was being changed: the answer is there by now. */
	if (err && strcmp(err->code, "23505") == 0 && write_beaten(arg, 500, clear_failed))
		return;
	finish_runtime(arg, runtime, err, clear_failed);
}

static void clear(struct exchange *x, enum store_clear how)
{
	struct err err = {0};
	struct store_ref ref = step_ref(x);
	struct store_actor actor = step_actor(x);
	killpoint("api.received");
	int taken = store_runtime_clear(step_pool(x), how, &ref, &actor, on_cleared, x, &err);
	step_asked(x, taken, &err, clear_failed);
}

static void restart(struct exchange *x)
{
	clear(x, STORE_RESTART);
}

static void recycle(struct exchange *x)
{
	clear(x, STORE_RECYCLE);
}

static void on_replayed(void *arg, const struct store_runtime *runtime, const struct err *err)
{
	if (!runtime) {
		write_not_kept(arg, err, clear_failed);
		return;
	}
	write_replayed(arg);
	finish_runtime(arg, runtime, NULL, clear_failed);
}

static void replay(struct exchange *x)
{
	struct err err = {0};
	struct store_actor actor = step_actor(x);
	int taken = store_runtime_replay(step_pool(x), &x->team_id, &actor, on_replayed, x, &err);
	step_asked(x, taken, &err, clear_failed);
}

void handle_runtime_restart(struct exchange *x)
{
	write_begin(x, replay, restart);
}

void handle_runtime_recycle(struct exchange *x)
{
	write_begin(x, replay, recycle);
}
