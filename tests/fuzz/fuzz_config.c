/* libFuzzer target for config_load and what reads a loaded configuration. The input's first byte
 * says how the file begins, so that chance need not find out what a file looks like; the rest
 * follows. Secrets are only loaded, not read: a file that the input names could be anything. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct plain {
	const char *text, *must;
	int64_t count, wide;
	bool on;
};
/* Short names, so that chance finds them. */
#define ROW(key, field, type, min, max, def, help)                           \
	{                                                                        \
		key, type, offsetof(struct plain, field), min, max, def, false, help \
	}
static const struct config_row plain_rows[] = {
    ROW("t", text, CONFIG_STR, 0, 0, "hello", "A text."),
    ROW("m", must, CONFIG_STR, 0, 0, NULL, "A text, required."),
    ROW("n", count, CONFIG_I64, 1, 100, "7", "A number."),
    ROW("w", wide, CONFIG_I64, INT64_MIN, INT64_MAX, "0", "Any number."),
    ROW("b", on, CONFIG_BOOL, 0, 0, "no", "A switch."),
};
struct open {
	const char *token, *spare;
};
static const struct config_row open_rows[] = {
    {"s", CONFIG_STR, offsetof(struct open, token), 0, 0, NULL, true, "A secret, required."},
    {"z", CONFIG_STR, offsetof(struct open, spare), 0, 0, "", true, "A secret."},
};
static const struct config_section plain_section = {"p", "Values of every type.", plain_rows,
                                                    N_OF(plain_rows), false};
static const struct config_section open_section = {"o", "Takes other keys as well.", open_rows,
                                                   N_OF(open_rows), true};
static const struct config_section *const sections[] = {&plain_section, &open_section};

static const char *const beginnings[] = {"", "[p]\nm = x\n", "[o]\ns = x\n[p]\nm = x\nt = y\n"};

static void write_all(int fd, const void *data, size_t size)
{
	for (const char *at = data; size > 0;) {
		ssize_t n = write(fd, at, size);
		if (n <= 0)
			abort();
		at += n;
		size -= (size_t)n;
	}
}

/* A file in memory, by a name that can be opened. */
static int write_input(const uint8_t *data, size_t size, char name[32])
{
	const char *beginning = beginnings[size > 0 ? data[0] % N_OF(beginnings) : 0];
	int fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		abort();
	write_all(fd, beginning, strlen(beginning));
	if (size > 0)
		write_all(fd, data + 1, size - 1);
	(void)snprintf(name, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void check_error(const struct err *err)
{
	assert(err->kind == ERR_REJECT && strcmp(err->code, "config") == 0 && *err->text);
	assert(!strchr(err->text, '\n'));
}

static void check_plain(struct config *config)
{
	struct plain plain = {0};
	struct err err = {0};
	if (config_read(config, &plain_section, &plain, &err) < 0) {
		check_error(&err); /* nothing but the required text can be missing */
		assert(strstr(err.text, "p.m is not set"));
		return;
	}
	assert(plain.count >= 1 && plain.count <= 100);
	assert(plain.text && strlen(plain.text) <= 4096);
	assert(plain.must && *plain.must);
}

static void check_key(void *arg, const char *key, const char *value)
{
	(void)arg;
	assert(key && value && strlen(value) <= 4096);
	assert(strcmp(key, "s") != 0 && strcmp(key, "z") != 0 && strcmp(key, "s_file") != 0);
}

static void check_dump(const struct config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	config_dump(config, out);
	(void)fclose(out);
	const char *secret = strstr(text, "\no.s=");
	assert(!secret || strncmp(secret, "\no.s=(secret)\n", 14) == 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[32];
	struct err err = {0};
	int fd = write_input(data, size, name);
	struct config *config = config_load(name, sections, N_OF(sections), NULL, 0, &err);
	(void)close(fd);
	if (!config) {
		check_error(&err);
		return 0;
	}
	assert(err.kind == ERR_NONE);
	check_plain(config);
	config_each(config, "o", check_key, NULL);
	check_dump(config);
	config_free(config);
	return 0;
}
