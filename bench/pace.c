/* Requests at a fixed rate over kept connections, however long the answers take. A request's time counts
 * from when it was due, not from when a connection was free to send it: a server that stands still is slow
 * for everything that should have been sent meanwhile. For bench/routes.
 *
 *     bench-pace PORT RATE CONNECTIONS FILE
 *
 * FILE has whole HTTP/1.1 requests, each behind a line with its length in bytes. RATE is in requests a
 * second. Prints a line for each request: the status of its answer, and the microseconds from when it was
 * due to the answer's last byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/num.h"

enum { CONNECTIONS_MAX = 1024, HEAD_MAX = 32 << 10, LEAD_US = 50000, PATIENCE_US = 30000000 };

struct request {
	const char *text; /* in the file */
	size_t len;
	int64_t took_us;
	int64_t status; /* 0: not answered */
};
struct pace;
struct conn {
	struct pace *pace;
	struct conn *next_idle;
	struct loop_io io;
	struct request *request; /* NULL: idle */
	size_t sent, head_len;
	int64_t body_left; /* once the head is there */
	bool has_head;
	char in[HEAD_MAX + 1];
};
struct pace {
	struct loop *loop;
	const struct clock *clock;
	struct loop_io ticks; /* a timerfd: the loop's own timers are of milliseconds */
	struct loop_timer patience;
	struct request *requests;
	size_t count, next, answered;
	struct conn *conns;
	size_t conn_count;
	struct conn *idle, **idle_end; /* the one that has been idle longest comes first */
	int64_t port, rate, begun_us;
	struct err err;
};

static void fail(struct pace *pace, const char *why)
{
	if (pace->err.kind == ERR_NONE)
		(void)err_set(&pace->err, ERR_FATAL, "pace", "%s", why);
	loop_stop(pace->loop);
}

static int64_t now_us(const struct pace *pace)
{
	return pace->clock->mono_us(pace->clock->arg);
}

static int64_t due_us(const struct pace *pace, const struct request *request)
{
	return pace->begun_us + (int64_t)(request - pace->requests) * 1000000 / pace->rate;
}

/* ---- sending ---- */

static void push_idle(struct conn *conn)
{
	struct pace *pace = conn->pace;
	conn->request = NULL;
	conn->next_idle = NULL;
	*pace->idle_end = conn;
	pace->idle_end = &conn->next_idle;
}

static struct conn *pop_idle(struct pace *pace)
{
	struct conn *conn = pace->idle;
	pace->idle = conn->next_idle;
	if (!pace->idle)
		pace->idle_end = &pace->idle;
	return conn;
}

static void send_more(struct conn *conn)
{
	const struct request *request = conn->request;
	ssize_t n =
	    send(conn->io.fd, request->text + conn->sent, request->len - conn->sent, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		fail(conn->pace, "a connection was closed before a request was sent");
		return;
	}
	conn->sent += n > 0 ? (size_t)n : 0;
	uint32_t events = conn->sent < request->len ? EPOLLIN | EPOLLOUT : EPOLLIN;
	if (loop_io_set(conn->pace->loop, &conn->io, events, &conn->pace->err) < 0)
		loop_stop(conn->pace->loop);
}

static void set_tick(struct pace *pace, int64_t at_us)
{
	const struct itimerspec spec = {
	    .it_value = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000}};
	if (timerfd_settime(pace->ticks.fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		fail(pace, "cannot set a timer");
}

/* Sends what is due, as far as connections are idle; the next answer or tick goes on. */
static void send_due(struct pace *pace)
{
	while (pace->next < pace->count && pace->idle && pace->err.kind == ERR_NONE) {
		struct request *request = &pace->requests[pace->next];
		int64_t due = due_us(pace, request);
		if (due > now_us(pace)) {
			set_tick(pace, due);
			return;
		}
		struct conn *conn = pop_idle(pace);
		pace->next++;
		conn->request = request;
		conn->sent = conn->head_len = 0;
		conn->has_head = false;
		send_more(conn);
	}
}

static void on_tick(void *arg, uint32_t events)
{
	struct pace *pace = arg;
	uint64_t count;
	(void)events;
	if (read(pace->ticks.fd, &count, sizeof(count)) > 0)
		send_due(pace);
}

/* ---- receiving ---- */

static int read_number(const char *at, int64_t *ret)
{
	at += strspn(at, " ");
	return num_i64(at, strspn(at, "0123456789"), 0, INT64_MAX, ret);
}

/* The status and the length of the body; `end` is the blank line behind the head. */
static void read_head(struct conn *conn, const char *end)
{
	static const char version[] = "HTTP/1.1", length[] = "\r\nContent-Length:";
	const char *at = strcasestr(conn->in, length);
	int64_t bytes;
	if (strncmp(conn->in, version, strlen(version)) != 0 || !at || at > end ||
	    read_number(conn->in + strlen(version), &conn->request->status) < 0 ||
	    read_number(at + strlen(length), &bytes) < 0) {
		fail(conn->pace, "an answer has no status or no Content-Length");
		return;
	}
	conn->has_head = true;
	conn->body_left = bytes - (int64_t)(conn->head_len - (size_t)(end + 4 - conn->in));
}

static void finish(struct conn *conn)
{
	struct pace *pace = conn->pace;
	conn->request->took_us = now_us(pace) - due_us(pace, conn->request);
	push_idle(conn);
	if (++pace->answered == pace->count)
		loop_stop(pace->loop);
	else
		send_due(pace);
}

static void take_bytes(struct conn *conn, size_t n)
{
	if (conn->has_head) {
		conn->body_left -= (int64_t)n;
	} else {
		conn->head_len += n;
		conn->in[conn->head_len] = '\0';
		const char *end = strstr(conn->in, "\r\n\r\n");
		if (end)
			read_head(conn, end);
		else if (conn->head_len == HEAD_MAX)
			fail(conn->pace, "the head of an answer is too long");
	}
	if (conn->has_head && conn->body_left == 0)
		finish(conn);
	else if (conn->has_head && conn->body_left < 0)
		fail(conn->pace, "an answer is longer than it says");
}

static void on_conn(void *arg, uint32_t events)
{
	struct conn *conn = arg;
	if (conn->request && (events & EPOLLOUT))
		send_more(conn);
	if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return;
	size_t used = conn->has_head ? 0 : conn->head_len;
	ssize_t n = recv(conn->io.fd, conn->in + used, HEAD_MAX - used, 0);
	if (n > 0 && conn->request)
		take_bytes(conn, (size_t)n);
	else if (n >= 0 || errno != EAGAIN)
		fail(conn->pace, n > 0 ? "an answer that nobody asked for" : "a connection was closed");
}

/* ---- all of it ---- */

static void on_patience(void *arg)
{
	fail(arg, "not every request was answered within 30 s");
}

static int open_conn(struct conn *conn, struct pace *pace, struct err *err)
{
	const int on = 1;
	const struct sockaddr_in address = {.sin_family = AF_INET,
	                                    .sin_port = htons((uint16_t)pace->port),
	                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	conn->pace = pace;
	conn->io.fd = fd;
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, ERR_FATAL, errno, "cannot connect");
	push_idle(conn);
	return loop_io_add(pace->loop, &conn->io, fd, EPOLLIN, on_conn, conn, err);
}

static int drive(struct pace *pace, struct err *err)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	pace->ticks.fd = fd;
	if (fd < 0)
		return err_errno(err, ERR_FATAL, errno, "cannot create a timer");
	if (loop_io_add(pace->loop, &pace->ticks, fd, EPOLLIN, on_tick, pace, err) < 0)
		return -1;
	for (size_t i = 0; i < pace->conn_count; i++)
		if (open_conn(&pace->conns[i], pace, err) < 0)
			return -1;
	pace->begun_us = now_us(pace) + LEAD_US;
	loop_timer_init(&pace->patience, on_patience, pace);
	loop_timer_set(pace->loop, &pace->patience,
	               due_us(pace, &pace->requests[pace->count]) - now_us(pace) + PATIENCE_US);
	send_due(pace);
	return loop_run(pace->loop, err);
}

static void report(const struct pace *pace)
{
	for (size_t i = 0; i < pace->count; i++)
		(void)printf("%lld %lld\n", (long long)pace->requests[i].status,
		             (long long)pace->requests[i].took_us);
}

static int run(struct pace *pace)
{
	pace->clock = clock_system();
	pace->loop = loop_new(pace->clock, &pace->err);
	pace->conns = calloc(pace->conn_count, sizeof(*pace->conns));
	pace->idle_end = &pace->idle;
	if (pace->loop && pace->conns && drive(pace, &pace->err) == 0 && pace->err.kind == ERR_NONE)
		report(pace);
	else
		(void)fprintf(stderr, "bench-pace: %s\n", pace->conns ? pace->err.text : "out of memory");
	int rc = pace->answered == pace->count ? 0 : 1;
	loop_free(pace->loop);
	free(pace->conns);
	return rc;
}

/* Finds the requests in the file's text. Returns how many there are; with `ret` NULL only counts them. -1:
 * the text is not of that form. */
static int64_t find_requests(const char *text, size_t len, struct request *ret)
{
	int64_t count = 0;
	for (const char *end = text + len; text < end; count++) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));
		int64_t bytes;
		if (!line_end ||
		    num_i64(text, (size_t)(line_end - text), 1, end - line_end - 1, &bytes) < 0)
			return -1;
		if (ret)
			ret[count] = (struct request){.text = line_end + 1, .len = (size_t)bytes};
		text = line_end + 1 + bytes;
	}
	return count;
}

static int read_requests(struct pace *pace, const char *path)
{
	struct stat stat;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_size == 0)
		return -1;
	size_t len = (size_t)stat.st_size;
	const char *text = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return -1;
	int64_t count = find_requests(text, len, NULL);
	if (count <= 0 || !(pace->requests = calloc((size_t)count + 1, sizeof(*pace->requests))))
		return -1;
	pace->count = (size_t)find_requests(text, len, pace->requests);
	return 0;
}

int main(int argc, char **argv)
{
	struct pace pace = {0};
	int64_t conns;
	if (argc != 5 || num_i64(argv[1], strlen(argv[1]), 1, UINT16_MAX, &pace.port) < 0 ||
	    num_i64(argv[2], strlen(argv[2]), 1, 1000000, &pace.rate) < 0 ||
	    num_i64(argv[3], strlen(argv[3]), 1, CONNECTIONS_MAX, &conns) < 0) {
		(void)fprintf(stderr, "usage: bench-pace PORT RATE CONNECTIONS FILE\n");
		return 64;
	}
	pace.conn_count = (size_t)conns;
	if (read_requests(&pace, argv[4]) < 0) {
		(void)fprintf(stderr, "bench-pace: %s is no file of requests\n", argv[4]);
		return 65;
	}
	int rc = run(&pace);
	free(pace.requests);
	return rc;
}
