/* Publishing: a function with its first revision, or one more revision.
 *
 *   the body -> the source sandbox (GET) -> begin -> for each of its mounts: snapshot, volume -> publish
 *
 * The platform is asked outside of any transaction. Before each call that makes something there is a row
 * that says so, after it one that says what was made, and from then on the ledger has it: whatever ends
 * this in the middle, what was made is found and removed. The request is carried to its end though its
 * client may have gone. */
#include "publish_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/killpoint.h"
#include "base/log.h"
#include "function_json.h"
#include "function_update.h"
#include "handlers.h"
#include "naming.h"
#include "platform/inventory.h"
#include "step.h"

struct publishing {
	struct exchange *x;
	bool creates; /* a function; otherwise a revision of one */
	struct publish_request request;
	struct inventory_sandbox sandbox; /* the source; {0} for a specification */
	struct service service;
	json_t *service_object; /* borrowed from one of the two */
	char name[FUNCTION_NAME_MAX + 1], slug[NAMING_SLUG_SIZE], label[NAMING_LABEL_SIZE];
	struct store_publish store;
	int step;          /* the last one that was begun: odd ones make snapshots, even ones volumes */
	char *snapshot_id; /* of the mount under way; owned */
	json_t *mounts;    /* restore_mounts so far; owned */
	char *revision;    /* what the last statement writes; owned */
	int fail_status;
	const char *fail_why;
};

static const char failed[] = "failed to publish function";
static const char no_sandbox[] = "sandbox not found";
static const char other_team[] = "sandbox belongs to a different team";
static const char not_asked[] = "the sandbox platform cannot be asked";
static const char untrusted[] = "the sandbox platform answered what cannot be trusted";

static void publishing_free(void *work)
{
	struct publishing *p = work;
	publish_request_done(&p->request);
	inventory_sandbox_done(&p->sandbox);
	json_decref(p->mounts);
	free(p->snapshot_id);
	free(p->revision);
	free(p);
}

/* ---- giving up ---- */

static void on_given_up(void *arg, const struct err *err)
{
	struct publishing *p = arg;
	/* If this could not be written down, the reconciler will find that it was never ended. */
	(void)err;
	if (p->fail_status != 409 || !write_beaten(p->x, p->fail_status, p->fail_why))
		exchange_fail(p->x, p->fail_status, p->fail_why);
}

/* `refused`: the platform call under way is known to have made nothing. */
static void give_up(struct publishing *p, bool refused, int status, const char *why)
{
	struct err err = {0};
	p->fail_status = status;
	p->fail_why = why;
	if (uuid_is_nil(&p->store.attempt_id) ||
	    store_publish_fail(step_pool(p->x), &p->store, refused, on_given_up, p, &err) < 0)
		on_given_up(p, NULL);
}

static void give_up_store(struct publishing *p, const struct err *err)
{
	struct exchange *x = p->x;
	struct err why = {0};
	/* Postgres is away: the answer does not wait for it once more. */
	if (!uuid_is_nil(&p->store.attempt_id))
		(void)!store_publish_fail(step_pool(x), &p->store, false, NULL, NULL, &why);
	exchange_fail_store(x, err, failed);
}

/* The client is told in general words; the platform's own are for whoever runs this. */
static void log_failure(const struct publishing *p, const struct platform_answer *answer)
{
	char status[12], attempt[UUID_TEXT_SIZE];
	(void)snprintf(status, sizeof(status), "%d", answer->status);
	uuid_format(&p->store.attempt_id, attempt);
	log_event(LOG_L_WARN, "api.publish_failed", "request_id", p->x->request_id, "attempt", attempt,
	          "step",
	          p->step == 0       ? "look"
	          : p->step % 2 == 1 ? "snapshot"
	                             : "volume",
	          "fault", platform_fault_name(answer->fault), "status", status, "said", answer->text,
	          NULL);
}

/* What the platform's refusal of a call is to the client. */
static void give_up_platform(struct publishing *p, const struct platform_answer *answer)
{
	static const struct {
		int status;
		int becomes;
		const char *why;
	} refusals[] = {
	    {404, 404, "a volume of the sandbox is not there any more"},
	    {409, 409, "a volume of the sandbox is locked; try again later"},
	    {0, 503, "the sandbox platform is not available"},
	};
	bool answered = answer->fault == PLATFORM_ANSWERED;
	bool refused = answer->fault == PLATFORM_CONNECT /* it was never sent */ ||
	               (answered && answer->status >= 400 && answer->status < 500);
	size_t i = 0;
	while (refusals[i].status != 0 && (!answered || refusals[i].status != answer->status))
		i++;
	log_failure(p, answer);
	if (answer->retry_after_ms > 0)
		exchange_header(p->x, "Retry-After", "%lld",
		                (long long)(answer->retry_after_ms + 999) / 1000);
	give_up(p, refused, refusals[i].becomes,
	        answer->fault == PLATFORM_MALFORMED ? untrusted : refusals[i].why);
}

/* ---- the end ---- */

static void finish_published(struct exchange *x, const struct store_published *published,
                             bool creates, bool promoted)
{
	struct reply reply;
	if (creates) {
		char id[UUID_TEXT_SIZE];
		uuid_format(&published->function.id, id);
		exchange_header(x, "Location", "/api/v1/functions/%s", id);
		write_etag(x, published->function.updated_at_us);
	}
	struct buf *body = exchange_data(x, &reply);
	if (creates) {
		(void)buf_str(body, "\"function\":");
		function_json(body, &published->function, step_host_suffix(x));
		(void)buf_char(body, ',');
	}
	(void)buf_str(body, "\"revision\":");
	function_json_revision(body, &published->revision);
	if (creates) {
		(void)buf_str(body, ",\"alias\":");
		function_json_alias(body, &published->alias);
	} else {
		(void)buf_str(body, promoted ? ",\"promoted\":true" : ",\"promoted\":false");
	}
	exchange_send(x, &reply, 201);
}

static const char name_taken[] = "function name already exists";
static const char no_function[] = "function not found";

static void on_published(void *arg, const struct store_published *published, const struct err *err)
{
	struct publishing *p = arg;
	killpoint("api.published");
	if (err && strcmp(err->code, "23505") == 0)
		give_up(p, false, 409, "this request was sent twice at once");
	else if (err && strcmp(err->code, "SW005") == 0)
		give_up(p, false, 503, "the publish took too long and was given up; try again");
	else if (err)
		give_up_store(p, err);
	else if (strcmp(published->outcome, "taken") == 0)
		give_up(p, false, 409, name_taken);
	else if (strcmp(published->outcome, "missing") == 0)
		give_up(p, false, 404, no_function);
	else
		finish_published(p->x, published, p->creates, p->request.promote);
}

/* The columns of the revision that are its own. */
static char *revision_text(const struct publishing *p)
{
	const struct publish_request *request = &p->request;
	bool spec = request->spec != NULL;
	const char *template_id = spec ? request->template_id : p->sandbox.template_id;
	AUTO(json_drop) json_t *kept = spec ? json_incref(request->spec) : json_object();
	AUTO(json_drop)
	json_t *json = json_pack(
	    "{s:s,s:s,s:s,s:s,s:O,s:O,s:O,s:O*}", "source_type",
	    spec ? "revision_spec" : "sandbox_service", "source_sandbox_id", spec ? "" : p->sandbox.id,
	    "source_service_id", p->service.id, "source_template_id", template_id, "restore_mounts",
	    spec ? request->mounts : p->mounts, "service_snapshot", p->service_object, "revision_spec",
	    kept, "provenance", request->provenance);
	return json ? json_text(json) : NULL;
}

static void publish(struct publishing *p)
{
	struct err err = {0};
	struct store_actor actor = step_actor(p->x);
	p->revision = revision_text(p);
	p->store.revision = p->revision;
	if (!p->revision) {
		give_up(p, false, 500, "out of memory");
		return;
	}
	killpoint("api.publishing");
	if (store_publish_end(step_pool(p->x), &p->store, &actor, on_published, p, &err) < 0)
		give_up_store(p, &err);
}

/* ---- one mount after the other ---- */

static size_t mount_of(const struct publishing *p)
{
	return (size_t)(p->step - 1) / 2;
}

static bool makes_snapshot(const struct publishing *p)
{
	return p->step % 2 == 1;
}

static void ask_store(struct publishing *p, const struct inventory_made *made);
static void on_made(void *arg, const struct platform_answer *answer);

static void ask_platform(struct publishing *p)
{
	struct err err = {0};
	const struct inventory_mount *mount = &p->sandbox.mounts[mount_of(p)];
	bool snapshot = makes_snapshot(p);
	AUTO(json_drop)
	json_t *json = snapshot ? json_pack("{s:s+,s:s}", "name", "function-", p->sandbox.id,
	                                    "description", "Function revision volume snapshot")
	                        : json_pack("{s:s}", "snapshot_id", p->snapshot_id);
	char *body = json ? json_text(json) : NULL;
	const struct platform_request request = {
	    .op = snapshot ? PLATFORM_SNAPSHOT_CREATE : PLATFORM_VOLUME_CREATE,
	    .team_id = p->x->team_id,
	    .parent_id = snapshot ? mount->volume_id : NULL,
	    .traceparent = p->x->trace,
	    .body = body,
	    .done = on_made,
	    .arg = p,
	};
	killpoint("api.preparing");
	bool sent = body && platform_send(step_platform(p->x), &request, &err);
	free(body);
	if (!sent)
		give_up(p, true, 503, not_asked);
}

static void on_stepped(void *arg, bool open, const struct err *err)
{
	struct publishing *p = arg;
	if (err)
		give_up_store(p, err);
	else if (!open)
		give_up(p, true, 503, "the publish took too long and was given up; try again");
	else if (mount_of(p) < p->sandbox.mount_count)
		ask_platform(p);
	else
		publish(p);
}

/* Writes down what the last step made (NULL: there was none) and what the next one will. */
static void ask_store(struct publishing *p, const struct inventory_made *made)
{
	struct err err = {0};
	struct store_publish_step step = {.number = p->step++};
	if (made) {
		step.made = made->id;
		step.user_id = made->user_id;
	}
	if (mount_of(p) < p->sandbox.mount_count) {
		bool snapshot = makes_snapshot(p);
		step.kind = snapshot ? "snapshot" : "volume";
		step.parent = snapshot ? p->sandbox.mounts[mount_of(p)].volume_id : p->snapshot_id;
	}
	if (store_publish_step(step_pool(p->x), &p->store, &step, on_stepped, p, &err) < 0)
		give_up_store(p, &err);
}

/* Keeps what was made: the snapshot for the next step, or the mount that is whole now. */
static int keep_made(struct publishing *p, const struct inventory_made *made)
{
	const struct inventory_mount *mount = &p->sandbox.mounts[mount_of(p)];
	if (makes_snapshot(p)) {
		free(p->snapshot_id);
		p->snapshot_id = strdup(made->id);
		return p->snapshot_id ? 0 : -1;
	}
	json_t *kept = json_pack("{s:s,s:s,s:s,s:s}", "sandboxvolume_id", made->id, "mount_point",
	                         mount->mount_point, "source_sandboxvolume_id", mount->volume_id,
	                         "snapshot_id", p->snapshot_id);
	return json_array_append_new(p->mounts, kept);
}

static void on_made(void *arg, const struct platform_answer *answer)
{
	struct publishing *p = arg;
	struct err err = {0};
	AUTO(inventory_made_done) struct inventory_made made = {0};
	killpoint("api.made");
	if (answer->fault != PLATFORM_ANSWERED || answer->status != 201)
		give_up_platform(p, answer);
	else if (inventory_made(answer->body, answer->body_len, &made, &err) < 0)
		give_up(p, false, 503, untrusted);
	else if (keep_made(p, &made) < 0)
		give_up(p, false, 500, "out of memory");
	else
		ask_store(p, &made);
}

/* ---- where it goes ---- */

static void on_begun(void *arg, const struct uuid *function_id, bool taken, const struct err *err)
{
	struct publishing *p = arg;
	bool refused = err || uuid_is_nil(function_id) || taken;
	if (refused) /* nothing was begun */
		p->store.attempt_id = (struct uuid){0};
	if (err)
		give_up_store(p, err);
	else if (taken)
		give_up(p, true, 409, name_taken);
	else if (refused)
		give_up(p, true, 404, no_function);
	else {
		p->store.function_id = *function_id;
		if (p->sandbox.mount_count > 0)
			ask_store(p, NULL);
		else
			publish(p);
	}
}

static void name_function(struct publishing *p)
{
	const char *given = p->request.change.name;
	if (!given)
		given = naming_is_blank(p->service.display_name) ? p->service.id : p->service.display_name;
	naming_copy(given, p->name, sizeof(p->name));
	naming_slug(p->name, p->slug);
	naming_domain_label(p->slug, &p->x->team_id, p->label);
	p->request.change.name = p->name;
	p->store.create = &p->request.change;
	p->store.slug = p->slug;
	p->store.domain_label = p->label;
	p->store.function_id = uuid_random();
}

static void begin(struct publishing *p)
{
	struct err err = {0};
	struct store_ref ref = step_ref(p->x);
	p->store.team_id = p->x->team_id;
	p->store.revision_id = uuid_random();
	p->store.promote = p->request.promote;
	if (p->sandbox.mount_count > 0)
		p->store.attempt_id = uuid_random();
	if (p->creates)
		name_function(p);
	(void)step_actor(p->x); /* the calls to come are spans of this request */
	if (store_publish_begin(step_pool(p->x), &p->store, p->creates ? NULL : &ref, on_begun, p,
	                        &err) < 0) {
		p->store.attempt_id = (struct uuid){0};
		give_up_store(p, &err);
	}
}

/* ---- the source ---- */

/* True when the service can be published; the exchange is answered otherwise. */
static bool is_publishable(struct publishing *p, const char *message)
{
	const struct service *service = &p->service;
	char details[128];
	if (service->blocker_count == 0)
		return true;
	bool two = service->blocker_count > 1;
	(void)snprintf(details, sizeof(details), "{\"blockers\":[\"%s\"%s%s%s]}", service->blockers[0],
	               two ? ",\"" : "", two ? service->blockers[1] : "", two ? "\"" : "");
	exchange_fail_details(p->x, 400, message, details);
	return false;
}

/* Reads the sandbox and finds its service. 0, or the status that it is answered with, and why. */
static int take_sandbox(struct publishing *p, const struct platform_answer *answer,
                        const char **ret_why)
{
	struct err err = {0};
	struct uuid team;
	*ret_why = untrusted;
	if (inventory_sandbox(answer->body, answer->body_len, &p->sandbox, &err) < 0 ||
	    strcmp(p->sandbox.id, p->request.sandbox_id) != 0 ||
	    uuid_parse(p->sandbox.team_id, strlen(p->sandbox.team_id), &team) < 0)
		return 503;
	*ret_why = other_team;
	if (!uuid_equal(&team, &p->x->team_id))
		return 403;
	*ret_why = "sandbox service not found";
	p->service_object = inventory_service(&p->sandbox, p->request.service_id);
	if (!p->service_object)
		return 404;
	*ret_why = untrusted;
	return service_read(p->service_object, &p->service, &err) < 0 ? 503 : 0;
}

static void on_sandbox(void *arg, const struct platform_answer *answer)
{
	struct publishing *p = arg;
	int status = answer->fault == PLATFORM_ANSWERED ? answer->status : 0;
	const char *why = status == 404 ? no_sandbox : other_team;
	if (status == 200)
		status = take_sandbox(p, answer, &why);
	else if (status != 403 && status != 404) {
		give_up_platform(p, answer);
		return;
	}
	if (status != 0)
		exchange_fail(p->x, status, why);
	else if (is_publishable(p, "sandbox service is not publishable"))
		begin(p);
}

static void look_at_sandbox(struct publishing *p)
{
	struct err err = {0};
	const struct platform_request request = {
	    .op = PLATFORM_SANDBOX_GET,
	    .team_id = p->x->team_id,
	    .id = p->request.sandbox_id,
	    .traceparent = p->x->trace,
	    .done = on_sandbox,
	    .arg = p,
	};
	if (!platform_send(step_platform(p->x), &request, &err))
		exchange_fail(p->x, err.kind == ERR_REJECT ? 404 : 503,
		              err.kind == ERR_REJECT ? no_sandbox : not_asked);
}

static void start(struct exchange *x, bool creates)
{
	struct err err = {0};
	size_t len;
	const char *text = http_req_body(x->http, &len);
	struct publishing *p = calloc(1, sizeof(*p));
	if (!p || !(p->mounts = json_array())) {
		free(p);
		exchange_fail(x, 500, "out of memory");
		return;
	}
	p->x = x;
	p->creates = creates;
	x->work = p;
	x->work_free = publishing_free;
	killpoint("api.received");
	if (publish_request_decode(text, len, p->creates, &p->request, &err) < 0) {
		exchange_fail(x, err.kind == ERR_REJECT ? 400 : 500, err.text);
		return;
	}
	(void)step_actor(x);
	if (!p->request.spec) {
		look_at_sandbox(p);
		return;
	}
	p->service = p->request.service;
	p->service_object = p->request.service_object;
	if (is_publishable(p, "revision_spec.runtime_service is not publishable"))
		begin(p);
}

/* ---- the two routes ---- */

static void create_function(struct exchange *x)
{
	start(x, true);
}

static void create_revision(struct exchange *x)
{
	start(x, false);
}

static void on_replayed(struct exchange *x, const struct store_published *published,
                        const struct err *err, bool creates)
{
	if (!published) {
		write_not_kept(x, err, failed);
		return;
	}
	write_replayed(x);
	finish_published(x, published, creates, !uuid_is_nil(&published->function.id));
}

static void on_function_replayed(void *arg, const struct store_published *published,
                                 const struct err *err)
{
	on_replayed(arg, published, err, true);
}

static void on_revision_replayed(void *arg, const struct store_published *published,
                                 const struct err *err)
{
	on_replayed(arg, published, err, false);
}

static void replay(struct exchange *x, store_published_fn *fn)
{
	struct err err = {0};
	struct store_actor actor = step_actor(x);
	int taken = store_publish_replay(step_pool(x), &x->team_id, &actor, fn, x, &err);
	step_asked(x, taken, &err, failed);
}

static void replay_function(struct exchange *x)
{
	replay(x, on_function_replayed);
}

static void replay_revision(struct exchange *x)
{
	replay(x, on_revision_replayed);
}

void handle_function_create(struct exchange *x)
{
	write_begin(x, replay_function, create_function);
}

void handle_revision_create(struct exchange *x)
{
	write_begin(x, replay_revision, create_revision);
}
