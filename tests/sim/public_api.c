#include "public_api.h"

#include <string.h>
#include <strings.h>

static public_handler *const handlers[OP_OTHER] = {
    [OP_SANDBOX_LIST] = public_sandbox_list,       [OP_SANDBOX_GET] = public_sandbox_get,
    [OP_SANDBOX_CLAIM] = public_sandbox_claim,     [OP_SANDBOX_DELETE] = public_sandbox_delete,
    [OP_SANDBOX_PAUSE] = public_sandbox_pause,     [OP_SANDBOX_RESUME] = public_sandbox_resume,
    [OP_VOLUME_LIST] = public_volume_list,         [OP_VOLUME_GET] = public_volume_get,
    [OP_VOLUME_CREATE] = public_volume_create,     [OP_VOLUME_FORK] = public_volume_fork,
    [OP_VOLUME_DELETE] = public_volume_delete,     [OP_SNAPSHOT_CREATE] = public_snapshot_create,
    [OP_SNAPSHOT_DELETE] = public_snapshot_delete,
};

static bool is_authorized(const struct exchange *exchange)
{
	static const char scheme[] = "Bearer ";
	const char *value = http_req_header(exchange->req, "Authorization");
	return value && strncasecmp(value, scheme, sizeof(scheme) - 1) == 0 &&
	       strcmp(value + sizeof(scheme) - 1, exchange->sim->token) == 0;
}

void public_answer(struct exchange *exchange, struct answer *ret)
{
	struct sim *sim = exchange->sim;
	if (!is_authorized(exchange)) {
		answer_plain(sim, 401, "", ret);
	} else if (exchange->target.op == OP_OTHER) {
		answer_error(sim, 404, "not_found", "not found", ret);
	} else if (!exchange->team || !exchange->team[0]) {
		/* The token is a key of scope "platform": it has no team of its own. */
		answer_error(sim, 400, "bad_request", "X-Team-ID is required", ret);
	} else {
		handlers[exchange->target.op](exchange, world_team(&sim->world, exchange->team), ret);
	}
}

json_t *public_body(struct exchange *exchange, bool empty_is_fine, struct answer *ret)
{
	size_t len;
	const char *text = http_req_body(exchange->req, &len);
	struct err err = {0};
	if (len == 0 && empty_is_fine)
		return json_object();
	json_t *json = json_parse(text, len, &err);
	if (json_is_object(json))
		return json;
	json_decref(json);
	answer_invalid(exchange->sim, err.text[0] ? err.text : "a JSON object is expected", ret);
	return NULL;
}
