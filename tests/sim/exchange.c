#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "public_api.h"
#include "volumes.h"

enum { BODY_KEEP_BYTES = 1 << 20 };

/* ---- the end ---- */

static void finish(const struct exchange *exchange, int status)
{
	struct sim *sim = exchange->sim;
	journal_end(&sim->journal, exchange->seq, exchange->target.op, status);
	sim->in_flight--;
}

static void reply(struct exchange *exchange, const struct answer *answer)
{
	struct buf *body = &exchange->sim->body;
	http_reply(exchange->req, answer->status, answer->type, body->data ? body->data : "", body->len,
	           answer->headers, answer->header_count);
	finish(exchange, answer->status);
	if (body->cap > BODY_KEEP_BYTES)
		buf_done(body);
}

static void drop(const struct exchange *exchange, enum journal_status status)
{
	http_abort(exchange->req);
	finish(exchange, (int)status);
}

/* ---- waiting ---- */

/* Keeps a copy on the heap until fn runs it, delay_us from now. */
static void hold(const struct exchange *exchange, int64_t delay_us, void (*fn)(void *arg))
{
	struct sim *sim = exchange->sim;
	struct exchange *held = malloc(sizeof(*held));
	if (!held) {
		drop(exchange, JOURNAL_RESET);
		return;
	}
	*held = *exchange;
	held->prev = NULL;
	held->next = sim->held;
	if (held->next)
		held->next->prev = held;
	sim->held = held;
	loop_timer_init(&held->timer, fn, held);
	loop_timer_set(sim->loop, &held->timer, delay_us);
}

static void release(struct exchange *held)
{
	struct sim *sim = held->sim;
	loop_timer_stop(sim->loop, &held->timer);
	if (held->prev)
		held->prev->next = held->next;
	else
		sim->held = held->next;
	if (held->next)
		held->next->prev = held->prev;
	free(held);
}

/* A test's descriptors are not endless: even a hanging connection is closed some day. The journal
 * has had its "hang" since the beginning. */
static void on_hang_over(void *arg)
{
	struct exchange *held = arg;
	http_abort(held->req);
	held->sim->in_flight--;
	release(held);
}

void exchange_drop_all(struct sim *sim)
{
	while (sim->held) {
		struct exchange *held = sim->held;
		if (held->timer.fn == on_hang_over) {
			on_hang_over(held);
			continue;
		}
		drop(held, JOURNAL_RESET);
		release(held);
	}
}

/* ---- effects ---- */

static void answer_status(struct exchange *exchange)
{
	const struct fault *fault = &exchange->fault;
	struct answer answer;
	if (fault->plain)
		answer_plain(exchange->sim, (int)fault->status, fault->retry_after, &answer);
	else
		answer_error(exchange->sim, (int)fault->status, fault->code, "a fault was asked for",
		             &answer);
	if (fault->retry_after[0])
		answer.headers[answer.header_count++] =
		    (struct http_header){"Retry-After", fault->retry_after};
	reply(exchange, &answer);
}

static void answer_html404(struct exchange *exchange)
{
	struct buf *body = &exchange->sim->body;
	buf_clear(body);
	(void)buf_str(body, "<html><head><title>404 Not Found</title></head><body><center><h1>404 Not "
	                    "Found</h1></center></body></html>\n");
	reply(exchange, &(struct answer){.status = 404, .type = "text/html"});
}

/* Changes an answer that was made, on its way out. */
static void mangle(const struct fault *fault, struct buf *body)
{
	static const char pad[] = ",\"padding\":\"";
	switch (fault->effect) {
	case EFFECT_TRUNCATED: body->len /= 2; break;
	case EFFECT_MALFORMED:
		buf_clear(body);
		(void)buf_str(body, "{\"status\":\"ok\",\"result\":[");
		break;
	case EFFECT_HUGE:
		if (body->len == 0)
			break;
		body->len--; /* the closing brace comes after the padding */
		(void)buf_str(body, pad);
		while (!body->failed && body->len < (size_t)fault->bytes)
			(void)buf_str(body, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
		(void)buf_str(body, "\"}");
		break;
	default: break;
	}
}

static void run(struct exchange *exchange)
{
	struct sim *sim = exchange->sim;
	struct answer answer;
	sim_tick(sim);
	switch (exchange->fault.effect) {
	case EFFECT_STATUS: answer_status(exchange); return;
	case EFFECT_HTML404: answer_html404(exchange); return;
	case EFFECT_RESET: drop(exchange, JOURNAL_RESET); return;
	case EFFECT_HANG:
		journal_end(&sim->journal, exchange->seq, exchange->target.op, JOURNAL_HANG);
		hold(exchange, sim->settings.hang_ms * 1000, on_hang_over);
		return;
	case EFFECT_LOST:
		public_answer(exchange, &answer);
		drop(exchange, JOURNAL_LOST);
		return;
	default:
		public_answer(exchange, &answer);
		mangle(&exchange->fault, &sim->body);
		reply(exchange, &answer);
	}
}

static void on_delay_over(void *arg)
{
	struct exchange *held = arg;
	run(held);
	release(held);
}

/* ---- arrival ---- */

/* What the journal says of the thing that a request names. */
static void observe(struct world *world, const struct op_target *target,
                    struct journal_request *request)
{
	uint32_t slot;
	if (target->id[0] == '\0')
		return;
	if (target->parent[0]) {
		request->live = snapshot_is_there(world, snapshot_find(world, target->id));
	} else if (target->op >= OP_VOLUME_LIST) {
		slot = volume_find(world, target->id);
		request->live = volume_is_there(world, slot);
		request->mounts_active = request->live ? volume_active_mounts(world, slot) : 0;
	} else if ((slot = world_find_sandbox(world, target->id)) != IDS_NONE) {
		const struct sandbox *sandbox = world_sandbox(world, slot);
		request->live = world_is_there(sandbox);
		request->mounts_active = sandbox->detail ? sandbox->detail->mount_count : 0;
	}
}

static uint64_t write_journal(struct exchange *exchange, const char *method, const char *path)
{
	struct sim *sim = exchange->sim;
	struct journal_request request = {.target = &exchange->target,
	                                  .method = method,
	                                  .path = path,
	                                  .query_force = http_req_query(exchange->req, "force"),
	                                  .team = exchange->team,
	                                  .traceparent = http_req_header(exchange->req, "traceparent"),
	                                  .at_us = sim->world.wall_us};
	observe(&sim->world, &exchange->target, &request);
	return journal_begin(&sim->journal, &request, sim->settings.journal_max);
}

void exchange_on_request(void *arg, struct http_req *req)
{
	struct sim *sim = arg;
	const char *method = http_req_method(req), *path = http_req_path(req);
	struct exchange exchange;
	sim_tick(sim);
	exchange.sim = sim;
	exchange.req = req;
	exchange.team = http_req_header(req, "X-Team-ID");
	op_find(method, path, &exchange.target);
	exchange.seq = sim->settings.journal ? write_journal(&exchange, method, path) : 0;
	if (++sim->in_flight > sim->in_flight_max)
		sim->in_flight_max = sim->in_flight;
	const struct fault_request fault_request = {.method = method,
	                                            .path = path,
	                                            .team = exchange.team ? exchange.team : "",
	                                            .target = &exchange.target};
	int64_t delay_ms = sim->settings.latency_ms;
	if (faults_match(&sim->faults, &fault_request, sim->settings.seed, &exchange.fault))
		delay_ms += exchange.fault.latency_ms;
	else
		exchange.fault.effect = EFFECT_NONE;
	if (delay_ms > 0)
		hold(&exchange, delay_ms * 1000, on_delay_over);
	else
		run(&exchange);
}

/* The server itself refuses: a proxy in front of the platform would say so, in its own words. */
void exchange_on_refused(void *arg, struct http_req *req, int status, const char *why)
{
	(void)arg;
	struct buf AUTO(buf_done) body;
	buf_init(&body, 1024);
	(void)buf_printf(&body, "{\"error\":\"%s\"}", why);
	http_reply(req, status, "application/json; charset=utf-8", body.data ? body.data : "", body.len,
	           NULL, 0);
}
