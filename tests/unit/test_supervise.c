#include "base/supervise.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* The service manager's end: a datagram socket with an abstract name, and a clock that only the
 * test moves. */
struct rig {
	int fd;
	int64_t now_us;
	struct clock clock;
	struct loop *loop;
	struct supervise *s;
};

static int64_t fake_now(void *arg)
{
	return *(int64_t *)arg;
}

static int set_up(void **state)
{
	struct rig *rig = test_calloc(1, sizeof(*rig));
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int len =
	    snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "test-supervise-%d", (int)getpid());
	rig->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
	if (rig->fd < 0 || bind(rig->fd, (struct sockaddr *)&addr, size) < 0)
		return -1;
	char name[sizeof(addr.sun_path) + 1];
	(void)snprintf(name, sizeof(name), "@%s", addr.sun_path + 1);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	(void)setenv("WATCHDOG_USEC", "3000000", 1);
	(void)unsetenv("WATCHDOG_PID");
	rig->now_us = 1000000;
	rig->clock = (struct clock){fake_now, fake_now, &rig->now_us};
	struct err err = {0};
	rig->loop = loop_new(&rig->clock, &err);
	rig->s = rig->loop ? supervise_new(rig->loop, &err) : NULL;
	*state = rig;
	return rig->s ? 0 : -1;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	supervise_free(rig->s);
	loop_free(rig->loop);
	(void)close(rig->fd);
	test_free(rig);
	return 0;
}

/* The next message, "" when there is none. */
static const char *heard(struct rig *rig)
{
	static char text[1024];
	ssize_t n = recv(rig->fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void pass(struct rig *rig, int64_t us)
{
	struct err err = {0};
	rig->now_us += us;
	assert_int_equal(loop_once(rig->loop, 0, &err), 0);
}

static bool probe(void *arg, char why[128])
{
	const char *reason = *(const char **)arg;
	if (!reason)
		return true;
	(void)snprintf(why, 128, "%s", reason);
	return false;
}

static void test_states(void **state)
{
	struct rig *rig = *state;
	supervise_ready(rig->s);
	assert_string_equal(heard(rig), "READY=1");
	supervise_ready(rig->s);
	assert_string_equal(heard(rig), "");
	supervise_status(rig->s, "%d open\nWATCHDOG=1", 7);
	assert_string_equal(heard(rig), "STATUS=7 open WATCHDOG=1");
	supervise_stopping(rig->s);
	assert_string_equal(heard(rig), "STOPPING=1");
}

static void test_long_status_is_cut(void **state)
{
	struct rig *rig = *state;
	char text[2000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	supervise_status(rig->s, "%s", text);
	const char *got = heard(rig);
	assert_true(strncmp(got, "STATUS=xxx", 10) == 0);
	assert_true(strlen(got) < 512);
}

static void test_fed_at_a_third(void **state)
{
	struct rig *rig = *state;
	pass(rig, 999999);
	assert_string_equal(heard(rig), "");
	pass(rig, 1);
	assert_string_equal(heard(rig), "WATCHDOG=1");
	for (int i = 0; i < 5; i++) {
		pass(rig, 1000000);
		assert_string_equal(heard(rig), "WATCHDOG=1");
		assert_string_equal(heard(rig), "");
	}
}

static void test_not_fed_while_a_probe_fails(void **state)
{
	struct rig *rig = *state;
	const char *a = NULL, *b = NULL;
	char why[128];
	supervise_probe(rig->s, "postgres", probe, &a);
	supervise_probe(rig->s, "kafka", probe, &b);
	pass(rig, 1000000);
	assert_string_equal(heard(rig), "WATCHDOG=1");
	assert_true(supervise_healthy(rig->s, why));
	assert_string_equal(why, "");

	b = "no broker for 40 s";
	for (int i = 0; i < 3; i++) {
		pass(rig, 1000000);
		assert_string_equal(heard(rig), "");
	}
	assert_false(supervise_healthy(rig->s, why));
	assert_string_equal(why, "kafka: no broker for 40 s");
	a = "lost";
	assert_false(supervise_healthy(rig->s, why));
	assert_string_equal(why, "postgres: lost"); /* the first */

	a = b = NULL;
	pass(rig, 1000000);
	assert_string_equal(heard(rig), "WATCHDOG=1");
}

static void test_long_reason_fits(void **state)
{
	struct rig *rig = *state;
	char reason[128], why[128];
	memset(reason, 'r', 127);
	reason[127] = '\0';
	const char *text = reason;
	supervise_probe(rig->s, "a_probe_with_a_rather_long_name", probe, &text);
	assert_false(supervise_healthy(rig->s, why));
	assert_true(strlen(why) < sizeof(why));
}

static void test_eight_probes(void **state)
{
	struct rig *rig = *state;
	const char *fine = NULL, *bad = "bad";
	char why[128];
	for (int i = 0; i < 7; i++)
		supervise_probe(rig->s, "fine", probe, &fine);
	supervise_probe(rig->s, "eighth", probe, &bad);
	assert_false(supervise_healthy(rig->s, why));
	assert_string_equal(why, "eighth: bad");
}

/* Started by hand: nothing is sent, nothing fails. */
static void test_without_manager(void **state)
{
	struct rig *rig = *state;
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	struct err err = {0};
	struct supervise *s = supervise_new(rig->loop, &err);
	assert_non_null(s);
	supervise_ready(s);
	supervise_status(s, "x");
	supervise_stopping(s);
	supervise_free(s);
	supervise_free(NULL);
	assert_string_equal(heard(rig), "");
}

/* The watchdog of another process, say of our parent, is none of ours. */
static void test_watchdog_of_another_process(void **state)
{
	struct rig *rig = *state;
	(void)setenv("WATCHDOG_PID", "1", 1);
	struct err err = {0};
	supervise_free(rig->s);
	rig->s = supervise_new(rig->loop, &err);
	assert_non_null(rig->s);
	pass(rig, 3000000);
	assert_string_equal(heard(rig), "");
}

static void test_bad_watchdog(void **state)
{
	struct rig *rig = *state;
	(void)setenv("WATCHDOG_USEC", "soon", 1);
	struct err err = {0};
	assert_null(supervise_new(rig->loop, &err));
	assert_int_equal(err.kind, ERR_FATAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_long_status_is_cut, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_fed_at_a_third, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_not_fed_while_a_probe_fails, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_long_reason_fits, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_eight_probes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_without_manager, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_watchdog_of_another_process, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_bad_watchdog, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
