/* A standard stream, for a while a file in memory: what a command prints, for tests. */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct capture {
	FILE *stream;
	int kept_fd, memory_fd;
};

static struct capture capture(FILE *stream)
{
	(void)fflush(stream);
	struct capture c = {stream, dup(fileno(stream)), memfd_create("capture", MFD_CLOEXEC)};
	assert_true(c.kept_fd >= 0 && c.memory_fd >= 0);
	assert_true(dup2(c.memory_fd, fileno(stream)) >= 0);
	return c;
}

/* Gives the stream back; `out` gets what was written meanwhile, at most size - 1 bytes of it. */
static void release(struct capture *c, char *out, size_t size)
{
	(void)fflush(c->stream);
	assert_true(dup2(c->kept_fd, fileno(c->stream)) >= 0);
	ssize_t len = pread(c->memory_fd, out, size - 1, 0);
	assert_true(len >= 0);
	out[len] = '\0';
	(void)close(c->kept_fd);
	(void)close(c->memory_fd);
}

#endif
