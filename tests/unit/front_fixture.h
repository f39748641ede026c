/* What answers are tested on: a real server on the loop of the test, whose requests become exchanges, and
 * one client that asks one question a connection. */
#ifndef TESTS_UNIT_FRONT_FIXTURE_H
#define TESTS_UNIT_FRONT_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/exchange.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/macros.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

enum { FRONT_PATIENCE_US = 20000000, FRONT_BODY_MAX = 4096 };

struct front {
	struct loop *loop;
	struct metrics *metrics;
	struct exchanges *exchanges;
	struct http_server *server;
	void (*answer)(struct exchange *x); /* what becomes of the next request */
	char in[65536];                     /* the last answer, all of it */
	const char *body;                   /* of it */
};

static void front_on_request(void *arg, struct http_req *http)
{
	struct front *front = arg;
	struct exchange *x = exchange_take(front->exchanges, http, front);
	assert_non_null(x);
	x->match.route = &routes[0];
	front->answer(x);
}

static void front_on_refused(void *arg, struct http_req *http, int status, const char *why)
{
	(void)arg;
	http_reply(http, status, "text/plain", why, strlen(why), NULL, 0);
}

static size_t front_body_max(void *arg, const char *method, const char *path)
{
	(void)arg;
	(void)method;
	(void)path;
	return FRONT_BODY_MAX;
}

static int front_set_up(void **state)
{
	struct front *front = test_calloc(1, sizeof(*front));
	struct err err = {0};
	const struct http_opts opts = {
	    .listen = "127.0.0.1:0",
	    .limits = {.header_max_bytes = 16384,
	               .conns_max = 8,
	               .idle_ms = 60000,
	               .request_ms = 60000,
	               .answer_ms = 60000},
	    .body_max = front_body_max,
	    .on_request = front_on_request,
	    .on_refused = front_on_refused,
	    .arg = front,
	};
	*state = front;
	front->loop = loop_new(clock_system(), &err);
	assert_non_null(front->loop);
	front->metrics = metrics_new(&err);
	assert_non_null(front->metrics);
	front->exchanges = exchanges_new(front->loop, front->metrics, &err);
	assert_non_null(front->exchanges);
	front->server = http_server_new(front->loop, &opts, &err);
	assert_non_null(front->server);
	return 0;
}

static int front_tear_down(void **state)
{
	struct front *front = *state;
	http_server_free(front->server);
	exchanges_free(front->exchanges);
	metrics_free(front->metrics);
	loop_free(front->loop);
	test_free(front);
	return 0;
}

static int front_dial(const struct front *front)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
	                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	                           .sin_port = htons((uint16_t)http_server_port(front->server))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Everything until the server closes. */
static void front_receive(struct front *front, int fd)
{
	struct err err = {0};
	int64_t start_us = clock_system()->mono_us(NULL);
	size_t len = 0;
	for (ssize_t n = -1; n != 0;) {
		assert_int_equal(loop_once(front->loop, 1000, &err), 0);
		n = recv(fd, front->in + len, sizeof(front->in) - 1 - len, MSG_DONTWAIT);
		assert_true(n >= 0 || errno == EAGAIN);
		len += n > 0 ? (size_t)n : 0;
		if (clock_system()->mono_us(NULL) - start_us > FRONT_PATIENCE_US)
			fail_msg("no answer");
	}
	front->in[len] = '\0';
}

/* Asks "METHOD /path", with `fields` (lines, each with its end) and a body; returns the status. */
static int front_ask(struct front *front, const char *line, const char *fields, const char *body,
                     void (*answer)(struct exchange *x))
{
	char text[8192];
	int len =
	    snprintf(text, sizeof(text),
	             "%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
	             line, fields, strlen(body), body);
	assert_in_range(len, 1, sizeof(text) - 1);
	int fd = front_dial(front);
	front->answer = answer;
	assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
	front_receive(front, fd);
	(void)close(fd);
	front->body = strstr(front->in, "\r\n\r\n");
	assert_non_null(front->body);
	front->body += 4;
	assert_true(strncmp(front->in, "HTTP/1.1 ", 9) == 0);
	return (int)strtol(front->in + 9, NULL, 10);
}

/* The value of the last answer's header, of which there may be one; NULL: none. Good until the next call. */
static const char *front_header(const struct front *front, const char *name)
{
	static char value[256];
	char line[64];
	(void)snprintf(line, sizeof(line), "\r\n%s: ", name);
	const char *at = strcasestr(front->in, line);
	if (!at || at > front->body)
		return NULL;
	at += strlen(line);
	assert_null(strcasestr(at, line));
	(void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
	return value;
}

/* NULL: there is none. */
static void front_check_header(const struct front *front, const char *name, const char *want)
{
	const char *value = front_header(front, name);
	if (value && want ? strcmp(value, want) != 0 : value != want)
		fail_msg("%s: %s, not %s", name, value ? value : "(none)", want ? want : "(none)");
}

#endif
