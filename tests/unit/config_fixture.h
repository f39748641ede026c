/* What the settings are tested with: a program's sections, with values of every type, and files in a
 * directory that is the current one. */
#ifndef TESTS_UNIT_CONFIG_FIXTURE_H
#define TESTS_UNIT_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/macros.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

/* ---- a program's settings ---- */

struct plain {
	const char *text;
	int64_t count, wide;
	bool on;
};
static const struct config_row plain_rows[] = {
    {"text", CONFIG_STR, offsetof(struct plain, text), 0, 0, "hello", false, "A text."},
    {"count", CONFIG_I64, offsetof(struct plain, count), 1, 100, "7", false,
     "A number. Its help is long enough to be broken into two comment lines, or even three of "
     "them, if "
     "one goes on and on about it: a setting like this one could be explained in a page or two."},
    {"wide", CONFIG_I64, offsetof(struct plain, wide), INT64_MIN, INT64_MAX, "-1", false,
     "Any number."},
    {"on", CONFIG_BOOL, offsetof(struct plain, on), 0, 0, "no", false, "A switch."},
};
static const struct config_section plain_section = {"plain", "Values of every type.", plain_rows,
                                                    N_OF(plain_rows), false};
struct need {
	const char *must;
	int64_t must_count;
	bool must_on;
};
static const struct config_row need_rows[] = {
    {"must", CONFIG_STR, offsetof(struct need, must), 0, 0, NULL, false, "A text, required."},
    {"must_count", CONFIG_I64, offsetof(struct need, must_count), 0, 9, NULL, false,
     "A number, required."},
    {"must_on", CONFIG_BOOL, offsetof(struct need, must_on), 0, 0, NULL, false,
     "A switch, required."},
};
static const struct config_section need_section = {"need", "Values that are required.", need_rows,
                                                   N_OF(need_rows), false};
struct keys {
	const char *token, *spare;
};
static const struct config_row keys_rows[] = {
    {"token", CONFIG_STR, offsetof(struct keys, token), 0, 0, NULL, true, "A secret, required."},
    {"spare", CONFIG_STR, offsetof(struct keys, spare), 0, 0, "", true, "A secret."},
};
static const struct config_section keys_section = {"keys", "Secrets.", keys_rows, N_OF(keys_rows),
                                                   false};
struct open {
	const char *servers;
};
static const struct config_row open_rows[] = {
    {"servers", CONFIG_STR, offsetof(struct open, servers), 0, 0, "here", false,
     "A row of its own."},
};
static const struct config_section open_section = {"open", "Takes other keys as well.", open_rows,
                                                   N_OF(open_rows), true};
static const struct config_section *const sections[] = {&plain_section, &need_section,
                                                        &keys_section, &open_section};
enum { SECTIONS = N_OF(sections) };

/* ---- files, in a directory that is the current one ---- */

static char dir[] = P_tmpdir "/test_config_XXXXXX";

static void write_file(const char *name, const char *text, size_t len)
{
	FILE *file = fopen(name, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int enter_dir(void **state)
{
	(void)state;
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir("creds", 0700) < 0)
		return -1;
	write_file("local", "from the current directory", 26);
	write_file("lines", "one\ntwo \t\r\n\n", 12);
	write_file("empty", "", 0);
	write_file("blank", " \n", 2);
	write_file("creds/cred", "from the credentials\n", 21);
	return 0;
}

static int leave_dir(void **state)
{
	(void)state;
	static const char *const names[] = {"t.conf", "local", "lines",     "empty",
	                                    "blank",  "long",  "creds/cred"};
	for (size_t i = 0; i < N_OF(names); i++)
		(void)unlink(names[i]);
	(void)rmdir("creds");
	return rmdir(dir);
}

static struct config *load(const char *text, const char *const *overrides, size_t override_count,
                           struct err *err)
{
	if (text)
		write_file("t.conf", text, strlen(text));
	return config_load(text ? "t.conf" : NULL, sections, SECTIONS, overrides, override_count, err);
}

/* True when what was said is what is wanted, and an error is one of the two: bad settings, or (from
 * -o only) bad usage. Prints what is wrong otherwise, and so a table is gone through to its end. */
static bool as_wanted(const char *name, const char *said, const struct err *err, const char *want)
{
	bool refused = err->kind == ERR_REJECT &&
	               (strcmp(err->code, "config") == 0 || strcmp(err->code, "usage") == 0);
	if (strcmp(said ? said : err->text, want) == 0 && (said ? err->kind == ERR_NONE : refused))
		return true;
	print_error("%s: \"%s\" (%s)\n", name, said ? said : err->text, err_kind_name(err->kind));
	return false;
}

static void tell_plain(struct config *config, char *out, size_t size)
{
	struct plain plain = {0};
	struct err err = {0};
	if (config_read(config, &plain_section, &plain, &err) < 0)
		fail_msg("%s", err.text);
	(void)snprintf(out, size, "%s %lld %lld %s", plain.text, (long long)plain.count,
	               (long long)plain.wide, plain.on ? "yes" : "no");
}

#endif
