#include "executor.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/killpoint.h"
#include "base/log.h"
#include "base/rand.h"
#include "breaker.h"
#include "fair.h"
#include "limiter.h"
#include "record.h"

enum {
	TEAMS_PER_CLAIM = 64,
	SKIP_MAX = 64,
	SWEEP_US = 1000000,
	BREAKER_WINDOW = 20,
	IN_FLIGHT_MIN = 8, /* below this a few calls that hang would be all that is out */
};

struct executor {
	struct loop *loop;
	struct executor_opts opts;
	const struct worker_config *config;
	struct fair fair;
	struct limiter limiter;
	struct breaker breaker;
	struct record *record;
	struct backoff backoff;
	struct target *held; /* all of them, newest first */
	int held_count, in_flight;
	bool claiming, claim_again, claim_wide, stopping, failed;
	int64_t claim_sent_us;
	struct uuid claim_after, last_claimed_team;
	int claimed_now;
	struct loop_timer claim_timer, pump_timer, sweep_timer;
	struct loop_task pump_task;
	void (*on_stopped)(void *arg);
	void *on_stopped_arg;
	struct metric *gone, *failures, *later, *dead, *lost, *claims, *refused;
	struct metric *held_gauge, *limit_gauge, *breaker_gauge;
};

static void pump(struct executor *ex);
static void claim(struct executor *ex);

static int64_t ms_to_us(int64_t ms)
{
	return ms * 1000;
}

/* ---- holding and letting go ---- */

static void hold(struct executor *ex, struct target *target)
{
	target->owner = ex;
	target->held_prev = NULL;
	target->held_next = ex->held;
	if (ex->held)
		ex->held->held_prev = target;
	ex->held = target;
	ex->held_count++;
}

static void let_go(struct executor *ex, struct target *target)
{
	*(target->held_prev ? &target->held_prev->held_next : &ex->held) = target->held_next;
	if (target->held_next)
		target->held_next->held_prev = target->held_prev;
	ex->held_count--;
	fair_drop(&ex->fair, target);
	target_free(target);
}

/* Takes a target out of whatever it is in, so that it can be decided. */
static void detach(struct executor *ex, struct target *target)
{
	loop_timer_stop(ex->loop, &target->timer);
	if (target->state == TARGET_READY)
		fair_remove(&ex->fair, target);
	if (target->state != TARGET_SENT)
		return;
	platform_cancel(target->call);
	target->call = NULL;
	breaker_forget(&ex->breaker);
	fair_back(&ex->fair, target);
	ex->in_flight--;
}

static void give_back(struct executor *ex, struct target *target, int64_t wait_ms)
{
	detach(ex, target);
	target_decide(target, STORE_LATER, wait_ms, -1, NULL, NULL);
	record_put(ex->record, target);
}

static void give_all_back(struct executor *ex)
{
	for (struct target *target = ex->held; target; target = target->held_next)
		if (target->state != TARGET_DECIDED)
			give_back(ex, target, 0);
	record_flush(ex->record);
}

static void maybe_stopped(struct executor *ex)
{
	if (!ex->stopping || ex->claiming || ex->held_count > 0 || !ex->on_stopped)
		return;
	void (*done)(void *arg) = ex->on_stopped;
	ex->on_stopped = NULL;
	done(ex->on_stopped_arg);
}

/* ---- what an answer leads to ---- */

static void make_ready(struct executor *ex, struct target *target)
{
	target_set_state(target, TARGET_READY);
	fair_push(&ex->fair, target);
	loop_defer(ex->loop, &ex->pump_task);
}

/* Is there time for another call within the lease? One that could outlive it is not started. */
static bool lease_allows(const struct executor *ex, const struct target *target, int64_t wait_us)
{
	return loop_now_us(ex->loop) + wait_us + ms_to_us(ex->opts.call_timeout_ms) <
	       target->lease_until_us;
}

static void on_rested(void *arg)
{
	struct target *target = arg;
	make_ready(target->owner, target);
}

static int64_t wait_of(struct executor *ex, struct target *target, enum verdict_wait wait)
{
	const struct worker_config *c = ex->config;
	const struct backoff probe = {.base_ms = c->probe_ms, .cap_ms = c->probe_max_ms};
	switch (wait) {
	case WAIT_PROBE: return backoff_ceiling_ms(&probe, target->probes++);
	case WAIT_CONFIRM: return c->confirm_ms;
	case WAIT_CONFLICT:
		return c->conflict_ms / 2 + (int64_t)rand_below((uint64_t)c->conflict_ms + 1);
	case WAIT_BACKOFF: return backoff_full_jitter_ms(&ex->backoff, target->attempts);
	case WAIT_NONE: return 0;
	}
	return 0;
}

static void go_on(struct executor *ex, struct target *target, const struct verdict *verdict)
{
	int64_t now_us = loop_now_us(ex->loop);
	if (verdict->step != target->step)
		target->probes = 0;
	target->step = verdict->step;
	if (!target->probing_since_us)
		target->probing_since_us = now_us;
	int64_t wait_us = ms_to_us(wait_of(ex, target, verdict->wait));
	if (verdict->step != STEP_CONFIRM &&
	    now_us - target->probing_since_us > ms_to_us(ex->config->still_there_ms)) {
		target->step = STEP_DELETE;
		target_decide(target, STORE_FAIL, backoff_full_jitter_ms(&ex->backoff, target->attempts),
		              200, "still_there", "the platform took the DELETE and still shows it");
		record_put(ex->record, target);
	} else if (!lease_allows(ex, target, wait_us)) {
		target_decide(target, STORE_LATER, wait_us / 1000, -1, NULL, NULL);
		record_put(ex->record, target);
	} else if (wait_us == 0) {
		make_ready(ex, target);
	} else {
		target_set_state(target, TARGET_RESTING);
		loop_timer_set(ex->loop, &target->timer, wait_us);
	}
}

static void decide(struct executor *ex, struct target *target, const struct verdict *verdict,
                   const struct platform_answer *answer)
{
	static const enum store_outcome_kind kinds[] = {
	    [VERDICT_GONE] = STORE_GONE, [VERDICT_LATER] = STORE_LATER, [VERDICT_FAIL] = STORE_FAIL};
	int64_t wait_ms = verdict->kind == VERDICT_GONE ? 0 : wait_of(ex, target, verdict->wait);
	if (answer->retry_after_ms > wait_ms)
		wait_ms = answer->retry_after_ms;
	target->step = verdict->step;
	metric_add(verdict->kind == VERDICT_GONE    ? ex->gone
	           : verdict->kind == VERDICT_LATER ? ex->later
	                                            : ex->failures,
	           1);
	target_decide(target, kinds[verdict->kind], wait_ms, answer->status, verdict->error_class,
	              answer->text);
	record_put(ex->record, target);
}

static void on_answer(void *arg, const struct platform_answer *answer)
{
	struct target *target = arg;
	struct executor *ex = target->owner;
	struct verdict verdict = verdict_of(target->kind, target->step, answer);
	killpoint("executor.after_answer");
	target->call = NULL;
	int in_flight = ex->in_flight--;
	fair_back(&ex->fair, target);
	/* A refused connection is quick, and tells nothing of how much the platform takes. */
	if (verdict.overload || !verdict.platform_fault)
		limiter_on_answer(&ex->limiter, verdict.overload ? LIMITER_OVERLOAD : LIMITER_OK,
		                  answer->latency_us, in_flight, loop_now_us(ex->loop));
	breaker_report(&ex->breaker, verdict.platform_fault, loop_now_us(ex->loop));
	if (verdict.kind == VERDICT_NEXT)
		go_on(ex, target, &verdict);
	else
		decide(ex, target, &verdict, answer);
	loop_defer(ex->loop, &ex->pump_task);
}

/* ---- sending ---- */

static int team_limit(const struct executor *ex, int64_t of)
{
	int64_t share = of * ex->config->team_share_percent / 100;
	return share > 0 ? (int)share : 1;
}

static int send_target(struct executor *ex, struct target *target)
{
	struct err err = {0};
	const struct platform_request request = {
	    .op = verdict_op(target->kind, target->step),
	    .team_id = target->team_id,
	    .id = target->resource_id,
	    .parent_id = target->parent_id,
	    .traceparent = target->traceparent,
	    .done = on_answer,
	    .arg = target,
	};
	killpoint("executor.before_send");
	target->call = platform_send(ex->opts.platform, &request, &err);
	if (target->call) {
		target_set_state(target, TARGET_SENT);
		ex->in_flight++;
		return 0;
	}
	fair_back(&ex->fair, target);
	breaker_forget(&ex->breaker);
	if (err.kind != ERR_REJECT) { /* no memory for it now */
		fair_push(&ex->fair, target);
		return -1;
	}
	/* An id that no path can carry: this row will never be sent. */
	target_decide(target, STORE_FAIL, backoff_full_jitter_ms(&ex->backoff, target->attempts), -1,
	              "bad_id", err.text);
	record_put(ex->record, target);
	return 0;
}

/* Sends what may be sent now; then sees whether there is room to claim more. */
static void pump(struct executor *ex)
{
	int64_t now_us = loop_now_us(ex->loop);
	while (!ex->stopping && ex->fair.ready_count > 0 &&
	       ex->in_flight < limiter_limit(&ex->limiter)) {
		if (breaker_wait_us(&ex->breaker, now_us) > 0) {
			loop_timer_set(ex->loop, &ex->pump_timer, breaker_wait_us(&ex->breaker, now_us));
			break;
		}
		int limit = limiter_limit(&ex->limiter);
		struct target *target =
		    fair_next(&ex->fair, team_limit(ex, limit), limit > 1 ? limit / 2 : 1);
		if (!target)
			break;
		if (!breaker_allow(&ex->breaker, now_us)) {
			/* Half open, and the probes are out: their answers bring us back here. */
			fair_back(&ex->fair, target);
			fair_push(&ex->fair, target);
			break;
		}
		if (send_target(ex, target) < 0) {
			loop_timer_set(ex->loop, &ex->pump_timer, 100000);
			break;
		}
	}
	metric_set(ex->held_gauge, ex->held_count);
	metric_set(ex->limit_gauge, limiter_limit(&ex->limiter));
	metric_set(ex->breaker_gauge, ex->breaker.state);
	if (ex->claim_again)
		claim(ex);
}

static void on_pump(void *arg)
{
	pump(arg);
}

/* ---- claiming ---- */

/* So much is ready that the platform is busy until the next claim is through. */
static int enough(const struct executor *ex)
{
	int calls = 2 * limiter_limit(&ex->limiter);
	return calls > ex->config->claim_batch ? calls : (int)ex->config->claim_batch;
}

/* There is no room for a batch, or enough is ready; but when rows of other teams may have become due, they
 * are not to wait behind what is ready of one. */
static bool claim_can_wait(const struct executor *ex)
{
	return ex->stopping || ex->failed || ex->claiming ||
	       breaker_wait_us(&ex->breaker, loop_now_us(ex->loop)) > 0 ||
	       (!ex->claim_wide && ex->fair.ready_count > enough(ex)) ||
	       ex->held_count + ex->config->claim_batch > ex->config->held_max;
}

static void accept_row(struct executor *ex, const struct store_claimed *row)
{
	struct err err = {0};
	struct target *target = target_new(row, &err);
	if (!target || fair_hold(&ex->fair, target, &err) < 0) {
		/* Without memory the row stays leased: it is due again when the lease ends. */
		log_err(LOG_L_ERROR, "executor.claim", &err, NULL);
		target_free(target);
		return;
	}
	int64_t now_us = loop_now_us(ex->loop);
	/* Counted from when it was asked for: never longer than the database's own count. */
	target->lease_until_us = ex->claim_sent_us + ms_to_us(ex->config->lease_ms);
	loop_timer_init(&target->timer, on_rested, target);
	int64_t accepted_for_us =
	    row->accepted_at_us ? loop_wall_us(ex->loop) - row->accepted_at_us : -1;
	if (accepted_for_us >= 0) {
		target->step = STEP_PROBE;
		target->probing_since_us = now_us - accepted_for_us;
	}
	hold(ex, target);
	make_ready(ex, target);
	ex->last_claimed_team = row->team_id;
	ex->claimed_now++;
}

static void on_claim(void *arg, const struct store_claimed *row, const struct store_claimed *end,
                     const struct err *err)
{
	struct executor *ex = arg;
	if (row) {
		accept_row(ex, row);
		return;
	}
	ex->claiming = false;
	killpoint("executor.after_claim");
	if (err) {
		if (err->kind == ERR_FATAL && !ex->failed) {
			ex->failed = true;
			ex->opts.on_fatal(ex->opts.arg, err);
		}
		loop_timer_set(ex->loop, &ex->claim_timer, ms_to_us(ex->config->claim_poll_ms));
		return;
	}
	metric_add(ex->claims, ex->claimed_now);
	if (ex->stopping) {
		give_all_back(ex);
		maybe_stopped(ex);
		return;
	}
	/* A full batch stopped somewhere among the teams: go on behind the last one that was served. */
	bool full = end->looked_at >= ex->config->claim_batch;
	if (full && ex->claimed_now > 0)
		ex->claim_after = ex->last_claimed_team;
	else
		ex->claim_after = end->more_teams ? end->last_team : (struct uuid){0};
	ex->claim_again |= full || end->more_teams || end->looked_at > 0;
	if (!ex->claim_again)
		loop_timer_set(ex->loop, &ex->claim_timer, ms_to_us(ex->config->claim_poll_ms));
	loop_defer(ex->loop, &ex->pump_task);
}

static void claim(struct executor *ex)
{
	struct uuid skip[SKIP_MAX];
	struct err err = {0};
	if (claim_can_wait(ex)) {
		/* Asked again when an answer makes room, or at the latest after the poll. */
		loop_timer_set(ex->loop, &ex->claim_timer, ms_to_us(ex->config->claim_poll_ms));
		return;
	}
	int teams = ex->fair.team_count > 0 ? ex->fair.team_count : 1;
	int64_t per_team = ex->config->claim_batch / teams;
	int64_t team_held_max = team_limit(ex, ex->config->held_max);
	const struct store_claim ask = {
	    .worker = ex->opts.name,
	    .lease_ms = ex->config->lease_ms,
	    .rows_max = ex->config->claim_batch,
	    .teams_max = TEAMS_PER_CLAIM,
	    .rows_per_team = per_team > 16 ? per_team : 16,
	    .after_team = ex->claim_after,
	    .skip_teams = skip,
	    .skip_count = fair_full_teams(&ex->fair, (int)team_held_max, enough(ex), skip, SKIP_MAX),
	    .wait_ms = ex->config->conflict_ms,
	    .budget_per_hour = ex->config->budget_per_hour,
	    .budget_share_percent = ex->config->budget_share_percent,
	    .budget_min = ex->config->budget_min,
	};
	ex->claim_again = ex->claim_wide = false;
	ex->claimed_now = 0;
	ex->claim_sent_us = loop_now_us(ex->loop);
	ex->claiming = true;
	if (store_claim(ex->opts.pool, &ask, on_claim, ex, &err) < 0) {
		ex->claiming = false;
		loop_timer_set(ex->loop, &ex->claim_timer, ms_to_us(ex->config->claim_poll_ms));
	}
}

static void on_claim_timer(void *arg)
{
	struct executor *ex = arg;
	ex->claim_again = ex->claim_wide = true;
	claim(ex);
}

static void claim_soon(struct executor *ex)
{
	if (ex->stopping || ex->failed)
		return;
	ex->claim_again = true;
	loop_defer(ex->loop, &ex->pump_task);
}

void executor_wake(struct executor *ex)
{
	ex->claim_wide = true;
	claim_soon(ex);
}

/* ---- recording ---- */

static void on_target_recorded(void *arg, struct target *target)
{
	let_go(arg, target);
}

static void on_batch_recorded(void *arg, int64_t recorded, int64_t lost, int64_t dead)
{
	struct executor *ex = arg;
	metric_add(ex->dead, (double)dead);
	metric_add(ex->lost, (double)lost);
	if (recorded > 0)
		ex->opts.on_recorded(ex->opts.arg);
	claim_soon(ex); /* room was made, and volumes may have been woken */
	maybe_stopped(ex);
}

static void on_record_fatal(void *arg, const struct err *err)
{
	struct executor *ex = arg;
	if (ex->failed)
		return;
	ex->failed = true;
	ex->opts.on_fatal(ex->opts.arg, err);
}

/* What waits for its turn while the breaker is open, or behind a slow platform, goes back in time. */
static void on_sweep(void *arg)
{
	struct executor *ex = arg;
	for (struct target *target = ex->held; target; target = target->held_next)
		if (target->state == TARGET_READY && !lease_allows(ex, target, 0))
			give_back(ex, target, 0);
	loop_timer_set(ex->loop, &ex->sweep_timer, SWEEP_US);
}

/* ---- life ---- */

static void register_metrics(struct executor *ex, struct metrics *m)
{
	static const char outcomes[] = "sandsweep_deletions_total";
	static const char help[] = "Claimed rows by what became of the attempt.";
	ex->gone = metrics_counter(m, outcomes, "outcome=\"gone\"", help);
	ex->failures = metrics_counter(m, outcomes, "outcome=\"failed\"", help);
	ex->later = metrics_counter(m, outcomes, "outcome=\"later\"", help);
	ex->dead = metrics_counter(m, "sandsweep_dead_total", NULL, "Rows whose last attempt failed.");
	ex->lost = metrics_counter(m, "sandsweep_leases_lost_total", NULL,
	                           "Outcomes that came after the lease had been taken over.");
	ex->claims = metrics_counter(m, "sandsweep_claims_total", NULL, "Rows claimed.");
	ex->held_gauge =
	    metrics_gauge(m, "sandsweep_held_targets", NULL, "Rows in this worker's hands.");
	ex->limit_gauge = metrics_gauge(m, "sandsweep_in_flight_limit", NULL,
	                                "Calls to the platform that may be out at once, as adapted.");
	ex->breaker_gauge =
	    metrics_gauge(m, "sandsweep_breaker_state", NULL, "0 closed, 1 open, 2 half open.");
}

static void init_policies(struct executor *ex)
{
	const struct worker_config *c = ex->config;
	double max = (double)c->in_flight_max, start = (double)c->in_flight_start;
	const struct limiter_policy limiter = {.min = max < IN_FLIGHT_MIN ? max : IN_FLIGHT_MIN,
	                                       .max = max,
	                                       .start = start < max ? start : max,
	                                       .latency_factor = 4,
	                                       .slack_us = 20000,
	                                       .decrease = 0.7,
	                                       .hold_us = 200000};
	const struct breaker_policy breaker = {
	    .window = BREAKER_WINDOW,
	    .failures = (int)c->breaker_failures,
	    .probes = 3,
	    .open = {.base_ms = c->breaker_open_ms, .cap_ms = c->breaker_open_max_ms}};
	limiter_init(&ex->limiter, &limiter);
	breaker_init(&ex->breaker, &breaker);
	ex->backoff = (struct backoff){.base_ms = c->backoff_base_ms, .cap_ms = c->backoff_cap_ms};
}

struct executor *executor_new(struct loop *loop, const struct executor_opts *opts, struct err *err)
{
	struct executor *ex = calloc(1, sizeof(*ex));
	if (!ex) {
		(void)err_oom(err);
		return NULL;
	}
	ex->loop = loop;
	ex->opts = *opts;
	ex->config = opts->config;
	fair_init(&ex->fair);
	init_policies(ex);
	register_metrics(ex, opts->metrics);
	const struct record_opts record = {.pool = opts->pool,
	                                   .flush_ms = opts->config->flush_ms,
	                                   .attempts_max = opts->config->attempts_max,
	                                   .on_done = on_target_recorded,
	                                   .on_batch = on_batch_recorded,
	                                   .on_fatal = on_record_fatal,
	                                   .arg = ex};
	ex->record = record_new(loop, &record, err);
	if (!ex->record) {
		free(ex);
		return NULL;
	}
	loop_timer_init(&ex->claim_timer, on_claim_timer, ex);
	loop_timer_init(&ex->pump_timer, on_pump, ex);
	loop_timer_init(&ex->sweep_timer, on_sweep, ex);
	loop_task_init(&ex->pump_task, on_pump, ex);
	loop_timer_set(loop, &ex->claim_timer, 0);
	loop_timer_set(loop, &ex->sweep_timer, SWEEP_US);
	return ex;
}

void executor_stop(struct executor *ex, void (*done)(void *arg), void *arg)
{
	ex->stopping = true;
	ex->on_stopped = done;
	ex->on_stopped_arg = arg;
	loop_timer_stop(ex->loop, &ex->claim_timer);
	give_all_back(ex);
	maybe_stopped(ex);
}

void executor_free(struct executor *ex)
{
	if (!ex)
		return;
	loop_timer_stop(ex->loop, &ex->claim_timer);
	loop_timer_stop(ex->loop, &ex->pump_timer);
	loop_timer_stop(ex->loop, &ex->sweep_timer);
	loop_task_cancel(ex->loop, &ex->pump_task);
	record_free(ex->record);
	while (ex->held) {
		struct target *target = ex->held;
		if (target->state != TARGET_DECIDED)
			detach(ex, target);
		let_go(ex, target);
	}
	fair_done(&ex->fair);
	free(ex);
}

int executor_held(const struct executor *ex)
{
	return ex->held_count;
}

int executor_in_flight(const struct executor *ex)
{
	return ex->in_flight;
}

const char *executor_breaker(const struct executor *ex)
{
	return breaker_state_name(ex->breaker.state);
}
