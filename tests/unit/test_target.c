#include "worker/target.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct uuid team = {{1, 2, 3}};

static struct store_claimed row_of(const char *kind, const char *id, const char *parent)
{
	return (struct store_claimed){.id = 7,
	                              .lease = 70,
	                              .kind = kind,
	                              .resource_id = id,
	                              .parent_id = parent,
	                              .team_id = team,
	                              .attempts = 3,
	                              .traceparent = ""};
}

static struct target *new_target(void)
{
	struct store_claimed row = row_of("sandbox", "sb-1", NULL);
	struct err err = {0};
	struct target *target = target_new(&row, &err);
	assert_non_null(target);
	return target;
}

/* ---- birth ---- */

#define LONG_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const struct new_case {
	const char *name, *kind, *id, *parent, *traceparent;
	enum target_kind want_kind; /* TARGET_KIND_COUNT: refused */
	const char *want_trace;
} new_cases[] = {
    {"sandbox", "sandbox", "sb-1", NULL, "", TARGET_SANDBOX, ""},
    {"volume", "volume", "vol-1", NULL, TRACE, TARGET_VOLUME, TRACE},
    {"snapshot", "snapshot", "snap-1", "vol-1", "", TARGET_SNAPSHOT, ""},
    {"long ids", "snapshot", LONG_ID LONG_ID, LONG_ID "x", TRACE, TARGET_SNAPSHOT, TRACE},
    {"one letter each", "snapshot", "s", "v", "", TARGET_SNAPSHOT, ""},
    {"empty parent", "snapshot", "s", "", "", TARGET_SNAPSHOT, ""},
    {"trace that is too long", "sandbox", "s", NULL, TRACE "-more", TARGET_SANDBOX, TRACE},
    {"unknown kind", "sandboxes", "s", NULL, "", TARGET_KIND_COUNT, NULL},
    {"kind in capitals", "Volume", "s", NULL, "", TARGET_KIND_COUNT, NULL},
    {"no kind", "", "s", NULL, "", TARGET_KIND_COUNT, NULL},
};

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_new(const struct new_case *c, const struct target *target)
{
	assert_int_equal(target->state, TARGET_CLAIMED);
	assert_int_equal(target->step, STEP_DELETE);
	assert_int_equal(target->id, 7);
	assert_int_equal(target->lease, 70);
	assert_int_equal(target->attempts, 3);
	assert_true(uuid_equal(&target->team_id, &team));
	assert_null(target->error);
	if (target->kind != c->want_kind || !same(target->resource_id, c->id) ||
	    !same(target->parent_id, c->parent) || !same(target->traceparent, c->want_trace))
		fail_msg("%s: kind %d, %s, %s, %s", c->name, target->kind, target->resource_id,
		         target->parent_id ? target->parent_id : "no parent", target->traceparent);
}

/* The row is gone after its callback: everything was copied. */
static void test_new(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(new_cases); i++) {
		const struct new_case *c = &new_cases[i];
		char *id = strdup(c->id), *parent = c->parent ? strdup(c->parent) : NULL;
		char *kind = strdup(c->kind), *trace = strdup(c->traceparent);
		struct store_claimed row = row_of(kind, id, parent);
		row.traceparent = trace;
		struct err err = {0};
		struct target *target = target_new(&row, &err);
		free(id);
		free(parent);
		free(kind);
		free(trace);
		if ((target != NULL) != (c->want_kind != TARGET_KIND_COUNT))
			fail_msg("%s: %s", c->name, err.text);
		if (target)
			check_new(c, target);
		else
			assert_int_equal(err.kind, ERR_FATAL);
		target_free(target);
	}
	target_free(NULL);
}

/* ---- states ---- */

static const char *const state_names[TARGET_STATE_COUNT] = {[TARGET_CLAIMED] = "claimed",
                                                            [TARGET_READY] = "ready",
                                                            [TARGET_SENT] = "sent",
                                                            [TARGET_RESTING] = "resting",
                                                            [TARGET_DECIDED] = "decided"};

static const bool edges[TARGET_STATE_COUNT][TARGET_STATE_COUNT] = {
    /* to:               claimed ready sent resting decided */
    [TARGET_CLAIMED] = {false, true, false, false, false},
    [TARGET_READY] = {false, false, true, false, true},
    [TARGET_SENT] = {false, true, false, true, true},
    [TARGET_RESTING] = {false, true, false, false, true},
    [TARGET_DECIDED] = {false, false, false, false, false},
};

/* True when going there ends the process, as a bug does. */
static bool aborts(enum target_state from, enum target_state to)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct target target = {.state = from};
		(void)signal(SIGABRT, SIG_DFL);
		(void)fclose(stderr);
		target_set_state(&target, to);
		_exit(target.state == to ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_every_state_and_state(void **state)
{
	(void)state;
	for (int from = 0; from < TARGET_STATE_COUNT; from++)
		for (int to = 0; to < TARGET_STATE_COUNT; to++) {
			bool want = edges[from][to];
			if (target_edge_legal((enum target_state)from, (enum target_state)to) != want ||
			    aborts((enum target_state)from, (enum target_state)to) == want)
				fail_msg("from %s to %s", state_names[from], state_names[to]);
		}
	assert_false(target_edge_legal(TARGET_STATE_COUNT, TARGET_READY));
	assert_false(target_edge_legal(TARGET_CLAIMED, TARGET_STATE_COUNT));
}

/* ---- decisions ---- */

static const struct decide_case {
	const char *name;
	enum target_state from;
	enum target_step step;
	enum store_outcome_kind kind;
	int64_t wait_ms;
	int status;
	const char *error_class, *error;
	const char *want_error;
	bool want_accepted;
} decide_cases[] = {
    {"gone", TARGET_SENT, STEP_CONFIRM, STORE_GONE, 0, 404, NULL, NULL, NULL, true},
    {"failed", TARGET_SENT, STEP_DELETE, STORE_FAIL, 1000, 500, "http_500", "boom", "boom", false},
    {"failed, accepted before", TARGET_SENT, STEP_PROBE, STORE_FAIL, 1000, 500, "http_500", "boom",
     "boom", true},
    {"later", TARGET_SENT, STEP_DELETE, STORE_LATER, 30000, 409, "conflict", "in use", "in use",
     false},
    {"nothing was sent", TARGET_READY, STEP_DELETE, STORE_LATER, 0, -1, NULL, NULL, NULL, false},
    {"while resting", TARGET_RESTING, STEP_PROBE, STORE_LATER, 0, -1, NULL, NULL, NULL, true},
    {"no answer", TARGET_SENT, STEP_DELETE, STORE_FAIL, 1, 0, "timeout", "", NULL, false},
    {"plain ASCII stays", TARGET_SENT, STEP_DELETE, STORE_FAIL, 1, 500, "x", "a z ~ \\ \" ' {}",
     "a z ~ \\ \" ' {}", false},
    {"line ends and tabs", TARGET_SENT, STEP_DELETE, STORE_FAIL, 1, 500, "x", "a\nb\tc\r", "a?b?c?",
     false},
    {"controls", TARGET_SENT, STEP_DELETE, STORE_FAIL, 1, 500, "x", "\1\33[1m\37\177", "??[1m??",
     false},
    {"UTF-8", TARGET_SENT, STEP_DELETE, STORE_FAIL, 1, 500, "x", "\xc3\xa9", "??", false},
    {"not UTF-8", TARGET_SENT, STEP_DELETE, STORE_FAIL, 1, 500, "x", "\x80\xff\xc0", "???", false},
};

static void check_outcome(const struct decide_case *c, const struct target *target)
{
	const struct store_outcome *o = &target->outcome;
	assert_int_equal(target->state, TARGET_DECIDED);
	if (o->id != 7 || o->lease != 70 || o->kind != c->kind || o->wait_ms != c->wait_ms ||
	    o->status != c->status || !same(o->error_class, c->error_class) ||
	    o->accepted != c->want_accepted || !same(o->error, c->want_error) ||
	    o->error != target->error)
		fail_msg("%s: %s, accepted %d", c->name, o->error ? o->error : "no text", o->accepted);
}

/* The platform's answer is gone after its callback: its words were copied, and made harmless. */
static void test_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(decide_cases); i++) {
		const struct decide_case *c = &decide_cases[i];
		struct target *target = new_target();
		char *error = c->error ? strdup(c->error) : NULL;
		target->state = c->from;
		target->step = c->step;
		target_decide(target, c->kind, c->wait_ms, c->status, c->error_class, error);
		if (error)
			memset(error, 'X', strlen(error));
		free(error);
		check_outcome(c, target);
		target_free(target);
	}
}

static void test_every_byte_is_harmless(void **state)
{
	(void)state;
	char text[256];
	for (int i = 0; i < 255; i++)
		text[i] = (char)(i + 1);
	text[255] = '\0';
	struct target *target = new_target();
	target->state = TARGET_SENT;
	target_decide(target, STORE_FAIL, 1, 500, "x", text);
	assert_int_equal(strlen(target->error), 255);
	for (int i = 0; i < 255; i++) {
		int byte = i + 1;
		assert_int_equal(target->error[i], byte >= 0x20 && byte < 0x7f ? byte : '?');
	}
	target_free(target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_new),
	    cmocka_unit_test(test_every_state_and_state),
	    cmocka_unit_test(test_decide),
	    cmocka_unit_test(test_every_byte_is_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
