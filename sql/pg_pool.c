#include "pg.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

enum { POOL_MAX = 64, GATHER_MAX = 16, READ_LANES = 2 };

struct pg_pool {
	struct loop *loop;
	int count;
	bool down; /* no connection is up: said once, not for every attempt */
	struct pg_conn *conns[POOL_MAX];
};

static bool any_ready(const struct pg_pool *pool)
{
	for (int i = 0; i < pool->count; i++)
		if (pool->conns[i] && pg_conn_ready(pool->conns[i]))
			return true;
	return false;
}

static void on_ready(void *arg)
{
	struct pg_pool *pool = arg;
	if (pool->down)
		log_event(LOG_L_INFO, "postgres.back", NULL);
	pool->down = false;
}

static void on_lost(void *arg, const struct err *err)
{
	struct pg_pool *pool = arg;
	if (pool->down || any_ready(pool))
		return;
	pool->down = true;
	log_err(LOG_L_WARN, "postgres.away", err, NULL);
}

struct pg_pool *pg_pool_new(struct loop *loop, const struct pg_config *config, struct err *err)
{
	struct pg_pool *pool = calloc(1, sizeof(*pool));
	if (!pool) {
		(void)err_oom(err);
		return NULL;
	}
	pool->loop = loop;
	const struct pg_conn_opts opts = {.on_ready = on_ready,
	                                  .on_lost = on_lost,
	                                  .arg = pool,
	                                  .teams = config->role == PG_ROLE_API};
	for (; pool->count < config->pool_size && pool->count < POOL_MAX; pool->count++) {
		pool->conns[pool->count] = pg_conn_new(loop, config, &opts, err);
		if (!pool->conns[pool->count]) {
			pg_pool_free(pool);
			return NULL;
		}
	}
	return pool;
}

void pg_pool_free(struct pg_pool *pool)
{
	if (!pool)
		return;
	for (int i = 0; i < pool->count; i++)
		pg_conn_free(pool->conns[i]);
	free(pool);
}

static bool gathers(const struct pg_conn *conn)
{
	return pg_conn_ready(conn) && pg_conn_gathered(conn) > 0 && pg_conn_gathered(conn) < GATHER_MAX;
}

/* Reads keep to few connections as long as these keep up: what waits there leaves as one group, and a round
 * trip for many costs the server less than one for each. Writes take any, and so mostly the others. */
static struct pg_conn *choose(const struct pg_pool *pool, enum pg_mode mode)
{
	struct pg_conn *best = NULL;
	int ready = 0;
	for (int i = 0; i < pool->count; i++) {
		struct pg_conn *conn = pool->conns[i];
		if (!pg_conn_ready(conn))
			continue;
		if (mode == PG_READ && gathers(conn))
			return conn;
		if (mode == PG_READ && ready++ >= READ_LANES && pg_conn_pending(best) < GATHER_MAX)
			break;
		if (!best || pg_conn_pending(conn) < pg_conn_pending(best))
			best = conn;
	}
	return best;
}

int pg_pool_send(struct pg_pool *pool, enum query_id query, enum pg_mode mode,
                 const struct pg_params *params, pg_done_fn *done, struct pg_call call,
                 struct err *err)
{
	struct pg_conn *conn = choose(pool, mode);
	if (!conn)
		return err_set(err, ERR_RETRY, "connection", "PostgreSQL is not connected");
	return pg_conn_send(conn, query, mode, params, done, call, err);
}

bool pg_pool_healthy(const struct pg_pool *pool, int64_t within_us, char why[128])
{
	for (int i = 0; i < pool->count; i++) {
		const struct pg_conn *conn = pool->conns[i];
		if (pg_conn_ready(conn) &&
		    (pg_conn_pending(conn) == 0 ||
		     loop_now_us(pool->loop) - pg_conn_last_heard_us(conn) <= within_us))
			return true;
	}
	(void)snprintf(why, 128, "%s",
	               any_ready(pool) ? "PostgreSQL does not answer" : "PostgreSQL is not connected");
	return false;
}

int pg_pool_pending(const struct pg_pool *pool)
{
	int pending = 0;
	for (int i = 0; i < pool->count; i++)
		pending += pg_conn_pending(pool->conns[i]);
	return pending;
}
