/* Descriptors: which events are reported, and what may be done to others while they are. */
#include "loop_fixture.h"

static void test_events_that_are_asked_for(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *name;
		uint32_t events;
		bool called;
	} cases[] = {
	    {"nothing", 0, false},         {"read", EPOLLIN, true},
	    {"write", EPOLLOUT, true},     {"both", EPOLLIN | EPOLLOUT, true},
	    {"read again", EPOLLIN, true}, {"read once more", EPOLLIN, true},
	    {"nothing again", 0, false},
	};
	struct sock sock;
	open_socks(rig, &sock, 1);
	add_sock(&sock, 0);
	for (size_t i = 0; i < N_OF(cases); i++) {
		set_sock(&sock, cases[i].events);
		sock.got = 0;
		round_after(rig, 1);
		if (rig->log_len != cases[i].called || sock.got != cases[i].events)
			fail_msg("%s: called %zu times with %x", cases[i].name, rig->log_len, sock.got);
		rig->log_len = 0;
	}
	close_socks(&sock, 1);
	round_after(rig, 1);
	assert_log(rig, "");
}

static void test_hang_up_is_always_reported(void **state)
{
	struct rig *rig = *state;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	struct sock sock = {.rig = rig, .letter = 'a', .fd = fds[0]};
	add_sock(&sock, 0);
	round_after(rig, 1);
	assert_log(rig, "");
	(void)close(fds[1]);
	round_after(rig, 1);
	assert_log(rig, "a");
	assert_int_equal(sock.got, EPOLLHUP);
	close_socks(&sock, 1);
}

static void del_self(struct sock *sock)
{
	loop_io_del(sock->rig->loop, &sock->io);
}

/* Whichever of the ready ones comes first silences all others. */
static void del_others(struct sock *sock)
{
	for (struct sock *other = sock->other; other != sock; other = other->other) {
		loop_io_del(sock->rig->loop, &other->io);
		(void)close(other->fd);
		memset(&other->io, 0xa5,
		       sizeof(other->io)); /* its memory is gone, as far as the loop knows */
		other->io.added = false;
	}
}

/* Removes another one and adds it again, at once: its old event is not its own any more. */
static void renew_others(struct sock *sock)
{
	for (struct sock *other = sock->other; other != sock; other = other->other) {
		loop_io_del(sock->rig->loop, &other->io);
		add_sock(other, EPOLLIN);
		other->then = NULL;
	}
}

static void link_ring(struct sock *socks, int count)
{
	for (int i = 0; i < count; i++)
		socks[i].other = &socks[(i + 1) % count];
}

static void test_removing_itself(void **state)
{
	struct rig *rig = *state;
	struct sock sock;
	open_socks(rig, &sock, 1);
	sock.then = del_self;
	add_sock(&sock, EPOLLIN);
	round_after(rig, 1);
	round_after(rig, 1);
	assert_log(rig, "a");
	close_socks(&sock, 1);
}

static void test_removing_others_that_are_ready_in_the_same_round(void **state)
{
	struct rig *rig = *state;
	struct sock socks[5];
	open_socks(rig, socks, 5);
	link_ring(socks, 5);
	for (int i = 0; i < 5; i++) {
		socks[i].then = del_others;
		add_sock(&socks[i], EPOLLIN);
	}
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 1);
	struct sock *survivor = &socks[rig->log[0] - 'a'];
	survivor->then = NULL;
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 2);
	assert_int_equal(rig->log[1], survivor->letter);
	close_socks(survivor, 1);
}

static void test_renewing_others_that_are_ready_in_the_same_round(void **state)
{
	struct rig *rig = *state;
	struct sock socks[3];
	open_socks(rig, socks, 3);
	link_ring(socks, 3);
	for (int i = 0; i < 3; i++) {
		socks[i].then = renew_others;
		add_sock(&socks[i], EPOLLIN);
	}
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 1);
	for (int i = 0; i < 3; i++)
		socks[i].then = NULL;
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 4);
	close_socks(socks, 3);
}

static void add_other(struct sock *sock)
{
	sock->then = NULL;
	add_sock(sock->other, EPOLLIN);
}

static void quiet_self(struct sock *sock)
{
	set_sock(sock, 0);
}

static void test_adding_and_changing_within_a_callback(void **state)
{
	struct rig *rig = *state;
	struct sock socks[2];
	open_socks(rig, socks, 2);
	link_ring(socks, 2);
	socks[0].then = add_other;
	add_sock(&socks[0], EPOLLIN);
	round_after(rig, 1);
	assert_log(rig, "a");
	socks[0].then = quiet_self;
	socks[1].then = quiet_self;
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 2);
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 2);
	set_sock(&socks[1], EPOLLIN);
	round_after(rig, 1);
	assert_int_equal(rig->log_len, 3);
	assert_int_equal(rig->log[2], 'b');
	close_socks(socks, 2);
}

/* More than the loop takes from the kernel at once. */
static void test_a_thousand_descriptors(void **state)
{
	struct rig *rig = *state;
	enum { COUNT = 1000 };
	static struct sock socks[COUNT];
	open_socks(rig, socks, COUNT);
	for (int i = 0; i < COUNT; i++) {
		socks[i].then = del_self;
		add_sock(&socks[i], EPOLLIN);
	}
	for (int i = 0; i < 10; i++)
		round_after(rig, 1);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(socks[i].got, EPOLLIN);
		assert_false(socks[i].io.added);
	}
	close_socks(socks, COUNT);
}

static void test_descriptors_that_cannot_be_watched(void **state)
{
	struct rig *rig = *state;
	struct err err = {0};
	struct loop_io io;
	assert_int_equal(loop_io_add(rig->loop, &io, -1, EPOLLIN, on_sock, rig, &err), -1);
	assert_int_equal(err.kind, ERR_FATAL);
	assert_string_equal(err.code, "EBADF");
	assert_false(io.added);
	loop_io_del(rig->loop, &io); /* a no-op */

	struct sock sock;
	open_socks(rig, &sock, 1);
	add_sock(&sock, EPOLLIN);
	err = (struct err){0};
	assert_int_equal(loop_io_add(rig->loop, &io, sock.fd, EPOLLIN, on_sock, rig, &err), -1);
	assert_string_equal(err.code, "EEXIST");
	assert_false(io.added);
	round_after(rig, 1);
	assert_log(rig, "a"); /* the first one is none the worse for it */
	close_socks(&sock, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_events_that_are_asked_for),
	    LOOP_TEST(test_hang_up_is_always_reported),
	    LOOP_TEST(test_removing_itself),
	    LOOP_TEST(test_removing_others_that_are_ready_in_the_same_round),
	    LOOP_TEST(test_renewing_others_that_are_ready_in_the_same_round),
	    LOOP_TEST(test_adding_and_changing_within_a_callback),
	    LOOP_TEST(test_a_thousand_descriptors),
	    LOOP_TEST(test_descriptors_that_cannot_be_watched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
