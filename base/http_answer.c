#include "http_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	RAW_HEAD_MAX = 16 * 1024, /* headers of an answer that we write ourselves */
	LINGER_US = 1000000,
	LINGER_BYTES = 4 * 1024 * 1024,
};

/* ---- lingering ---- */

void http_linger_stop(struct http_linger *linger)
{
	if (!linger->io.added)
		return;
	loop_timer_stop(linger->server->loop, &linger->timer);
	loop_io_del(linger->server->loop, &linger->io);
	(void)close(linger->io.fd);
}

static void on_linger_timer(void *arg)
{
	http_linger_stop(arg);
}

static void on_linger_io(void *arg, uint32_t events)
{
	(void)events;
	struct http_linger *linger = arg;
	char away[16 * 1024];
	ssize_t n = recv(linger->io.fd, away, sizeof(away), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	linger->left -= n;
	if (n <= 0 || linger->left <= 0)
		http_linger_stop(linger);
}

void http_linger_start(struct http_server *server, int fd)
{
	for (size_t i = 0; i < HTTP_LINGER_MAX; i++) {
		struct http_linger *linger = &server->lingers[i];
		if (linger->io.added)
			continue;
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (copy < 0)
			return;
		linger->server = server;
		linger->left = LINGER_BYTES;
		loop_timer_init(&linger->timer, on_linger_timer, linger);
		if (loop_io_add(server->loop, &linger->io, copy, EPOLLIN, on_linger_io, linger, NULL) < 0)
			(void)close(copy);
		else
			loop_timer_set(server->loop, &linger->timer, LINGER_US);
		return;
	}
}

/* ---- answers ---- */

void http_waiting_add(struct http_req *req)
{
	struct http_server *server = req->server;
	if (server->opts.limits.answer_ms <= 0)
		return;
	req->answer_due_us = loop_now_us(server->loop) + server->opts.limits.answer_ms * 1000;
	req->wait_next = NULL;
	req->wait_prev = server->waiting.last;
	if (req->wait_prev)
		req->wait_prev->wait_next = req;
	else
		server->waiting.first = req;
	server->waiting.last = req;
	if (!server->answer_timer.armed)
		loop_timer_set(server->loop, &server->answer_timer, server->opts.limits.answer_ms * 1000);
}

void http_waiting_remove(struct http_req *req)
{
	struct http_server *server = req->server;
	if (!req->wait_prev && server->waiting.first != req)
		return;
	if (req->wait_prev)
		req->wait_prev->wait_next = req->wait_next;
	else
		server->waiting.first = req->wait_next;
	if (req->wait_next)
		req->wait_next->wait_prev = req->wait_prev;
	else
		server->waiting.last = req->wait_prev;
	req->wait_next = req->wait_prev = NULL;
}

struct answer {
	int status;
	const char *type;
	const void *body;
	size_t len;
	const struct http_header *headers;
	size_t header_count;
};

static struct MHD_Response *response_new(const struct answer *answer, bool close_after)
{
	/* MHD_RESPMEM_MUST_COPY: it does not write to the body. */
	struct MHD_Response *res = MHD_create_response_from_buffer(
	    answer->len, (void *)(uintptr_t)answer->body, MHD_RESPMEM_MUST_COPY);
	if (!res)
		return NULL;
	if (answer->type)
		(void)MHD_add_response_header(res, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
	for (size_t i = 0; i < answer->header_count; i++)
		(void)MHD_add_response_header(res, answer->headers[i].name, answer->headers[i].value);
	if (close_after)
		(void)MHD_add_response_header(res, MHD_HTTP_HEADER_CONNECTION, "close");
	return res;
}

static void answer_queued(struct http_req *req, const struct answer *answer)
{
	struct MHD_Response *res = response_new(answer, req->close_after || req->server->draining);
	bool queued = res && MHD_queue_response(req->conn, (unsigned)answer->status, res) == MHD_YES;
	if (res)
		MHD_destroy_response(res);
	req->phase = queued ? PHASE_DONE : PHASE_DROP;
}

/* Writes the answer to the socket ourselves, in one go: what the socket does not take is lost with
 * the connection, which ends here. */
static void answer_raw(struct http_req *req, const struct answer *answer)
{
	char date[40] = "";
	time_t now = (time_t)(loop_wall_us(req->server->loop) / 1000000);
	struct tm tm;
	if (gmtime_r(&now, &tm))
		(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	struct buf AUTO(buf_done) out;
	buf_init(&out, RAW_HEAD_MAX + answer->len);
	const char *reason = MHD_get_reason_phrase_for((unsigned)answer->status);
	(void)buf_printf(&out, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n", answer->status,
	                 reason ? reason : "Unknown", date);
	if (answer->type)
		(void)buf_printf(&out, "Content-Type: %s\r\n", answer->type);
	for (size_t i = 0; i < answer->header_count; i++)
		(void)buf_printf(&out, "%s: %s\r\n", answer->headers[i].name, answer->headers[i].value);
	(void)buf_printf(&out, "Content-Length: %zu\r\n\r\n", answer->len);
	if (strcmp(req->method, "HEAD") != 0)
		(void)buf_add(&out, answer->body, answer->len);
	if (!out.failed)
		(void)send(req->fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	req->phase = PHASE_DROP;
}

/* The handler is done with a request that was open, in time or not. */
static void release(struct http_req *req)
{
	if (req->handed_out)
		req->server->open_count--;
	req->handed_out = false;
	http_waiting_remove(req);
	if (req->suspended)
		http_resume(req);
}

void http_reply(struct http_req *req, int status, const char *content_type, const void *body,
                size_t len, const struct http_header *headers, size_t header_count)
{
	const struct answer answer = {status, content_type, body, len, headers, header_count};
	if (req->raw)
		answer_raw(req, &answer);
	else if (req->phase == PHASE_OPEN)
		answer_queued(req, &answer);
	if (!req->raw)
		release(req);
}

void http_abort(struct http_req *req)
{
	/* Dissolving the association of a TCP socket sends a reset at once. */
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	if (req->phase <= PHASE_OPEN)
		(void)connect(req->fd, &nowhere, sizeof(nowhere));
	req->phase = PHASE_DROP;
	if (!req->raw)
		release(req);
}

/* ---- refusing ---- */

enum MHD_Result http_refuse(struct http_req *req, int status, const char *why)
{
	req->phase = PHASE_OPEN;
	req->server->opts.on_refused(req->server->opts.arg, req, status, why);
	http_linger_start(req->server, req->fd);
	return req->phase == PHASE_DONE ? MHD_YES : MHD_NO;
}

void http_refuse_raw(struct http_req *req, int status, const char *why)
{
	req->raw = true;
	req->server->opts.on_refused(req->server->opts.arg, req, status, why);
	req->raw = false;
	req->phase = PHASE_DROP;
}

/* The client has its 503 and the end of the connection; the handler keeps its request, texts and
 * all, until it calls http_reply(), which then changes nothing. */
void http_on_answer_timer(void *arg)
{
	struct http_server *server = arg;
	struct http_req *req;
	while ((req = server->waiting.first) && req->answer_due_us <= loop_now_us(server->loop)) {
		http_waiting_remove(req);
		http_refuse_raw(req, 503, "no answer in time");
		(void)shutdown(req->fd, SHUT_WR);
	}
	if (req)
		loop_timer_set(server->loop, &server->answer_timer,
		               req->answer_due_us - loop_now_us(server->loop));
}
