#include "answer.h"

#include "render.h"

struct buf *answer_begin(struct sim *sim, int status, struct answer *ret)
{
	*ret = (struct answer){.status = status, .type = ANSWER_JSON};
	buf_clear(&sim->body);
	(void)buf_str(&sim->body, "{\"success\":true,\"data\":");
	return &sim->body;
}

void answer_end(struct sim *sim)
{
	(void)buf_char(&sim->body, '}');
}

void answer_data(struct sim *sim, int status, const char *data, struct answer *ret)
{
	(void)buf_str(answer_begin(sim, status, ret), data);
	answer_end(sim);
}

void answer_error(struct sim *sim, int status, const char *code, const char *message,
                  struct answer *ret)
{
	struct buf *body = &sim->body;
	*ret = (struct answer){.status = status, .type = ANSWER_JSON};
	buf_clear(body);
	(void)buf_str(body, "{\"success\":false,\"error\":{\"code\":");
	render_text(code, body);
	(void)buf_str(body, ",\"message\":");
	render_text(message, body);
	(void)buf_str(body, "}}");
}

static const char *plain_text(int status)
{
	switch (status) {
	case 401: return "invalid or expired token";
	case 403: return "insufficient permissions";
	case 404: return "not found";
	case 429: return "rate limit exceeded";
	case 502: return "bad gateway";
	case 504: return "gateway timeout";
	default: return "request failed";
	}
}

void answer_plain(struct sim *sim, int status, const char *retry_after, struct answer *ret)
{
	struct buf *body = &sim->body;
	*ret = (struct answer){.status = status, .type = ANSWER_JSON};
	buf_clear(body);
	(void)buf_printf(body, "{\"error\":\"%s\"", plain_text(status));
	/* Seconds only: a date stays in the header. */
	if (status == 429 && retry_after[0] >= '0' && retry_after[0] <= '9')
		(void)buf_printf(body, ",\"retry_after\":%s", retry_after);
	(void)buf_char(body, '}');
}

void answer_refusal(struct sim *sim, enum world_answer why, const char *message, struct answer *ret)
{
	switch (why) {
	case WORLD_NOT_FOUND: answer_error(sim, 404, "not_found", message, ret); return;
	case WORLD_FORBIDDEN:
		answer_error(sim, 403, "forbidden", "sandbox belongs to another team", ret);
		return;
	case WORLD_CONFLICT: answer_error(sim, 409, "conflict", message, ret); return;
	case WORLD_OK:
	case WORLD_FULL: break;
	}
	answer_error(sim, 503, "unavailable", "data plane not ready", ret);
	ret->headers[ret->header_count++] = (struct http_header){"Retry-After", "1"};
}

void answer_invalid(struct sim *sim, const char *why, struct answer *ret)
{
	struct buf AUTO(buf_done) message;
	buf_init(&message, 1024);
	(void)buf_printf(&message, "invalid request: %s", why);
	answer_error(sim, 400, "bad_request", message.data ? message.data : "invalid request", ret);
}
