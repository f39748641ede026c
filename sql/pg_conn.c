#include "pg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/backoff.h"
#include "pg_private.h"

enum { READ_GROUP_MAX = 64, RESENDS_MAX = 2 };

/* What of a request is sent, and answered, in this order; only PART_RUN always. */
enum part {
	PART_PARSE_TEAM = 1,
	PART_TEAM = 2, /* the transaction gets the request's team */
	PART_PARSE = 4,
	PART_RUN = 8,
};

/* One statement, from pg_conn_send to its callback. */
struct request {
	struct request *next;
	enum query_id query;
	enum pg_mode mode;
	pg_done_fn *done;
	struct pg_call call;
	int resends;    /* after another statement of its group had failed */
	unsigned parts; /* that are not answered yet */
	bool syncs;     /* a Sync follows it */
	int64_t sent_us;
	struct err err; /* of what went before it */
	int param_count;
	int64_t at[PG_PARAMS_MAX];
	int64_t team_at; /* as in at; -1: none */
	char text[];     /* the parameters' values */
};
struct fifo {
	struct request *head, **tail;
};

enum conn_state { CONN_WAITING, CONN_CONNECTING, CONN_READY };

struct pg_conn {
	struct loop *loop;
	const struct pg_config *config;
	struct pg_conn_opts opts;
	PGconn *pg;
	enum conn_state state;
	bool syncing; /* the next result is that of a Sync, otherwise of the oldest sent request */
	struct loop_io io;
	struct loop_timer timer; /* reconnect, connect deadline, query deadline: by state */
	struct loop_task flush;
	struct fifo waiting, sent;
	int pending, gathered;
	int failures; /* connection attempts in a row */
	int64_t last_heard_us;
	PGresult *result; /* of the current part */
	bool prepared[QUERY_COUNT];
	char team[UUID_TEXT_SIZE]; /* of the group that is being sent; "": none */
};

static const struct backoff reconnect_policy = {.base_ms = 100, .cap_ms = 5000};

static void fifo_init(struct fifo *fifo)
{
	fifo->head = NULL;
	fifo->tail = &fifo->head;
}

static void fifo_push(struct fifo *fifo, struct request *request)
{
	request->next = NULL;
	*fifo->tail = request;
	fifo->tail = &request->next;
}

static struct request *fifo_pop(struct fifo *fifo)
{
	struct request *request = fifo->head;
	if (request) {
		fifo->head = request->next;
		if (!fifo->head)
			fifo->tail = &fifo->head;
	}
	return request;
}

static void connect_begin(struct pg_conn *conn);

/* ---- losing the connection ---- */

static void drop_connection(struct pg_conn *conn)
{
	loop_io_del(conn->loop, &conn->io);
	loop_timer_stop(conn->loop, &conn->timer);
	loop_task_cancel(conn->loop, &conn->flush);
	PQclear(conn->result);
	conn->result = NULL;
	PQfinish(conn->pg);
	conn->pg = NULL;
	conn->gathered = 0;
	memset(conn->prepared, 0, sizeof(conn->prepared));
	conn->team[0] = '\0';
}

static void fail_all(struct pg_conn *conn, struct fifo *fifo, const struct err *err)
{
	/* A callback may send again: that is refused, since the state is no longer READY. */
	struct request *request;
	while ((request = fifo_pop(fifo))) {
		conn->pending--;
		request->done(&request->call, NULL, err);
		free(request);
	}
}

static void lose(struct pg_conn *conn, const struct err *err)
{
	drop_connection(conn);
	conn->state = CONN_WAITING;
	int64_t wait_ms = backoff_full_jitter_ms(&reconnect_policy, conn->failures++);
	loop_timer_set(conn->loop, &conn->timer, wait_ms * 1000);
	fail_all(conn, &conn->sent, err);
	fail_all(conn, &conn->waiting, err);
	if (conn->opts.on_lost)
		conn->opts.on_lost(conn->opts.arg, err);
}

static void lose_for(struct pg_conn *conn, const char *why)
{
	struct err err = {0};
	const char *text = conn->pg ? PQerrorMessage(conn->pg) : "";
	(void)err_set(&err, ERR_RETRY, "connection", "%s%s%s", why, *text ? ": " : "", text);
	lose(conn, &err);
}

/* ---- sending ---- */

/* One statement as two parts of a request: its Parse, the first time on this connection, and itself. */
static int send_statement(struct pg_conn *conn, struct request *request, enum part parse,
                          enum part run, enum query_id id, int count, const char *const *values)
{
	const struct query *query = &sql_queries[id];
	if (!conn->prepared[id]) {
		if (!PQsendPrepare(conn->pg, query->name, query->sql, 0, NULL))
			return -1;
		request->parts |= parse;
		conn->prepared[id] = true; /* taken back when the Parse fails */
	}
	request->parts |= run;
	return PQsendQueryPrepared(conn->pg, query->name, count, values, NULL, NULL, 1) ? 0 : -1;
}

/* The transaction gets the team of the request, or none, unless it has it already. */
static int send_team(struct pg_conn *conn, struct request *request)
{
	const char *team = request->team_at < 0 ? "" : request->text + request->team_at;
	if (!conn->opts.teams || strcmp(team, conn->team) == 0)
		return 0;
	(void)snprintf(conn->team, sizeof(conn->team), "%s", team);
	return send_statement(conn, request, PART_PARSE_TEAM, PART_TEAM, QUERY_TEAM_SET, 1, &team);
}

static int send_one(struct pg_conn *conn, struct request *request)
{
	const char *values[PG_PARAMS_MAX];
	for (int i = 0; i < request->param_count; i++)
		values[i] = request->at[i] < 0 ? NULL : request->text + request->at[i];
	request->parts = 0;
	request->syncs = false;
	request->err = (struct err){0};
	request->sent_us = loop_now_us(conn->loop);
	if (send_team(conn, request) < 0 ||
	    send_statement(conn, request, PART_PARSE, PART_RUN, request->query, request->param_count,
	                   values) < 0)
		return -1;
	fifo_push(&conn->sent, request);
	return 0;
}

/* A group ends before and after every write, and when it has grown large. */
static bool group_ends(const struct request *last, const struct request *next, int size)
{
	return !next || last->mode == PG_WRITE || next->mode == PG_WRITE || last->resends > 0 ||
	       next->resends > 0 || size == READ_GROUP_MAX;
}

static void want(struct pg_conn *conn)
{
	struct err err = {0};
	int left = PQflush(conn->pg);
	if (left < 0)
		lose_for(conn, "PostgreSQL cannot be written to");
	else if (loop_io_set(conn->loop, &conn->io, left ? EPOLLIN | EPOLLOUT : EPOLLIN, &err) < 0)
		lose(conn, &err);
}

static void on_flush(void *arg)
{
	struct pg_conn *conn = arg;
	struct request *request;
	int size = 0;
	conn->gathered = 0;
	while ((request = fifo_pop(&conn->waiting))) {
		if (send_one(conn, request) < 0) {
			fifo_push(&conn->sent, request); /* fails with the others */
			lose_for(conn, "PostgreSQL cannot be written to");
			return;
		}
		if (!group_ends(request, conn->waiting.head, ++size))
			continue;
		request->syncs = true;
		size = 0;
		conn->team[0] = '\0'; /* ends with its transaction */
		if (!PQpipelineSync(conn->pg)) {
			lose_for(conn, "PostgreSQL cannot be written to");
			return;
		}
	}
	want(conn);
}

static struct request *request_new(enum query_id query, enum pg_mode mode,
                                   const struct pg_params *params)
{
	size_t len = params ? params->text.len : 0;
	struct request *request = malloc(sizeof(*request) + len);
	if (!request)
		return NULL;
	*request = (struct request){.query = query, .mode = mode, .team_at = -1};
	if (params) {
		request->param_count = params->count;
		if (params->team > 0)
			request->team_at = params->at[params->team - 1];
		memcpy(request->at, params->at, sizeof(request->at));
		if (len > 0)
			memcpy(request->text, params->text.data, len);
	}
	return request;
}

int pg_conn_send(struct pg_conn *conn, enum query_id query, enum pg_mode mode,
                 const struct pg_params *params, pg_done_fn *done, struct pg_call call,
                 struct err *err)
{
	if (params && params->text.failed)
		return err_set(err, ERR_REJECT, "params", "the parameters of a statement are too large");
	if (conn->state != CONN_READY)
		return err_set(err, ERR_RETRY, "connection", "PostgreSQL is not connected");
	if (conn->pending >= conn->config->pending_max)
		return err_set(err, ERR_RETRY, "busy", "too many statements wait for PostgreSQL");
	struct request *request = request_new(query, mode, params);
	if (!request)
		return err_oom(err);
	request->done = done;
	request->call = call;
	fifo_push(&conn->waiting, request);
	conn->pending++;
	conn->gathered++;
	loop_defer(conn->loop, &conn->flush);
	return 0;
}

/* ---- receiving ---- */

static bool is_state(const PGresult *res, const char *wanted)
{
	const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	return state && strcmp(state, wanted) == 0;
}

/* A statement's Parse was lost with another one's failure. */
static bool is_unprepared(const PGresult *res)
{
	return is_state(res, "26000");
}

/* It was not lost after all: it was sent again too early. */
static bool is_prepared(const PGresult *res)
{
	return is_state(res, "42P05");
}

/* Another statement of the group failed, or a Parse was lost with one: this one did nothing. */
static bool must_resend(const struct request *request, const PGresult *res)
{
	return request->resends < RESENDS_MAX && request->err.kind == ERR_NONE &&
	       (PQresultStatus(res) == PGRES_PIPELINE_ABORTED || is_unprepared(res));
}

static void deliver(struct pg_conn *conn, struct request *request, PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);
	if (is_unprepared(res))
		conn->prepared[request->query] = false;
	if (must_resend(request, res)) {
		request->resends++;
		fifo_push(&conn->waiting, request);
		loop_defer(conn->loop, &conn->flush);
		return;
	}
	conn->pending--;
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
		request->done(&request->call, pg_wrap(res), NULL);
	} else {
		if (request->err.kind == ERR_NONE)
			(void)pg_result_err(&request->err, res, conn->pg, sql_queries[request->query].name);
		request->done(&request->call, NULL, &request->err);
	}
	free(request);
}

/* What goes before a statement is never shown; what goes wrong there is the statement's failure. */
static void on_prelude(struct pg_conn *conn, struct request *request, enum part part,
                       const PGresult *res)
{
	enum query_id query = part == PART_PARSE ? request->query : QUERY_TEAM_SET;
	ExecStatusType status = PQresultStatus(res);
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return;
	if (part != PART_TEAM || is_unprepared(res))
		conn->prepared[query] = is_prepared(res);
	if (status != PGRES_PIPELINE_ABORTED && !is_prepared(res) && !is_unprepared(res))
		(void)pg_result_err(&request->err, res, conn->pg, sql_queries[query].name);
}

/* libpq ends the results of each part with a NULL. */
static void on_part_end(struct pg_conn *conn)
{
	struct request *request = conn->sent.head;
	PGresult *res = conn->result;
	conn->result = NULL;
	if (!request) {
		PQclear(res);
		return;
	}
	enum part part = request->parts & -request->parts;
	request->parts &= ~part;
	if (part != PART_RUN) {
		on_prelude(conn, request, part, res);
	} else {
		(void)fifo_pop(&conn->sent);
		conn->syncing = request->syncs;
		deliver(conn, request, res);
	}
	PQclear(res);
}

static void on_result(struct pg_conn *conn, PGresult *res)
{
	if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
		PQclear(res);
		conn->syncing = false;
		return;
	}
	PQclear(conn->result); /* only the last result of a part counts; ours have one */
	conn->result = res;
}

static void read_notices(struct pg_conn *conn)
{
	PGnotify *notice;
	while (conn->pg && (notice = PQnotifies(conn->pg))) {
		if (conn->opts.on_notify)
			conn->opts.on_notify(conn->opts.arg, notice->relname);
		PQfreemem(notice);
	}
}

/* PQgetResult answers NULL both at the end of a part and when nothing is expected. */
static bool expects_more(const struct pg_conn *conn)
{
	return conn->sent.head || conn->syncing;
}

static void read_results(struct pg_conn *conn)
{
	while (expects_more(conn) && !PQisBusy(conn->pg)) {
		PGresult *res = PQgetResult(conn->pg);
		if (res)
			on_result(conn, res);
		else if (!conn->syncing)
			on_part_end(conn);
		if (!conn->pg || PQstatus(conn->pg) != CONNECTION_OK)
			return;
	}
}

static void on_io(void *arg, uint32_t events)
{
	struct pg_conn *conn = arg;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		bool alive = PQconsumeInput(conn->pg) == 1;
		conn->last_heard_us = loop_now_us(conn->loop);
		read_results(conn);
		if (!alive || PQstatus(conn->pg) != CONNECTION_OK) {
			lose_for(conn, "the connection to PostgreSQL was lost");
			return;
		}
		read_notices(conn);
	}
	want(conn);
}

/* ---- connecting ---- */

static void on_query_deadline(struct pg_conn *conn)
{
	const struct request *oldest = conn->sent.head;
	int64_t limit_us = (conn->config->query_timeout_ms + 1000) * 1000;
	if (oldest && loop_now_us(conn->loop) - oldest->sent_us > limit_us &&
	    loop_now_us(conn->loop) - conn->last_heard_us > limit_us)
		lose_for(conn, "PostgreSQL did not answer in time");
	else
		loop_timer_set(conn->loop, &conn->timer, 1000000);
}

static void on_timer(void *arg)
{
	struct pg_conn *conn = arg;
	if (conn->state == CONN_WAITING)
		connect_begin(conn);
	else if (conn->state == CONN_CONNECTING)
		lose_for(conn, "PostgreSQL did not take the connection in time");
	else
		on_query_deadline(conn);
}

static void connected(struct pg_conn *conn)
{
	struct err err = {0};
	loop_io_del(conn->loop, &conn->io);
	if (PQsetnonblocking(conn->pg, 1) < 0 || !PQenterPipelineMode(conn->pg)) {
		lose_for(conn, "PostgreSQL cannot be used");
		return;
	}
	if (loop_io_add(conn->loop, &conn->io, PQsocket(conn->pg), EPOLLIN, on_io, conn, &err) < 0) {
		lose(conn, &err);
		return;
	}
	conn->state = CONN_READY;
	conn->failures = 0;
	conn->syncing = false;
	conn->last_heard_us = loop_now_us(conn->loop);
	loop_timer_set(conn->loop, &conn->timer, 1000000);
	if (conn->opts.on_ready)
		conn->opts.on_ready(conn->opts.arg);
}

static void on_connecting(void *arg, uint32_t events)
{
	(void)events;
	struct pg_conn *conn = arg;
	struct err err = {0};
	PostgresPollingStatusType step = PQconnectPoll(conn->pg);
	if (step == PGRES_POLLING_OK) {
		connected(conn);
		return;
	}
	if (step == PGRES_POLLING_FAILED) {
		lose_for(conn, "cannot connect to PostgreSQL");
		return;
	}
	/* libpq may have moved on to another address, with another socket. */
	uint32_t wanted = step == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT;
	loop_io_del(conn->loop, &conn->io);
	if (loop_io_add(conn->loop, &conn->io, PQsocket(conn->pg), wanted, on_connecting, conn, &err) <
	    0)
		lose(conn, &err);
}

static void connect_begin(struct pg_conn *conn)
{
	const char *keys[PG_CONNINFO_MAX], *values[PG_CONNINFO_MAX];
	char scratch[PG_SCRATCH_SIZE];
	struct err err = {0};
	pg_conninfo(conn->config, true, scratch, keys, values);
	conn->state = CONN_CONNECTING;
	conn->pg = PQconnectStartParams(keys, values, 1);
	loop_timer_set(conn->loop, &conn->timer, conn->config->connect_timeout_ms * 1000);
	if (PQstatus(conn->pg) == CONNECTION_BAD)
		lose_for(conn, "cannot connect to PostgreSQL");
	else if (loop_io_add(conn->loop, &conn->io, PQsocket(conn->pg), EPOLLOUT, on_connecting, conn,
	                     &err) < 0)
		lose(conn, &err);
}

struct pg_conn *pg_conn_new(struct loop *loop, const struct pg_config *config,
                            const struct pg_conn_opts *opts, struct err *err)
{
	struct pg_conn *conn = calloc(1, sizeof(*conn));
	if (!conn) {
		(void)err_oom(err);
		return NULL;
	}
	conn->loop = loop;
	conn->config = config;
	conn->opts = *opts;
	fifo_init(&conn->waiting);
	fifo_init(&conn->sent);
	loop_timer_init(&conn->timer, on_timer, conn);
	loop_task_init(&conn->flush, on_flush, conn);
	/* From the loop, so that no callback comes before this returns. */
	loop_timer_set(loop, &conn->timer, 0);
	return conn;
}

void pg_conn_free(struct pg_conn *conn)
{
	if (!conn)
		return;
	drop_connection(conn);
	struct request *request;
	while ((request = fifo_pop(&conn->sent)) || (request = fifo_pop(&conn->waiting)))
		free(request);
	free(conn);
}

bool pg_conn_ready(const struct pg_conn *conn)
{
	return conn->state == CONN_READY;
}

int pg_conn_pending(const struct pg_conn *conn)
{
	return conn->pending;
}

int pg_conn_gathered(const struct pg_conn *conn)
{
	return conn->gathered;
}

int64_t pg_conn_last_heard_us(const struct pg_conn *conn)
{
	return conn->last_heard_us;
}
