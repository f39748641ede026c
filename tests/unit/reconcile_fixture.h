/* A platform of the tests' own, beside the store of theirs: it holds one team's things and answers from the
 * loop; a hook may change the world before an answer, or answer itself. */
#ifndef TESTS_UNIT_RECONCILE_FIXTURE_H
#define TESTS_UNIT_RECONCILE_FIXTURE_H

#include "reconcile_store_fixture.h"

/* ---- a call on its way ---- */

struct platform {
	struct fake *f;
};
struct platform_call {
	struct platform_request request;
	char id[300];
	struct loop_timer timer;
	int number;
};

static inline void write_sandbox_row(struct buf *out, const struct thing *thing)
{
	(void)buf_printf(out,
	                 "{\"id\":\"%s\",\"template_id\":\"tpl\",\"status\":\"running\","
	                 "\"created_at\":\"2026-01-02T03:04:05Z\"",
	                 thing->id);
	if (*thing->cluster)
		(void)buf_printf(out, ",\"cluster_id\":\"%s\"", thing->cluster);
	(void)buf_char(out, '}');
}

static inline void list_sandboxes(struct fake *f, const struct platform_request *request,
                                  struct buf *out)
{
	int total = 0, shown = 0;
	(void)buf_str(out, "{\"success\":true,\"data\":{\"sandboxes\":[");
	for (int i = 0; i < f->sandbox_count; i++) {
		if (f->sandboxes[i].gone)
			continue;
		if (total++ < request->offset || shown >= request->limit)
			continue;
		(void)buf_str(out, shown++ ? "," : "");
		write_sandbox_row(out, &f->sandboxes[i]);
	}
	(void)buf_printf(out, "],\"count\":%d,\"has_more\":%s}}", total,
	                 request->offset + shown < total ? "true" : "false");
}

static inline void list_volumes(struct fake *f, struct buf *out)
{
	int shown = 0;
	(void)buf_str(out, "{\"success\":true,\"data\":[");
	for (int i = 0; i < f->volume_count; i++)
		if (!f->volumes[i].gone)
			(void)buf_printf(out,
			                 "%s{\"id\":\"%s\",\"created_at\":\"2026-01-02T03:04:05Z\","
			                 "\"user_id\":\"%s\"}",
			                 shown++ ? "," : "", f->volumes[i].id,
			                 f->volumes[i].user ? f->volumes[i].user : "");
	(void)buf_str(out, "]}");
}

static inline void show(const struct thing *thing, const struct uuid *team, bool sandbox,
                        struct buf *out)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(team, text);
	(void)buf_printf(out, "{\"success\":true,\"data\":{\"id\":\"%s\",\"team_id\":\"%s\"", thing->id,
	                 text);
	(void)buf_str(out, ",\"created_at\":\"2026-01-02T03:04:05Z\"");
	if (sandbox)
		(void)buf_str(out, ",\"template_id\":\"tpl\",\"status\":\"running\"");
	if (!sandbox && thing->user)
		(void)buf_printf(out, ",\"user_id\":\"%s\"", thing->user);
	if (thing->marker)
		(void)buf_printf(out,
		                 ",\"services\":[{\"id\":\"s\",\"runtime\":{\"env_vars\":"
		                 "{\"SANDSWEEP_RUNTIME\":\"%s\"}}}]",
		                 thing->marker);
	if (thing->mount)
		(void)buf_printf(out,
		                 ",\"mounts\":[{\"sandboxvolume_id\":\"%s\",\"mount_point\":\"/data\"}]",
		                 thing->mount);
	(void)buf_str(out, "}}");
}

static inline void get(struct fake *f, const struct platform_request *request, struct reply *reply)
{
	bool sandbox = request->op == PLATFORM_SANDBOX_GET;
	struct thing *things = sandbox ? f->sandboxes : f->volumes;
	int count = sandbox ? f->sandbox_count : f->volume_count;
	for (int i = 0; i < count; i++) {
		if (strcmp(things[i].id, request->id) != 0 || things[i].gone)
			continue;
		if (things[i].not_found > 0 && things[i].not_found--)
			break;
		show(&things[i], &request->team_id, sandbox, reply->body);
		return;
	}
	reply->answer.status = 404;
	(void)strcpy(reply->answer.code, "not_found");
}

static inline void answer_call(void *arg)
{
	struct platform_call *call = arg;
	struct fake *f = fake;
	struct buf body;
	struct reply reply = {.answer = {.fault = PLATFORM_ANSWERED, .status = 200}, .body = &body};
	const struct platform_request request = call->request;
	buf_init(&body, BODY_MAX_BYTES);
	if (f->hook && f->hook(f, &request, call->number, &reply))
		;
	else if (request.op == PLATFORM_SANDBOX_LIST)
		list_sandboxes(f, &request, &body);
	else if (request.op == PLATFORM_VOLUME_LIST)
		list_volumes(f, &body);
	else
		get(f, &request, &reply);
	assert_false(body.failed);
	bool good = reply.answer.fault == PLATFORM_ANSWERED && reply.answer.status < 300;
	reply.answer.body = good ? body.data : NULL;
	reply.answer.body_len = good ? body.len : 0;
	f->in_flight--;
	request.done(request.arg, &reply.answer);
	buf_done(&body);
	free(call);
}

struct platform *platform_new(struct loop *loop, const struct platform_config *config,
                              struct metrics *metrics, struct err *err)
{
	(void)loop;
	(void)config;
	(void)metrics;
	(void)err;
	struct platform *platform = calloc(1, sizeof(*platform));
	assert_non_null(platform);
	platform->f = fake;
	return platform;
}

void platform_free(struct platform *platform)
{
	free(platform);
}

struct platform_call *platform_send(struct platform *platform,
                                    const struct platform_request *request, struct err *err)
{
	struct fake *f = platform->f;
	bool list = request->op == PLATFORM_SANDBOX_LIST || request->op == PLATFORM_VOLUME_LIST;
	if (!list && strcmp(request->id, "..") == 0) {
		(void)err_set(err, ERR_REJECT, "bad_id", "an id that cannot be a part of a path");
		return NULL;
	}
	struct platform_call *call = calloc(1, sizeof(*call));
	assert_non_null(call);
	call->request = *request;
	if (!list) {
		(void)snprintf(call->id, sizeof(call->id), "%s", request->id);
		call->request.id = call->id;
	}
	call->number = ++f->calls;
	f->asked_at_us[call->number % (int)N_OF(f->asked_at_us)] = loop_now_us(f->loop);
	*(list ? &f->lists : &f->gets) += 1;
	if (++f->in_flight > f->in_flight_most)
		f->in_flight_most = f->in_flight;
	loop_timer_init(&call->timer, answer_call, call);
	loop_timer_set(f->loop, &call->timer, 0);
	return call;
}

void platform_cancel(struct platform_call *call)
{
	fake->cancelled++;
	fake->in_flight--;
	loop_timer_stop(fake->loop, &call->timer);
	free(call);
}

/* ---- a test's own ---- */

static inline int fake_setup(void **state)
{
	fake_open();
	fake->platform = platform_new(fake->loop, NULL, NULL, NULL);
	*state = fake;
	return 0;
}

static inline int fake_teardown(void **state)
{
	(void)state;
	assert_int_equal(fake->in_flight, 0);
	platform_free(fake->platform);
	fake_close();
	return 0;
}

static inline void fault(struct reply *reply, enum platform_fault fault, int status)
{
	reply->answer.fault = fault;
	reply->answer.status = status;
}

#endif
