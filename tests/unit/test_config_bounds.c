/* Settings at their bounds and one past them, and without memory: config.c is compiled into this test,
 * so that each of its allocations can be made to fail. */
#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"

static long allocations_left = -1; /* until one fails; -1: none does */

static bool scarce(void)
{
	if (allocations_left < 0)
		return false;
	return allocations_left-- == 0;
}

static void *scarce_calloc(size_t count, size_t size)
{
	return scarce() ? NULL : calloc(count, size);
}

static char *scarce_strdup(const char *text)
{
	return scarce() ? NULL : strdup(text);
}

#define calloc(count, size) scarce_calloc(count, size)
#undef strdup
#define strdup(text) scarce_strdup(text)
#include "base/config.c"
#undef calloc
#undef strdup

#include "config_fixture.h"

/* ---- bounds ---- */

/* "plain.text=xxx..." with `len` letters. */
static char *long_override(size_t len)
{
	static const char name[] = "plain.text=";
	char *text = malloc(sizeof(name) + len);
	assert_non_null(text);
	memcpy(text, name, sizeof(name));
	memset(text + sizeof(name) - 1, 'x', len);
	text[sizeof(name) - 1 + len] = '\0';
	return text;
}

static void test_values_are_bounded(void **state)
{
	(void)state;
	for (size_t len = VALUE_MAX; len <= VALUE_MAX + 1; len++) {
		struct err err = {0};
		char *text = long_override(len);
		const char *overrides[] = {text};
		struct config *config = load(NULL, overrides, 1, &err);
		assert_int_equal(config != NULL, len == VALUE_MAX);
		assert_int_equal(err.kind, config ? ERR_NONE : ERR_REJECT);
		assert_string_equal(err.text, config ? "" : "plain.text is longer than 4096 bytes");
		config_free(config);
		free(text);
	}
}

static void test_long_names_in_overrides(void **state)
{
	(void)state;
	static const struct {
		int section_len, key_len;
		bool too_long;
	} cases[] = {
	    {63, 1, false}, {64, 1, true}, {5, 126, false}, {5, 127, true}, {5000, 5000, true}};
	for (size_t i = 0; i < N_OF(cases); i++) {
		char text[10200], want[] = "-o takes";
		struct err err = {0};
		(void)snprintf(text, sizeof(text), "%0*d.%0*d=1", cases[i].section_len, 0, cases[i].key_len,
		               0);
		const char *overrides[] = {text};
		assert_null(load(NULL, overrides, 1, &err));
		if ((strncmp(err.text, want, strlen(want)) == 0) != cases[i].too_long)
			fail_msg("%d.%d: %s", cases[i].section_len, cases[i].key_len, err.text);
	}
}

static void test_settings_are_counted(void **state)
{
	(void)state;
	for (int count = ENTRIES_MAX; count <= ENTRIES_MAX + 1; count++) {
		char *text = NULL;
		size_t size;
		struct err err = {0};
		FILE *out = open_memstream(&text, &size);
		assert_non_null(out);
		(void)fputs("[open]\n", out);
		for (int i = 0; i < count; i++)
			(void)fprintf(out, "key%d = x\n", i);
		(void)fputs("key0 = y\n", out); /* once more is not one more */
		(void)fclose(out);
		struct config *config = load(text, NULL, 0, &err);
		assert_int_equal(config != NULL, count == ENTRIES_MAX);
		assert_int_equal(err.kind, config ? ERR_NONE : ERR_REJECT);
		assert_string_equal(err.text, config ? "" : "t.conf:1026: more than 1024 settings");
		config_free(config);
		free(text);
	}
}

static void test_secret_files_are_bounded(void **state)
{
	(void)state;
	static char text[3 * VALUE_MAX];
	memset(text, 'x', sizeof(text));
	static const struct {
		size_t len;
		bool fits;
	} cases[] = {{1, true}, {VALUE_MAX, true}, {VALUE_MAX + 1, false}, {sizeof(text), false}};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct keys keys = {0};
		struct err err = {0};
		write_file("long", text, cases[i].len);
		struct config *config = load("[keys]\ntoken_file = ./long\n", NULL, 0, &err);
		assert_non_null(config);
		assert_int_equal(config_read(config, &keys_section, &keys, &err), cases[i].fits ? 0 : -1);
		assert_int_equal(err.kind, cases[i].fits ? ERR_NONE : ERR_REJECT);
		assert_string_equal(err.text, cases[i].fits ? "" : "keys.token is longer than 4096 bytes");
		if (cases[i].fits)
			assert_int_equal(strlen(keys.token), cases[i].len);
		config_free(config);
	}
}

/* ---- without memory ---- */

static int attempt(struct err *err)
{
	static const char *const overrides[] = {"plain.count=9", "open.x=2", "plain.count=10"};
	struct config *config =
	    config_load("t.conf", sections, SECTIONS, overrides, N_OF(overrides), err);
	struct keys keys;
	struct plain plain;
	int rc = -1;
	if (config && config_read(config, &keys_section, &keys, err) == 0 &&
	    config_read(config, &plain_section, &plain, err) == 0)
		rc = 0;
	config_free(config);
	return rc;
}

/* Each allocation fails once; what is left is freed, and the error says that it was no fault of the
 * settings. */
static void test_without_memory(void **state)
{
	(void)state;
	static const char text[] = "[plain]\ntext = a\ntext = b\ncount = 8\n[open]\nx = 1\n[keys]\n"
	                           "token_file = ./local\n";
	write_file("t.conf", text, strlen(text));
	assert_int_equal(setenv("SANDSWEEP_PLAIN_WIDE", "5", 1), 0);
	bool failed = true;
	for (long n = 0; failed; n++) {
		struct err err = {0};
		allocations_left = n;
		int rc = attempt(&err);
		failed = allocations_left < 0;
		allocations_left = -1;
		if (rc != (failed ? -1 : 0) || err.kind != (failed ? ERR_RETRY : ERR_NONE) ||
		    strcmp(err.code, failed ? "ENOMEM" : "") != 0)
			fail_msg("allocation %ld: %d, %s \"%s\" %s", n, rc, err_kind_name(err.kind), err.code,
			         err.text);
		assert_true(failed || n > 20);
	}
	assert_int_equal(unsetenv("SANDSWEEP_PLAIN_WIDE"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values_are_bounded),
	    cmocka_unit_test(test_long_names_in_overrides),
	    cmocka_unit_test(test_settings_are_counted),
	    cmocka_unit_test(test_secret_files_are_bounded),
	    cmocka_unit_test(test_without_memory),
	};
	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
