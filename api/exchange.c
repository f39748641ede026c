#include "exchange.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/num.h"
#include "base/rand.h"

enum {
	COMPLAIN_INTERVAL_US = 1000000, /* of failures of the database, one line a second */
	KEPT_BODY_BYTES = 1 << 20,      /* a larger answer's memory is given back */
	STATUS_CLASSES = 3,             /* 2xx, 4xx, 5xx */
	LABELS_SIZE = 96,
};

/* What is counted per route; one more for requests that found none. */
struct route_metrics {
	struct metric *requests[STATUS_CLASSES], *seconds;
	char labels[STATUS_CLASSES][LABELS_SIZE], route_label[LABELS_SIZE];
};

struct exchanges {
	struct loop *loop;
	struct exchange *open, *spare; /* spare ones are linked by `next` alone */
	struct buf body;    /* of the answer that is being written: one at a time, on one loop */
	char id_prefix[17]; /* request ids of ours: this and a count */
	uint64_t id_count;
	int64_t complained_us;
	uint64_t complaints_kept; /* failures since then */
	struct route_metrics metrics[ROUTE_COUNT + 1];
	struct metric *store_errors;
};

/* ---- beginning and end ---- */

static void name_request(struct exchanges *all, const struct http_req *http,
                         char out[REPLY_ID_MAX + 1])
{
	const char *given = http_req_header(http, "X-Request-Id");
	if (given && reply_id_valid(given))
		(void)snprintf(out, REPLY_ID_MAX + 1, "%s", given);
	else
		(void)snprintf(out, REPLY_ID_MAX + 1, "%s-%08" PRIx64, all->id_prefix, all->id_count++);
}

/* There is no exchange for it. */
static void refuse(struct exchanges *all, struct http_req *http)
{
	struct reply reply;
	char id[REPLY_ID_MAX + 1];
	name_request(all, http, id);
	reply_begin(&reply, http, &all->body, id);
	(void)reply_out_of_memory(&reply);
}

struct exchange *exchange_take(struct exchanges *all, struct http_req *http, void *owner)
{
	struct exchange *x = all->spare;
	if (x)
		all->spare = x->next;
	else
		x = malloc(sizeof(*x));
	if (!x) {
		refuse(all, http);
		return NULL;
	}
	x->all = all;
	x->http = http;
	x->late = false;
	x->match.route = NULL;
	x->owner = owner;
	buf_init(&x->rows, REPLY_BODY_MAX);
	x->row_count = 0;
	x->write = (struct write){0};
	x->header_count = 0;
	x->work = NULL;
	x->next = all->open;
	x->link = &all->open;
	if (x->next)
		x->next->link = &x->next;
	all->open = x;
	name_request(all, http, x->request_id);
	http_req_set_state(http, x);
	return x;
}

static void release(struct exchange *x)
{
	buf_done(&x->rows);
	if (x->work)
		x->work_free(x->work);
}

static void exchange_drop(struct exchange *x)
{
	*x->link = x->next;
	if (x->next)
		x->next->link = x->link;
	release(x);
	x->next = x->all->spare;
	x->all->spare = x;
}

static void log_access(const struct exchange *x, int status)
{
	char text[12];
	const struct route *route = x->match.route;
	(void)snprintf(text, sizeof(text), "%d", status);
	log_event(LOG_L_DEBUG, "api.request", "method", route ? route->method : NULL, "route",
	          route ? route->path : "none", "status", text, "request_id", x->request_id, NULL);
}

static void count(const struct exchange *x, int status, int64_t start_us)
{
	const struct route *route = x->match.route;
	const struct route_metrics *m = &x->all->metrics[route ? route - routes : ROUTE_COUNT];
	metric_add(m->requests[status < 400 ? 0 : status < 500 ? 1 : 2], 1);
	metric_observe(m->seconds, (double)(loop_now_us(x->all->loop) - start_us) / 1e6);
	log_access(x, status);
}

/* The answer is out, and the request with it. */
static void answered(struct exchange *x, int status, int64_t start_us)
{
	if (!x->late)
		count(x, status, start_us);
	if (x->all->body.cap > KEPT_BODY_BYTES)
		buf_done(&x->all->body);
	exchange_drop(x);
}

/* ---- answers ---- */

static void begin(struct exchange *x, struct reply *reply)
{
	reply_begin(reply, x->http, &x->all->body, x->request_id);
	for (size_t i = 0; i < x->header_count; i++)
		reply_header(reply, x->headers[i].name, x->headers[i].value);
}

void exchange_header(struct exchange *x, const char *name, const char *fmt, ...)
{
	va_list args;
	if (x->header_count == EXCHANGE_HEADERS_MAX)
		return;
	struct exchange_header *header = &x->headers[x->header_count++];
	header->name = name;
	va_start(args, fmt);
	(void)vsnprintf(header->value, sizeof(header->value), fmt, args);
	va_end(args);
}

void exchange_fail_details(struct exchange *x, int status, const char *message, const char *details)
{
	struct reply reply;
	int64_t start_us = http_req_start_us(x->http);
	begin(x, &reply);
	answered(x, reply_error(&reply, status, message, details), start_us);
}

void exchange_fail(struct exchange *x, int status, const char *message)
{
	exchange_fail_details(x, status, message, NULL);
}

/* A database that is away would otherwise write a line for every request. */
static void complain(const struct exchange *x, const struct err *err)
{
	struct exchanges *all = x->all;
	int64_t now_us = loop_now_us(all->loop);
	char kept[24];
	metric_add(all->store_errors, 1);
	all->complaints_kept++;
	if (all->complained_us != 0 && now_us - all->complained_us < COMPLAIN_INTERVAL_US)
		return;
	(void)snprintf(kept, sizeof(kept), "%" PRIu64, all->complaints_kept);
	log_err(err->kind == ERR_FATAL ? LOG_L_ERROR : LOG_L_WARN, "api.store_failed", err, "method",
	        x->match.route->method, "route", x->match.route->path, "request_id", x->request_id,
	        "failures", kept, NULL);
	all->complained_us = now_us;
	all->complaints_kept = 0;
}

void exchange_fail_store(struct exchange *x, const struct err *err, const char *message)
{
	complain(x, err);
	exchange_fail(x, 500, message);
}

void exchange_fail_late(struct exchange *x, int status, const char *message)
{
	struct reply reply;
	begin(x, &reply);
	count(x, reply_error(&reply, status, message, NULL), http_req_start_us(x->http));
	x->late = true;
}

struct buf *exchange_data(struct exchange *x, struct reply *reply)
{
	begin(x, reply);
	reply_data(reply);
	return reply->body;
}

void exchange_send(struct exchange *x, struct reply *reply, int status)
{
	int64_t start_us = http_req_start_us(x->http);
	answered(x, reply_send(reply, status), start_us);
}

void exchange_send_text(struct exchange *x, const char *type, const char *text, size_t len)
{
	struct reply reply;
	int64_t start_us = http_req_start_us(x->http);
	begin(x, &reply);
	answered(x, reply_text(&reply, type, text, len), start_us);
}

struct buf *exchange_row(struct exchange *x)
{
	if (x->row_count++ > 0)
		(void)buf_char(&x->rows, ',');
	return &x->rows;
}

void exchange_send_rows(struct exchange *x, const char *name, const char *more)
{
	struct reply reply;
	struct buf *body = exchange_data(x, &reply);
	(void)buf_printf(body, "\"%s\":[", name);
	(void)buf_add(body, x->rows.data, x->rows.len);
	(void)buf_char(body, ']');
	(void)buf_str(body, more);
	body->failed |= x->rows.failed;
	exchange_send(x, &reply, 200);
}

/* ---- all of them ---- */

static void count_route(struct exchanges *all, struct metrics *metrics, size_t at)
{
	static const char *const classes[STATUS_CLASSES] = {"2xx", "4xx", "5xx"};
	struct route_metrics *m = &all->metrics[at];
	const char *method = at < ROUTE_COUNT ? routes[at].method : "";
	const char *path = at < ROUTE_COUNT ? routes[at].path : "none";
	for (size_t i = 0; i < STATUS_CLASSES; i++) {
		(void)snprintf(m->labels[i], LABELS_SIZE, "method=\"%s\",route=\"%s\",status=\"%s\"",
		               method, path, classes[i]);
		m->requests[i] = metrics_counter(metrics, "sandsweep_http_requests_total", m->labels[i],
		                                 "Answered requests.");
	}
	(void)snprintf(m->route_label, LABELS_SIZE, "method=\"%s\",route=\"%s\"", method, path);
}

static void register_metrics(struct exchanges *all, struct metrics *metrics)
{
	for (size_t i = 0; i <= ROUTE_COUNT; i++)
		count_route(all, metrics, i);
	for (size_t i = 0; i <= ROUTE_COUNT; i++)
		all->metrics[i].seconds = metrics_histogram(metrics, "sandsweep_http_request_seconds",
		                                            all->metrics[i].route_label,
		                                            "From a request's headers to its answer.");
	all->store_errors = metrics_counter(metrics, "sandsweep_http_store_errors_total", NULL,
	                                    "Requests that failed because of PostgreSQL.");
}

struct exchanges *exchanges_new(struct loop *loop, struct metrics *metrics, struct err *err)
{
	struct exchanges *all = calloc(1, sizeof(*all));
	if (!all) {
		(void)err_oom(err);
		return NULL;
	}
	all->loop = loop;
	buf_init(&all->body, REPLY_BODY_MAX);
	uint8_t prefix[8];
	rand_bytes(prefix, sizeof(prefix));
	num_hex(prefix, sizeof(prefix), all->id_prefix);
	register_metrics(all, metrics);
	return all;
}

static void free_list(struct exchange *x)
{
	while (x) {
		struct exchange *next = x->next;
		free(x);
		x = next;
	}
}

void exchanges_free(struct exchanges *all)
{
	if (!all)
		return;
	for (struct exchange *x = all->open; x; x = x->next)
		release(x);
	free_list(all->open);
	free_list(all->spare);
	buf_done(&all->body);
	free(all);
}
