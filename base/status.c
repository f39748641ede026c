#include "status.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "http.h"

struct status {
	const struct metrics *metrics;
	struct supervise *supervise;
	struct http_server *http;
};

static void reply_text(struct http_req *req, int status, const char *text)
{
	http_reply(req, status, "text/plain; charset=utf-8", text, strlen(text), NULL, 0);
}

static void reply_metrics(struct status *s, struct http_req *req)
{
	struct buf text;
	buf_init(&text, 1 << 20);
	metrics_write(s->metrics, &text);
	if (text.failed)
		reply_text(req, 500, "out of memory\n");
	else
		http_reply(req, 200, "text/plain; version=0.0.4", text.data, text.len, NULL, 0);
	buf_done(&text);
}

static void on_request(void *arg, struct http_req *req)
{
	struct status *s = arg;
	char why[128] = "";
	const char *path = http_req_path(req);
	if (strcmp(http_req_method(req), "GET") != 0)
		reply_text(req, 405, "only GET\n");
	else if (strcmp(path, "/metrics") == 0)
		reply_metrics(s, req);
	else if (strcmp(path, "/livez") == 0)
		reply_text(req, 200, "ok\n");
	else if (strcmp(path, "/readyz") == 0)
		reply_text(req, supervise_healthy(s->supervise, why) ? 200 : 503, *why ? why : "ok\n");
	else
		reply_text(req, 404, "not found\n");
}

static void on_refused(void *arg, struct http_req *req, int status, const char *why)
{
	(void)arg;
	reply_text(req, status, why);
}

static size_t no_body(void *arg, const char *method, const char *path)
{
	(void)arg;
	(void)method;
	(void)path;
	return 0;
}

struct status *status_new(struct loop *loop, const char *listen, const struct metrics *metrics,
                          struct supervise *supervise, struct err *err)
{
	struct status *s = calloc(1, sizeof(*s));
	if (!s) {
		(void)err_oom(err);
		return NULL;
	}
	s->metrics = metrics;
	s->supervise = supervise;
	const struct http_opts http = {
	    .listen = listen,
	    .limits = {16384, 64, 0, 30000, 10000, 10000},
	    .body_max = no_body,
	    .on_request = on_request,
	    .on_refused = on_refused,
	    .arg = s,
	};
	s->http = http_server_new(loop, &http, err);
	if (s->http)
		return s;
	free(s);
	return NULL;
}

void status_free(struct status *s)
{
	if (!s)
		return;
	http_server_free(s->http);
	free(s);
}

int status_port(const struct status *s)
{
	return http_server_port(s->http);
}
