/* What a connection sends, in which order, and what it makes of the answers: against a server of the test's
 * own, which stands in libpq's place (the linker takes a test's functions before a library's). It knows
 * prepared statements, transactions that end with their Sync, and the team of a transaction. */
#include "sql/pg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sql/pg_private.h"

enum { COMMANDS_MAX = 512, RESULTS_MAX = 2048, LOG_SIZE = 4096, STATES_MAX = 64 };

static const struct uuid team_a = {{0xaa, 0xaa}}, team_b = {{0xbb, 0xbb}};

/* ---- the server ---- */

struct command {
	bool parse;
	char name[32], value[64]; /* the statement, and its first parameter */
};

static struct {
	int fds[2]; /* the connection, and our end */
	bool prepared[QUERY_COUNT];
	struct command group[COMMANDS_MAX]; /* since the last Sync */
	int group_count;
	PGresult *results[RESULTS_MAX]; /* NULL: the end of a part */
	int first, end;
	struct {
		const PGresult *res;
		char state[6];
	} states[STATES_MAX];
	int state_count;
	/* One command fails, once, with this. */
	const char *fail_name, *fail_value, *fail_state;
	bool fail_parse;
	char sent[LOG_SIZE]; /* what came, as it came */
	char ran[LOG_SIZE];  /* what was carried out, and for whom */
} server;

static void note(char log[LOG_SIZE], const char *what, const char *rest)
{
	size_t len = strlen(log);
	assert_true(len + 80 < LOG_SIZE);
	(void)snprintf(log + len, LOG_SIZE - len, "%s%s%s", len > 0 ? " " : "", what, rest);
}

/* "a" and "b" for the two teams, other values as they are. */
static const char *letter(const char *value)
{
	return strncmp(value, "aaaa", 4) == 0 ? "a" : strncmp(value, "bbbb", 4) == 0 ? "b" : value;
}

static int query_of(const char *name)
{
	for (int i = 0; i < QUERY_COUNT; i++)
		if (strcmp(sql_queries[i].name, name) == 0)
			return i;
	fail_msg("no query %s", name);
	return -1;
}

static void push(PGresult *res)
{
	assert_true(server.end < RESULTS_MAX);
	server.results[server.end++] = res;
}

static void answer(ExecStatusType status, const char *state)
{
	PGresult *res = PQmakeEmptyPGresult(NULL, status);
	assert_non_null(res);
	for (int i = 0; i < server.state_count; i++)
		if (server.states[i].res == res) /* the memory of one that was freed */
			server.states[i].res = NULL;
	if (state) {
		assert_true(server.state_count < STATES_MAX);
		server.states[server.state_count].res = res;
		(void)snprintf(server.states[server.state_count++].state, 6, "%s", state);
	}
	push(res);
	push(NULL);
}

static bool fails(const struct command *c)
{
	if (!server.fail_name || strcmp(server.fail_name, c->name) != 0 ||
	    server.fail_parse != c->parse ||
	    (server.fail_value && strcmp(server.fail_value, letter(c->value)) != 0))
		return false;
	server.fail_name = NULL;
	return true;
}

/* NULL: done; otherwise the SQLSTATE. */
static const char *carry_out(const struct command *c, char team[64])
{
	int query = query_of(c->name);
	if (fails(c))
		return server.fail_state;
	if (c->parse && server.prepared[query])
		return "42P05";
	if (!c->parse && !server.prepared[query])
		return "26000";
	server.prepared[query] = true;
	if (c->parse)
		return NULL;
	if (query == QUERY_TEAM_SET) {
		(void)snprintf(team, 64, "%s", c->value);
		return NULL;
	}
	char whose[80];
	(void)snprintf(whose, sizeof(whose), "@%s", letter(team));
	note(server.ran, c->name, whose);
	return NULL;
}

static void run_group(void)
{
	bool aborted = false;
	char team[64] = "";
	for (int i = 0; i < server.group_count; i++) {
		const struct command *c = &server.group[i];
		const char *state = aborted ? NULL : carry_out(c, team);
		aborted = aborted || state;
		answer(state      ? PGRES_FATAL_ERROR
		       : aborted  ? PGRES_PIPELINE_ABORTED
		       : c->parse ? PGRES_COMMAND_OK
		                  : PGRES_TUPLES_OK,
		       state);
	}
	server.group_count = 0;
	push(PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_SYNC));
	assert_int_equal(write(server.fds[1], "x", 1), 1);
}

/* ---- libpq, as far as a connection uses it ---- */

static PGconn *const the_connection = (PGconn *)&server;

PGconn *PQconnectStartParams(const char *const *keys, const char *const *values, int expand)
{
	(void)keys;
	(void)values;
	(void)expand;
	return the_connection;
}
ConnStatusType PQstatus(const PGconn *conn)
{
	return conn ? CONNECTION_OK : CONNECTION_BAD;
}
PostgresPollingStatusType PQconnectPoll(PGconn *conn)
{
	(void)conn;
	return PGRES_POLLING_OK;
}
int PQsocket(const PGconn *conn)
{
	(void)conn;
	return server.fds[0];
}
int PQsetnonblocking(PGconn *conn, int arg)
{
	(void)conn;
	(void)arg;
	return 0;
}
int PQenterPipelineMode(PGconn *conn)
{
	(void)conn;
	return 1;
}
int PQflush(PGconn *conn)
{
	(void)conn;
	return 0;
}
PGnotify *PQnotifies(PGconn *conn)
{
	(void)conn;
	return NULL;
}
void PQfinish(PGconn *conn)
{
	(void)conn;
}
char *PQerrorMessage(const PGconn *conn)
{
	static char none[1];
	(void)conn;
	return none;
}
char *PQresultErrorField(const PGresult *res, int field)
{
	static char message[] = "it failed";
	for (int i = 0; i < server.state_count; i++)
		if (server.states[i].res == res)
			return field == PG_DIAG_SQLSTATE ? server.states[i].state : message;
	return NULL;
}

static struct command *next_command(const char *name)
{
	assert_true(server.group_count < COMMANDS_MAX);
	struct command *c = &server.group[server.group_count++];
	*c = (struct command){0};
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

int PQsendPrepare(PGconn *conn, const char *name, const char *sql, int count, const Oid *types)
{
	(void)conn;
	(void)count;
	(void)types;
	assert_string_equal(sql, sql_queries[query_of(name)].sql);
	next_command(name)->parse = true;
	note(server.sent, "parse:", name);
	return 1;
}

int PQsendQueryPrepared(PGconn *conn, const char *name, int count, const char *const *values,
                        const int *lengths, const int *formats, int result_format)
{
	(void)conn;
	(void)lengths;
	(void)formats;
	assert_int_equal(result_format, 1);
	struct command *c = next_command(name);
	if (count > 0 && values[0])
		(void)snprintf(c->value, sizeof(c->value), "%s", values[0]);
	bool team = strcmp(name, "team_set") == 0;
	note(server.sent, team ? "team=" : name, team ? letter(c->value) : "");
	return 1;
}

int PQpipelineSync(PGconn *conn)
{
	(void)conn;
	note(server.sent, "|", "");
	run_group();
	return 1;
}

int PQconsumeInput(PGconn *conn)
{
	char bytes[64];
	(void)conn;
	return recv(server.fds[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0;
}
int PQisBusy(PGconn *conn)
{
	(void)conn;
	return server.first == server.end;
}
PGresult *PQgetResult(PGconn *conn)
{
	(void)conn;
	assert_true(server.first < server.end);
	return server.results[server.first++];
}

/* ---- the client ---- */

static const struct pg_config config = {
    .dsn = "", .pending_max = 1000, .query_timeout_ms = 60000, .connect_timeout_ms = 60000};

struct client {
	struct loop *loop;
	struct pg_conn *conn;
	int asked, answered;
	char said[LOG_SIZE]; /* "ok" or the code, in the order of the answers */
};

static void open_client(struct client *c, bool teams)
{
	struct err err = {0};
	const struct pg_conn_opts opts = {.arg = c, .teams = teams};
	memset(&server, 0, sizeof(server));
	*c = (struct client){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, server.fds), 0);
	c->loop = loop_new(clock_system(), &err);
	assert_non_null(c->loop);
	c->conn = pg_conn_new(c->loop, &config, &opts, &err);
	assert_non_null(c->conn);
	while (!pg_conn_ready(c->conn))
		assert_int_equal(loop_once(c->loop, 1000000, &err), 0);
}

static void close_client(struct client *c)
{
	pg_conn_free(c->conn);
	loop_free(c->loop);
	(void)close(server.fds[0]);
	(void)close(server.fds[1]);
	assert_int_equal(server.first, server.end);
}

static void on_done(const struct pg_call *call, const struct pg_result *res, const struct err *err)
{
	struct client *c = call->arg;
	assert_true(!res != !err);
	assert_true(err || PQresultStatus(pg_raw(res)) == PGRES_TUPLES_OK);
	note(c->said, err ? err->code : "ok", "");
	c->answered++;
}

/* "la": function_list of team a, r: runtime_get, p: ping, w: a write; then a or b, 0 for the nil team, - for
 * a statement that names none. */
static void ask(struct client *c, const char *word)
{
	static const struct uuid nil;
	enum query_id query = word[0] == 'l'   ? QUERY_FUNCTION_LIST
	                      : word[0] == 'r' ? QUERY_RUNTIME_GET
	                      : word[0] == 'p' ? QUERY_PING
	                                       : QUERY_WAKE_RELAYS;
	struct err err = {0};
	AUTO(pg_params_done) struct pg_params params;
	pg_params_init(&params);
	if (word[1] != '-')
		pg_param_team(&params, word[1] == 'a' ? &team_a : word[1] == 'b' ? &team_b : &nil);
	assert_int_equal(pg_conn_send(c->conn, query, word[0] == 'w' ? PG_WRITE : PG_READ, &params,
	                              on_done, (struct pg_call){NULL, c}, &err),
	                 0);
	c->asked++;
}

static void settle(struct client *c)
{
	struct err err = {0};
	while (c->answered < c->asked)
		assert_int_equal(loop_once(c->loop, 1000000, &err), 0);
	assert_int_equal(pg_conn_pending(c->conn), 0);
}

/* Asks all of it in one round, and waits for the answers. */
static void ask_all(struct client *c, const char *words)
{
	server.sent[0] = server.ran[0] = c->said[0] = '\0';
	for (const char *word = words; *word; word += word[2] == ' ' ? 3 : 2)
		ask(c, word);
	settle(c);
}

static void check(const char *what, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", what, got, want);
}

/* Everything is prepared. */
static void warm(struct client *c)
{
	ask_all(c, "la rb p- w-");
	check("warming", c->said, "ok ok ok ok");
}

/* ---- what is sent ---- */

static const struct sent_case {
	const char *words, *want;
	bool no_teams;
} sent_cases[] = {
    {"la", "team=a function_list |", false},
    {"la la la", "team=a function_list function_list function_list |", false},
    {"la ra lb rb", "team=a function_list runtime_get team=b function_list runtime_get |", false},
    {"la lb la", "team=a function_list team=b function_list team=a function_list |", false},
    /* One that names no team is no neighbour's. */
    {"la p- la", "team=a function_list team= ping team=a function_list |", false},
    {"la l0", "team=a function_list team= function_list |", false},
    /* A group begins with none. */
    {"p- p-", "ping ping |", false},
    {"l0", "function_list |", false},
    {"p- la", "ping team=a function_list |", false},
    {"la wa la", "team=a function_list | team=a wake_relays | team=a function_list |", false},
    {"la w- la", "team=a function_list | wake_relays | team=a function_list |", false},
    {"w- wa", "wake_relays | team=a wake_relays |", false},
    {"la p- lb wa", "function_list ping function_list | wake_relays |", true},
};

static void test_sent(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(sent_cases); i++) {
		const struct sent_case *s = &sent_cases[i];
		struct client c;
		open_client(&c, !s->no_teams);
		warm(&c);
		for (int round = 0; round < 2; round++) { /* nothing of a group is left for the next */
			ask_all(&c, s->words);
			check(s->words, server.sent, s->want);
		}
		close_client(&c);
	}
}

/* The first time on a connection. */
static void test_parsed_once(void **state)
{
	(void)state;
	struct client c;
	open_client(&c, true);
	ask_all(&c, "p- la rb");
	check("first", server.sent,
	      "parse:ping ping parse:team_set team=a parse:function_list function_list team=b "
	      "parse:runtime_get runtime_get |");
	check("first", c.said, "ok ok ok");
	ask_all(&c, "la p- rb");
	check("second", server.sent, "team=a function_list team= ping team=b runtime_get |");
	close_client(&c);
}

/* A group that has grown large ends, and the next one begins with no team. */
static void test_large_groups(void **state)
{
	(void)state;
	struct client c;
	int groups = 0, teams = 0;
	open_client(&c, true);
	warm(&c);
	server.sent[0] = '\0';
	for (int i = 0; i < 130; i++)
		ask(&c, "la");
	settle(&c);
	for (const char *p = server.sent; *p; p++) {
		groups += *p == '|';
		teams += *p == '=';
	}
	assert_int_equal(groups, 3);
	assert_int_equal(teams, 3);
	close_client(&c);
}

/* ---- what fails ---- */

static const struct failure_case {
	const char *name, *words;
	bool warm;
	const char *fail, *value, *state;
	bool parse;
	const char *said; /* the answers, in the order in which they come */
	const char *ran;
} failure_cases[] = {
    {"one of three, the others are sent again", "la rb p-", true, "function_list", "a", "22P02",
     false, "22P02 ok ok", "runtime_get@b ping@"},
    {"the last of three", "la rb p-", true, "ping", NULL, "57014", false, "ok ok 57014",
     "function_list@a runtime_get@b"},
    {"the first, before anything was prepared", "p- la rb", false, "ping", NULL, "57014", false,
     "57014 ok ok", "function_list@a runtime_get@b"},
    {"the change of the team", "la rb pb", true, "team_set", "b", "57014", false, "ok 57014 ok",
     "function_list@a ping@b"},
    {"taking the team away", "la p- la", true, "team_set", "", "57014", false, "ok 57014 ok",
     "function_list@a function_list@a"},
    {"the change of a write's team", "wa la", true, "team_set", "a", "57014", false, "57014 ok",
     "function_list@a"},
    {"the Parse of the change", "la rb", false, "team_set", NULL, "42501", true, "42501 ok",
     "runtime_get@b"},
    {"a Parse", "la rb", false, "function_list", NULL, "42P01", true, "42P01 ok", "runtime_get@b"},
};

static void test_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(failure_cases); i++) {
		const struct failure_case *f = &failure_cases[i];
		struct client c;
		open_client(&c, true);
		if (f->warm)
			warm(&c);
		server.fail_name = f->fail;
		server.fail_value = f->value;
		server.fail_state = f->state;
		server.fail_parse = f->parse;
		ask_all(&c, f->words);
		check(f->name, c.said, f->said);
		check(f->name, server.ran, f->ran);
		/* Nothing of it stays. */
		ask_all(&c, "la p- rb wa");
		check(f->name, c.said, "ok ok ok ok");
		check(f->name, server.ran, "function_list@a ping@ runtime_get@b wake_relays@a");
		close_client(&c);
	}
}

/* The server has forgotten a statement, or has one that we believe it has not. */
static void test_statements_of_another_mind(void **state)
{
	(void)state;
	static const enum query_id queries[] = {QUERY_TEAM_SET, QUERY_FUNCTION_LIST, QUERY_RUNTIME_GET};
	for (size_t i = 0; i < 2 * N_OF(queries); i++) {
		struct client c;
		open_client(&c, true);
		if (i % 2) {
			warm(&c);
			server.prepared[queries[i / 2]] = false;
		} else {
			server.prepared[queries[i / 2]] = true;
		}
		ask_all(&c, "la rb p-");
		check(sql_queries[queries[i / 2]].name, c.said, "ok ok ok");
		ask_all(&c, "la rb p-");
		check("again", server.sent, "team=a function_list team=b runtime_get team= ping |");
		close_client(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sent),
	    cmocka_unit_test(test_parsed_once),
	    cmocka_unit_test(test_large_groups),
	    cmocka_unit_test(test_failures),
	    cmocka_unit_test(test_statements_of_another_mind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
