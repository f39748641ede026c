#include "http_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "num.h"

enum { BODY_KEEP = 16 * 1024 }; /* a body buffer up to this size stays for the next request */

static struct http_req *req_of(struct MHD_Connection *conn)
{
	return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static enum MHD_Result on_field(void *arg, enum MHD_ValueKind kind, const char *name,
                                size_t name_len, const char *value, size_t value_len)
{
	(void)kind;
	struct http_server *server = arg;
	if (server->field_count < HTTP_FIELDS_MAX)
		server->fields[server->field_count] =
		    (struct http_field){name, value ? value : "", name_len, value ? value_len : 0};
	server->field_count++;
	return MHD_YES;
}

static bool is_field(const struct http_field *field, const char *name, size_t name_len)
{
	return field->name_len == name_len && strncasecmp(field->name, name, name_len) == 0;
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

/* True where a line ended with CR LF: libmicrohttpd has put two NULs there. */
static bool line_end(const char *at)
{
	return at[0] == '\0' && at[1] == '\0';
}

/* libmicrohttpd repairs what it should refuse: a bare LF, a folded line, a NUL in a value, spaces
 * in the request line. But 0.9.75 parses in place, so that a clean request leaves its parts one
 * behind the other without a gap, and a repaired one does not. Later versions can be told to be
 * strict (see start). What this cannot see are the two bytes NUL LF for a line end and the line
 * ":" LF, which end up as the two NULs of CR LF, and lines that begin with NUL in front of the
 * request. */
static bool left_no_gap(const struct http_req *req, const char *version, size_t header_size)
{
	const struct http_server *server = req->server;
	const char *end = req->method + header_size;
	if (req->uri != req->method + strlen(req->method) + 1 ||
	    version != req->uri + req->uri_len + 1 || !line_end(version + 8))
		return false;
	const char *at = version + 10;
	for (size_t i = 0; i < server->field_count; i++) {
		const struct http_field *field = &server->fields[i];
		if (field->name != at || field->value <= at || field->value >= end)
			return false;
		for (at += field->name_len + 1; at < field->value; at++)
			if (*at != ' ' && *at != '\t')
				return false;
		at = field->value + field->value_len;
		if (!line_end(at))
			return false;
		at += 2;
	}
	return line_end(at) && at + 2 == end;
}

static enum MHD_Result take_head(struct http_req *req, size_t max)
{
	struct http_server *server = req->server;
	for (size_t i = 0; i < server->field_count; i++) {
		const struct http_field *field = &server->fields[i];
		int64_t length = 0;
		if (is_field(field, "content-length", 14) &&
		    num_i64(field->value, field->value_len, 0, INT64_MAX, &length) == 0 &&
		    (uint64_t)length > max)
			return http_refuse(req, 413, "body too long");
		/* libmicrohttpd reads chunk lines leniently. Whatever somebody in front of us may have
		 * read differently there must not become a request of its own. */
		if (is_field(field, "transfer-encoding", 17))
			req->close_after = true;
	}
	req->body.max = max;
	req->phase = PHASE_BODY;
	return MHD_YES;
}

static enum MHD_Result on_head(struct http_req *req, const char *version)
{
	struct http_server *server = req->server;
	size_t size =
	    MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
	req->start_us = loop_now_us(server->loop);
	server->field_count = 0;
	(void)MHD_get_connection_values_n(req->conn, MHD_HEADER_KIND, on_field, server);
	if (size > server->opts.limits.header_max_bytes)
		return http_refuse(req, 431, "headers too long");
	if (server->field_count > HTTP_FIELDS_MAX)
		return http_refuse(req, 431, "too many headers");
	const char *why = printable(req->method) ? req->bad_uri : "malformed method";
	if (!why)
		why = http_guard(version, server->fields, server->field_count);
	if (!why && server->in_place && !left_no_gap(req, version, size))
		why = "malformed line";
	if (why)
		return http_refuse(req, 400, why);
	return take_head(req, server->opts.body_max
	                          ? server->opts.body_max(server->opts.arg, req->method, req->path)
	                          : 0);
}

static enum MHD_Result on_body(struct http_req *req, const char *data, size_t len)
{
	bool too_long = len > req->body.max - req->body.len;
	if (buf_add(&req->body, data, len) == 0)
		return MHD_YES;
	if (too_long)
		http_refuse_raw(req, 413, "body too long");
	else
		http_refuse_raw(req, 503, "out of memory");
	http_linger_start(req->server, req->fd);
	return MHD_NO;
}

static enum MHD_Result on_complete(struct http_req *req)
{
	struct http_server *server = req->server;
	req->phase = PHASE_OPEN;
	req->handed_out = true;
	server->open_count++;
	server->opts.on_request(server->opts.arg, req);
	if (req->phase == PHASE_OPEN) {
		MHD_suspend_connection(req->conn);
		req->suspended = true;
		http_waiting_add(req);
	}
	return req->phase == PHASE_DROP ? MHD_NO : MHD_YES;
}

enum MHD_Result http_on_access(void *arg, struct MHD_Connection *conn, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_len, void **context)
{
	(void)conn;
	((struct http_server *)arg)->progress++;
	struct http_req *req = *context;
	if (!req)
		return MHD_NO;
	if (req->phase == PHASE_HEAD) {
		req->method = method;
		req->path = url;
		return on_head(req, version);
	}
	if (req->phase != PHASE_BODY)
		return MHD_NO;
	if (*data_len == 0)
		return on_complete(req);
	size_t len = *data_len;
	*data_len = 0;
	return on_body(req, data, len);
}

/* The request target is printable ASCII without spaces (RFC 3986), its query a bounded list. */
static const char *check_uri(const char *uri)
{
	size_t args = 1;
	for (const char *at = uri; *at; at++)
		args += *at == '&';
	if (args > HTTP_ARGS_MAX)
		return "too many query arguments";
	return printable(uri) ? NULL : "malformed request target";
}

/* With more arguments than its memory holds, libmicrohttpd goes on reading without a buffer and the
 * connection hangs. The text is in its own writable buffer, and it will look for arguments behind
 * the question mark. */
static void hide_query(const char *uri)
{
	const char *mark = strchr(uri, '?');
	if (mark)
		*(char *)(uintptr_t)(mark + 1) = '\0';
}

/* Called with the request line, before anything is taken apart. What it returns becomes the
 * request's context. */
void *http_on_uri(void *arg, const char *uri, struct MHD_Connection *conn)
{
	struct http_server *server = arg;
	struct http_req *req = req_of(conn);
	server->progress++;
	if (!req || !uri)
		return NULL;
	req->phase = PHASE_HEAD;
	req->uri = uri;
	req->uri_len = strlen(uri);
	req->bad_uri = check_uri(uri);
	if (req->bad_uri)
		hide_query(uri);
	req->close_after = false;
	req->state = NULL;
	buf_clear(&req->body);
	if (req->begun_us == 0)
		req->begun_us = loop_now_us(server->loop);
	return req;
}

/* Percent-decodes the query's names and values in place; the path stays as it came. */
size_t http_on_unescape(void *arg, struct MHD_Connection *conn, char *text)
{
	(void)arg;
	struct http_req *req = req_of(conn);
	if (!req || text == req->uri)
		return strlen(text);
	char *to = text;
	for (const char *from = text; *from; from++) {
		uint8_t byte = (uint8_t)*from;
		if (*from == '%') {
			/* A NUL would end the value for one reader and not for another. */
			if (strnlen(from, 3) < 3 || num_unhex(from + 1, 2, &byte) < 0 || byte == 0) {
				req->bad_uri = "malformed query";
				byte = '?';
			} else {
				from += 2;
			}
		}
		*to++ = (char)byte;
	}
	*to = '\0';
	return (size_t)(to - text);
}

/* A request is over, answered or not, its socket still open. */
void http_on_completed(void *arg, struct MHD_Connection *conn, void **context,
                       enum MHD_RequestTerminationCode code)
{
	(void)conn;
	((struct http_server *)arg)->progress++;
	struct http_req *req = *context;
	if (!req)
		return;
	if (code == MHD_REQUEST_TERMINATED_WITH_ERROR && req->phase <= PHASE_BODY)
		http_linger_start(req->server, req->fd); /* libmicrohttpd has refused it by itself */
	if (req->body.cap > BODY_KEEP)
		buf_done(&req->body);
	req->phase = PHASE_IDLE;
	req->begun_us = 0;
	req->served++;
}
