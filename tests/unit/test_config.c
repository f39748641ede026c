/* config.c is compiled into this test, so that each of its allocations can be made to fail. */
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

/* ---- the table of files ---- */

#define COUNT_IS(value) "plain.count is \"" value "\"; it must be a whole number from 1 to 100"
#define WIDE_IS(value)                                                                     \
	"plain.wide is \"" value "\"; it must be a whole number from -9223372036854775808 to " \
	"9223372036854775807"
#define ON_IS(value) "plain.on is \"" value "\"; it must be true or false"
#define NEITHER "this line is neither [section] nor key = value"

/* A line of 198 bytes is the longest that is read: "text = " and 191 letters. */
#define X10 "xxxxxxxxxx"
#define X191 "x" X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static const struct file_case {
	const char *name, *text; /* NULL: no file */
	const char *want;        /* the values of [plain], or the error */
} file_cases[] = {
    {"no file", NULL, "hello 7 -1 no"},
    {"empty file", "", "hello 7 -1 no"},
    {"section only", "[plain]\n", "hello 7 -1 no"},
    {"everything", "[plain]\ntext = a b\ncount = 100\nwide = 5\non = true\n", "a b 100 5 yes"},
    {"no spaces", "[plain]\ntext=a\ncount=1\n", "a 1 -1 no"},
    {"spaces and tabs", "[plain]  \ntext \t = \t a  b \t \ncount\t=\t9\n", "a  b 9 -1 no"},
    {"no line end at the end", "[plain]\ncount = 9", "hello 9 -1 no"},
    {"line ends of another system", "[plain]\r\ntext = a\r\ncount = 9\r\n", "a 9 -1 no"},
    {"byte order mark", "\xef\xbb\xbf[plain]\ncount = 9\n", "hello 9 -1 no"},
    {"comments", "# a\n; b\n[plain]\n# count = 8\n;count = 7\ncount = 9\n#\n", "hello 9 -1 no"},
    {"comment behind a value", "[plain]\ntext = a ; b\n", "a 7 -1 no"},
    {"no comment without a space", "[plain]\ntext = a;b#c\n", "a;b#c 7 -1 no"},
    {"empty lines", "\n\n[plain]\n\n\ncount = 9\n\n", "hello 9 -1 no"},
    {"the later one wins", "[plain]\ncount = 8\ncount = 9\n", "hello 9 -1 no"},
    {"a section twice", "[plain]\ncount = 8\n[open]\nx = 1\n[plain]\non = 1\ncount = 9\n",
     "hello 9 -1 yes"},
    {"empty text", "[plain]\ntext =\n", " 7 -1 no"},
    {"equals in a value", "[plain]\ntext = a=b\n", "a=b 7 -1 no"},
    {"quotes are nothing special", "[plain]\ntext = \"a\"\n", "\"a\" 7 -1 no"},
    {"UTF-8", "[plain]\ntext = \xc3\xa9\n", "\xc3\xa9 7 -1 no"},

    {"number at its minimum", "[plain]\ncount = 1\n", "hello 1 -1 no"},
    {"number below it", "[plain]\ncount = 0\n", "t.conf:2: " COUNT_IS("0")},
    {"number past its maximum", "[plain]\ncount = 101\n", "t.conf:2: " COUNT_IS("101")},
    {"number is empty", "[plain]\ncount =\n", "t.conf:2: " COUNT_IS("")},
    {"number with a unit", "[plain]\ncount = 7s\n", "t.conf:2: " COUNT_IS("7s")},
    {"number with a plus", "[plain]\ncount = +7\n", "t.conf:2: " COUNT_IS("+7")},
    {"number in hex", "[plain]\ncount = 0x7\n", "t.conf:2: " COUNT_IS("0x7")},
    {"lowest number", "[plain]\nwide = -9223372036854775808\n", "hello 7 -9223372036854775808 no"},
    {"highest number", "[plain]\nwide = 9223372036854775807\n", "hello 7 9223372036854775807 no"},
    {"past the lowest", "[plain]\nwide = -9223372036854775809\n",
     "t.conf:2: " WIDE_IS("-9223372036854775809")},
    {"past the highest", "[plain]\nwide = 9223372036854775808\n",
     "t.conf:2: " WIDE_IS("9223372036854775808")},

    {"true", "[plain]\non = true\n", "hello 7 -1 yes"},
    {"yes", "[plain]\non = yes\n", "hello 7 -1 yes"},
    {"on", "[plain]\non = on\n", "hello 7 -1 yes"},
    {"1", "[plain]\non = 1\n", "hello 7 -1 yes"},
    {"in capitals", "[plain]\non = YES\n", "hello 7 -1 yes"},
    {"false", "[plain]\non = yes\non = false\n", "hello 7 -1 no"},
    {"no", "[plain]\non = yes\non = no\n", "hello 7 -1 no"},
    {"off", "[plain]\non = yes\non = off\n", "hello 7 -1 no"},
    {"0", "[plain]\non = yes\non = 0\n", "hello 7 -1 no"},
    {"2", "[plain]\non = 2\n", "t.conf:2: " ON_IS("2")},
    {"maybe", "[plain]\non = maybe\n", "t.conf:2: " ON_IS("maybe")},
    {"y", "[plain]\non = y\n", "t.conf:2: " ON_IS("y")},
    {"empty switch", "[plain]\non =\n", "t.conf:2: " ON_IS("")},

    {"unknown section", "[plane]\ncount = 9\n", "t.conf:2: unknown section [plane]"},
    {"section in capitals", "[PLAIN]\ncount = 9\n", "t.conf:2: unknown section [PLAIN]"},
    {"key before any section", "\n\ncount = 9\n", "t.conf:3: unknown section []"},
    {"unknown key", "[plain]\n\ncounts = 9\n", "t.conf:3: unknown key plain.counts"},
    {"key in capitals", "[plain]\nCOUNT = 9\n", "t.conf:2: unknown key plain.COUNT"},
    {"beginning of a key", "[plain]\ncoun = 9\n", "t.conf:2: unknown key plain.coun"},
    {"key of another section", "[plain]\nmust = x\n", "t.conf:2: unknown key plain.must"},
    {"no key", "[plain]\n= 9\n", "t.conf:2: unknown key plain."},
    {"file of what is no secret", "[plain]\ntext_file = x\n",
     "t.conf:2: unknown key plain.text_file"},
    {"no value", "[plain]\n\ncount\n", "t.conf:3: " NEITHER},
    {"section not closed", "# x\n[plain\ncount = 9\n", "t.conf:2: " NEITHER},
    {"the first of two errors", "[plain]\ncount = 0\nx = 1\n", "t.conf:2: " COUNT_IS("0")},
    {"the first of two, a line that is none", "[plain]\nwords\nx = 1\n", "t.conf:2: " NEITHER},
    {"the first of two, a key that is none", "[plain]\nx = 1\nwords\n",
     "t.conf:2: unknown key plain.x"},
    {"error behind good lines", "[plain]\ncount = 9\non = 1\ntext = a\nwide = x\n",
     "t.conf:5: " WIDE_IS("x")},

    /* An indented key is a key, and not more of the value above it. */
    {"indented", "[plain]\n\tcount = 9\n    on = yes\n", "hello 9 -1 yes"},
    {"indented key behind a text", "[plain]\ntext = a\n    count = 9\n", "a 9 -1 no"},
    {"indented word behind a text", "[plain]\ntext = a\n    b\n", "t.conf:3: " NEITHER},

    {"longest line", "[plain]\ntext = " X191 "\n", X191 " 7 -1 no"},
    {"longest line at the end", "[plain]\ntext = " X191, X191 " 7 -1 no"},
    {"one past it", "[plain]\ntext = x" X191 "\n", "t.conf:2: this line is too long"},
    {"far past it", "[plain]\n\ntext = " X191 X191 X191 "\n", "t.conf:3: this line is too long"},
    {"long line of two", "[plain]\ntext = " X191 "\ntext = " X191 X10 "\n",
     "t.conf:3: this line is too long"},
    {"long comment", "# " X191 X10 "\n", "t.conf:1: this line is too long"},
};

static void tell_plain(struct config *config, char *out, size_t size)
{
	struct plain plain = {0};
	struct err err = {0};
	if (config_read(config, &plain_section, &plain, &err) < 0)
		fail_msg("%s", err.text);
	(void)snprintf(out, size, "%s %lld %lld %s", plain.text, (long long)plain.count,
	               (long long)plain.wide, plain.on ? "yes" : "no");
}

static void test_files(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < N_OF(file_cases); i++) {
		const struct file_case *c = &file_cases[i];
		struct err err = {0};
		char said[600];
		struct config *config = load(c->text, NULL, 0, &err);
		if (config)
			tell_plain(config, said, sizeof(said));
		wrong += !as_wanted(c->name, config ? said : NULL, &err, c->want);
		config_free(config);
	}
	assert_int_equal(wrong, 0);
}

static void test_files_that_cannot_be_read(void **state)
{
	(void)state;
	static const struct {
		const char *path, *want;
	} cases[] = {
	    {"nowhere/t.conf", "cannot read nowhere/t.conf: No such file or directory"},
	    {"creds", "cannot read creds: Is a directory"},
	};
	int wrong = 0;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct err err = {0};
		struct config *config = config_load(cases[i].path, sections, SECTIONS, NULL, 0, &err);
		wrong += !as_wanted(cases[i].path, config ? "read" : NULL, &err, cases[i].want);
		config_free(config);
	}
	assert_int_equal(wrong, 0);
}

/* ---- the sources, the later one wins ---- */

/* clang-format off */
static const struct source_case {
	const char *name, *text;
	const char *env[2];       /* NAME, value */
	const char *overrides[3];
	const char *want; /* the values of [plain], or the error */
} source_cases[] = {
	{"environment", NULL, {"SANDSWEEP_PLAIN_COUNT", "9"}, {0}, "hello 9 -1 no"},
	{"environment beats the file", "[plain]\ncount = 8\n", {"SANDSWEEP_PLAIN_COUNT", "9"}, {0},
	 "hello 9 -1 no"},
	{"-o", NULL, {0}, {"plain.count=9"}, "hello 9 -1 no"},
	{"-o beats the file", "[plain]\ncount = 8\n", {0}, {"plain.count=9"}, "hello 9 -1 no"},
	{"-o beats the environment", "[plain]\ncount = 7\n", {"SANDSWEEP_PLAIN_COUNT", "8"},
	 {"plain.count=9"}, "hello 9 -1 no"},
	{"the last -o wins", NULL, {0}, {"plain.count=8", "plain.on=yes", "plain.count=9"},
	 "hello 9 -1 yes"},
	{"empty environment", "[plain]\ntext = x\n", {"SANDSWEEP_PLAIN_TEXT", ""}, {0}, " 7 -1 no"},
	{"empty -o", NULL, {0}, {"plain.text="}, " 7 -1 no"},
	{"equals and points in -o", NULL, {0}, {"plain.text=a.b=c"}, "a.b=c 7 -1 no"},
	{"spaces in -o stay", NULL, {0}, {"plain.text= a ; b "}, " a ; b  7 -1 no"},
	{"names that are nobody's", NULL, {"SANDSWEEP_PLAIN_COUNTS", "9"}, {0}, "hello 7 -1 no"},
	{"environment in small letters", NULL, {"sandsweep_plain_count", "9"}, {0}, "hello 7 -1 no"},
	{"open keys are not in the environment", NULL, {"SANDSWEEP_OPEN_X", "9"}, {0}, "hello 7 -1 no"},
	{"a bad file is not mended", "[plain]\ncount = 0\n", {0}, {"plain.count=9"},
	 "t.conf:2: " COUNT_IS("0")},

	{"bad environment", NULL, {"SANDSWEEP_PLAIN_COUNT", "0"}, {0},
	 "environment variable SANDSWEEP_PLAIN_COUNT: " COUNT_IS("0")},
	{"space in the environment", NULL, {"SANDSWEEP_PLAIN_COUNT", " 9"}, {0},
	 "environment variable SANDSWEEP_PLAIN_COUNT: " COUNT_IS(" 9")},
	{"bad -o", NULL, {0}, {"plain.count=0"}, COUNT_IS("0")},
	{"the first of two bad ones", NULL, {0}, {"plain.count=0", "plain.x=1"}, COUNT_IS("0")},
	{"unknown section", NULL, {0}, {"plane.count=9"}, "unknown section [plane]"},
	{"unknown key", NULL, {0}, {"plain.counts=9"}, "unknown key plain.counts"},
	{"key with a point", NULL, {0}, {"plain.count.er=9"}, "unknown key plain.count.er"},
	{"no equals", NULL, {0}, {"plain.count"}, "-o takes section.key=value, not \"plain.count\""},
	{"no point", NULL, {0}, {"count=9"}, "-o takes section.key=value, not \"count\""},
	{"point behind the equals", NULL, {0}, {"count=9.5"},
	 "-o takes section.key=value, not \"count\""},
	{"nothing", NULL, {0}, {""}, "-o takes section.key=value, not \"\""},
	{"no section", NULL, {0}, {".count=9"}, "unknown section []"},
	{"no key", NULL, {0}, {"plain.=9"}, "unknown key plain."},
};
/* clang-format on */

static void test_sources(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < N_OF(source_cases); i++) {
		const struct source_case *c = &source_cases[i];
		struct err err = {0};
		char said[600];
		size_t overrides = 0;
		while (overrides < N_OF(c->overrides) && c->overrides[overrides])
			overrides++;
		if (c->env[0])
			assert_int_equal(setenv(c->env[0], c->env[1], 1), 0);
		struct config *config = load(c->text, c->overrides, overrides, &err);
		if (c->env[0])
			assert_int_equal(unsetenv(c->env[0]), 0);
		if (config)
			tell_plain(config, said, sizeof(said));
		wrong += !as_wanted(c->name, config ? said : NULL, &err, c->want);
		config_free(config);
	}
	assert_int_equal(wrong, 0);
}

/* An -o that is none is the command line's fault, a bad value that of the settings. */
static void test_bad_usage_has_its_own_code(void **state)
{
	(void)state;
	static const struct {
		const char *text, *code;
	} cases[] = {{"plain.count", "usage"}, {"plain.count=0", "config"}, {"plain.x=0", "config"}};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct err err = {0};
		assert_null(load(NULL, &cases[i].text, 1, &err));
		assert_string_equal(err.code, cases[i].code);
	}
}

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

/* ---- secrets ---- */

#define UNSET(key)                                                               \
	"keys." key " is not set; set it in the configuration file, by -o keys." key \
	"=... or in the environment"

/* clang-format off */
static const struct secret_case {
	const char *name, *text;
	const char *env[2];
	const char *overrides[2];
	const char *creds; /* CREDENTIALS_DIRECTORY */
	const char *want;  /* the token, or the error */
} secret_cases[] = {
	{"in the file itself", "[keys]\ntoken = abc\n", {0}, {0}, NULL, "abc"},
	{"in the environment", NULL, {"SANDSWEEP_KEYS_TOKEN", "abc"}, {0}, NULL, "abc"},
	{"by -o", NULL, {0}, {"keys.token=abc"}, NULL, "abc"},
	{"not at all", "[keys]\n", {0}, {0}, NULL, UNSET("token")},
	{"empty", "[keys]\ntoken =\n", {0}, {0}, NULL, UNSET("token")},
	{"by its file", "[keys]\ntoken_file = ./local\n", {0}, {0}, NULL, "from the current directory"},
	{"by its file in the environment", NULL, {"SANDSWEEP_KEYS_TOKEN_FILE", "./local"}, {0}, NULL,
	 "from the current directory"},
	{"by its file by -o", NULL, {0}, {"keys.token_file=./local"}, NULL,
	 "from the current directory"},
	{"a name without credentials", "[keys]\ntoken_file = local\n", {0}, {0}, NULL,
	 "from the current directory"},
	{"a name with credentials", "[keys]\ntoken_file = cred\n", {0}, {0}, "creds",
	 "from the credentials"},
	{"a path with credentials", "[keys]\ntoken_file = ./local\n", {0}, {0}, "creds",
	 "from the current directory"},
	{"only the end is trimmed", "[keys]\ntoken_file = lines\n", {0}, {0}, NULL, "one\ntwo"},
	{"no file name", "[keys]\ntoken_file =\ntoken = abc\n", {0}, {0}, NULL, "abc"},
	{"missing file", "[keys]\ntoken_file = ./nowhere\n", {0}, {0}, NULL,
	 "cannot read ./nowhere, which keys.token_file names: No such file or directory"},
	{"missing credential", "[keys]\ntoken_file = local\n", {0}, {0}, "creds",
	 "cannot read creds/local, which keys.token_file names: No such file or directory"},
	{"a directory", "[keys]\ntoken_file = ./creds\n", {0}, {0}, NULL,
	 "cannot read ./creds, which keys.token_file names: Is a directory"},
	{"empty file", "[keys]\ntoken_file = ./empty\n", {0}, {0}, NULL, UNSET("token")},
	{"blank file", "[keys]\ntoken_file = ./blank\n", {0}, {0}, NULL, UNSET("token")},
	/* Of the value and its file's name the one that was set later counts. */
	{"-o beats the name of a file", "[keys]\ntoken_file = ./local\n", {0}, {"keys.token=abc"}, NULL,
	 "abc"},
	{"environment beats the name of a file", "[keys]\ntoken_file = ./local\n",
	 {"SANDSWEEP_KEYS_TOKEN", "abc"}, {0}, NULL, "abc"},
	{"-o beats a name in the environment", NULL, {"SANDSWEEP_KEYS_TOKEN_FILE", "./local"},
	 {"keys.token=abc"}, NULL, "abc"},
	{"a name by -o beats the file", "[keys]\ntoken = abc\n", {0}, {"keys.token_file=./local"}, NULL,
	 "from the current directory"},
	{"a name by -o beats the environment", NULL, {"SANDSWEEP_KEYS_TOKEN", "abc"},
	 {"keys.token_file=./local"}, NULL, "from the current directory"},
	{"the last -o wins", NULL, {0}, {"keys.token_file=./local", "keys.token=abc"}, NULL, "abc"},
	{"the last of three wins", "[keys]\ntoken = x\n", {0},
	 {"keys.token_file=./local", "keys.token=abc"}, NULL, "abc"},
	{"the last of three wins, the other way", "[keys]\ntoken_file = ./nowhere\n", {0},
	 {"keys.token=abc", "keys.token_file=./local"}, NULL, "from the current directory"},
	{"the last -o wins, the other way", NULL, {0}, {"keys.token=abc", "keys.token_file=./local"},
	 NULL, "from the current directory"},
};
/* clang-format on */

static int read_keys(const struct secret_case *c, struct config *config)
{
	int wrong = 0;
	for (int i = 0; i < 2; i++) { /* as often as one likes */
		struct keys keys = {0};
		struct err err = {0};
		int rc = config_read(config, &keys_section, &keys, &err);
		wrong += !as_wanted(c->name, rc == 0 ? keys.token : NULL, &err, c->want);
		if (rc == 0)
			assert_string_equal(keys.spare, "");
	}
	return wrong;
}

static void test_secrets(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < N_OF(secret_cases); i++) {
		const struct secret_case *c = &secret_cases[i];
		struct err err = {0};
		size_t overrides = c->overrides[0] ? c->overrides[1] ? 2 : 1 : 0;
		if (c->env[0])
			assert_int_equal(setenv(c->env[0], c->env[1], 1), 0);
		if (c->creds)
			assert_int_equal(setenv("CREDENTIALS_DIRECTORY", c->creds, 1), 0);
		struct config *config = load(c->text, c->overrides, overrides, &err);
		if (!config)
			fail_msg("%s: %s", c->name, err.text);
		wrong += read_keys(c, config);
		config_free(config);
		(void)unsetenv("CREDENTIALS_DIRECTORY");
		if (c->env[0])
			(void)unsetenv(c->env[0]);
	}
	assert_int_equal(wrong, 0);
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

/* ---- required values ---- */

#define MISSING(key)                                                             \
	"need." key " is not set; set it in the configuration file, by -o need." key \
	"=... or in the environment"
static const struct need_case {
	const char *name, *text, *want; /* the values of [need], or the error */
} need_cases[] = {
    {"all there", "[need]\nmust = x\nmust_count = 3\nmust_on = yes\n", "x 3 yes"},
    {"text missing", "[need]\nmust_count = 0\nmust_on = no\n", MISSING("must")},
    {"text empty", "[need]\nmust =\nmust_count = 0\nmust_on = no\n", MISSING("must")},
    {"number missing", "[need]\nmust = x\nmust_on = no\n", MISSING("must_count")},
    {"switch missing", "[need]\nmust = x\nmust_count = 0\n", MISSING("must_on")},
    {"the first of all", "", MISSING("must")},
};

/* They are asked for when the section is read, not before. */
static void test_required(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < N_OF(need_cases); i++) {
		const struct need_case *c = &need_cases[i];
		struct need need = {0};
		struct err err = {0};
		char said[64];
		struct config *config = load(c->text, NULL, 0, &err);
		assert_non_null(config);
		int rc = config_read(config, &need_section, &need, &err);
		if (rc == 0)
			(void)snprintf(said, sizeof(said), "%s %lld %s", need.must, (long long)need.must_count,
			               need.must_on ? "yes" : "no");
		wrong += !as_wanted(c->name, rc == 0 ? said : NULL, &err, c->want);
		config_free(config);
	}
	assert_int_equal(wrong, 0);
}

/* ---- open sections ---- */

static void tell_key(void *arg, const char *key, const char *value)
{
	char *said = arg;
	(void)strncat(said, key, 100);
	(void)strcat(said, "=");
	(void)strncat(said, value, 100);
	(void)strcat(said, " ");
}

/* clang-format off */
static const struct open_case {
	const char *name, *text;
	const char *overrides[2];
	const char *section, *want;
} open_cases[] = {
	{"nothing", "", {0}, "open", ""},
	{"rows are left out", "[open]\nservers = there\n", {0}, "open", ""},
	{"in the order of setting", "[open]\nz = 1\na.b.c = 2\nm = 3\n", {0}, "open",
	 "z=1 a.b.c=2 m=3 "},
	{"around a row", "[open]\nz = 1\nservers = x\na = 2\n", {0}, "open", "z=1 a=2 "},
	{"over two places", "[open]\nz = 1\n[plain]\non = 1\n[open]\na = 2\n", {0}, "open", "z=1 a=2 "},
	{"-o behind the file", "[open]\nz = 1\n", {"open.a=2", "open.b=3"}, "open", "z=1 a=2 b=3 "},
	{"set again keeps its place", "[open]\nz = 1\na = 2\n", {"open.z=3"}, "open", "z=3 a=2 "},
	{"empty value", "[open]\nz =\n", {0}, "open", "z= "},
	{"names like a row's", "[open]\nserver = 1\nservers_file = 2\n", {0}, "open",
	 "server=1 servers_file=2 "},
	{"a closed section has none", "[plain]\ncount = 9\n", {0}, "plain", ""},
	{"no such section", "[open]\nz = 1\n", {0}, "nowhere", ""},
};
/* clang-format on */

static void test_open_sections(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(open_cases); i++) {
		const struct open_case *c = &open_cases[i];
		struct err err = {0};
		char said[1024] = "";
		size_t overrides = c->overrides[0] ? c->overrides[1] ? 2 : 1 : 0;
		struct config *config = load(c->text, c->overrides, overrides, &err);
		if (!config)
			fail_msg("%s: %s", c->name, err.text);
		config_each(config, c->section, tell_key, said);
		if (strcmp(said, c->want) != 0)
			fail_msg("%s: \"%s\"", c->name, said);
		config_free(config);
	}
}

/* ---- what is in force ---- */

static char *dump(const struct config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	(void)fputc('\n', out);
	config_dump(config, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static const char *const dump_lines[] = {
    "plain.text=hello", /* its default */
    "plain.count=9",
    "plain.wide=-1",
    "plain.on=yes",
    "need.must=x",
    "keys.token=(secret)",
    "open.servers=here",
    "open.linger.ms=5",
    "open.sasl.password=(secret)",
    "open.client.secret=(secret)",
};

static void test_dump(void **state)
{
	(void)state;
	static const char *const overrides[] = {"plain.on=yes", "keys.token=hidden2"};
	struct err err = {0};
	struct config *config =
	    load("[plain]\ncount = 9\n[need]\nmust = x\n[keys]\ntoken = hidden\n"
	         "[open]\nlinger.ms = 5\nsasl.password = hidden\nclient.secret = hidden\n",
	         overrides, 2, &err);
	assert_non_null(config);
	char *text = dump(config);
	for (size_t i = 0; i < N_OF(dump_lines); i++) {
		char line[128];
		(void)snprintf(line, sizeof(line), "\n%s\n", dump_lines[i]);
		if (!strstr(text, line))
			fail_msg("%s is not in the dump:%s", dump_lines[i], text);
	}
	assert_null(strstr(text, "hidden"));
	int lines = -1; /* but for the empty one in front */
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, N_OF(dump_lines) + 1); /* and the secret that is not set */
	free(text);
	config_free(config);
}

static void test_dump_of_a_secret_from_its_file(void **state)
{
	(void)state;
	struct keys keys;
	struct err err = {0};
	struct config *config = load("[keys]\ntoken_file = ./local\n", NULL, 0, &err);
	assert_non_null(config);
	assert_int_equal(config_read(config, &keys_section, &keys, &err), 0);
	char *text = dump(config);
	assert_non_null(strstr(text, "\nkeys.token_file=./local\n"));
	assert_null(strstr(text, "current directory"));
	free(text);
	config_free(config);
}

static void test_free_of_nothing(void **state)
{
	(void)state;
	config_free(NULL);
}

/* Whatever was read, well or badly, is closed again. */
static void test_nothing_stays_open(void **state)
{
	(void)state;
	static const char *const texts[] = {"[plain]\ncount = 9\n", "words\n",
	                                    "[keys]\ntoken_file = ./local\n",
	                                    "[keys]\ntoken_file = ./creds\n"};
	int before = dup(STDERR_FILENO);
	(void)close(before);
	for (size_t i = 0; i < N_OF(texts); i++) {
		struct keys keys;
		struct err err = {0};
		struct config *config = load(texts[i], NULL, 0, &err);
		int rc = config ? config_read(config, &keys_section, &keys, &err) : -1;
		assert_int_equal(rc, i == 2 ? 0 : -1);
		config_free(config);
	}
	assert_null(config_load("creds", sections, SECTIONS, NULL, 0, &(struct err){0}));
	int after = dup(STDERR_FILENO);
	(void)close(after);
	assert_int_equal(after, before);
}

/* ---- the documents ---- */

static char *document(void (*write)(FILE *out, const struct config_section *const *, size_t))
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	write(out, sections, SECTIONS);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* The example as it would be after somebody removed every '#' before a key and filled in what is
 * required. Calls check(arg, line) for every line of the example. */
static char *use_example(const char *example)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	for (const char *line = example; *line;) {
		int len = (int)strcspn(line, "\n");
		if (len > 96)
			fail_msg("longer than 96 columns: %.*s", len, line);
		if (strncmp(line, "#must = ", 8) == 0)
			(void)fprintf(out, "%.*s x\n", len - 1, line + 1);
		else if (strncmp(line, "#must_count = ", 14) == 0)
			(void)fprintf(out, "%.*s 0\n", len - 1, line + 1);
		else if (strncmp(line, "#must_on = ", 11) == 0)
			(void)fprintf(out, "%.*s yes\n", len - 1, line + 1);
		else if (strncmp(line, "#token_file = ", 14) == 0 ||
		         strncmp(line, "#spare_file = ", 14) == 0)
			(void)fprintf(out, "%.11s = ./local\n", line + 1);
		else if (line[0] == '#' && line[1] != ' ')
			(void)fprintf(out, "%.*s\n", len - 1, line + 1);
		else
			(void)fprintf(out, "%.*s\n", len, line);
		line += len + (line[len] == '\n');
	}
	assert_int_equal(fclose(out), 0);
	return text;
}

static void test_the_example_can_be_used(void **state)
{
	(void)state;
	struct err err = {0};
	struct need need;
	struct keys keys;
	struct open open;
	char said[600];
	char *example = document(config_write_example), *used = use_example(example);
	struct config *config = load(used, NULL, 0, &err);
	if (!config || config_read(config, &need_section, &need, &err) < 0 ||
	    config_read(config, &keys_section, &keys, &err) < 0 ||
	    config_read(config, &open_section, &open, &err) < 0)
		fail_msg("%s in\n%s", err.text, used);
	tell_plain(config, said, sizeof(said));
	assert_string_equal(said, "hello 7 -1 no"); /* the defaults */
	assert_int_equal(config->entry_count,
	                 4 + 3 + 4 + 1); /* all rows, and two secrets with their files */
	assert_string_equal(open.servers, "here");
	config_free(config);

	config = load(example, NULL, 0, &err); /* as it is: only comments and sections */
	assert_non_null(config);
	assert_int_equal(config->entry_count, 0);
	config_free(config);
	free(used);
	free(example);
}

static const char *const example_parts[] = {
    "# Values of every type.\n[plain]\n\n# A text.\n",
    "# A text.\n# (text)\n#text = hello\n",
    "# (1 to 100)\n#count = 7\n",
    "# (-9223372036854775808 to 9223372036854775807)\n#wide = -1\n",
    "# (true or false)\n#on = no\n",
    "# A text, required.\n# (text; required)\n#must = ",
    "# (0 to 9; required)\n#must_count = ",
    "# (text; required)\n#token_file = ",
    "# A secret.\n# (text)\n#spare_file = ",
    "\n\n# Takes other keys as well.\n[open]\n",
};

static void test_the_example_says_it_all(void **state)
{
	(void)state;
	char *text = document(config_write_example);
	for (size_t i = 0; i < N_OF(example_parts); i++)
		if (!strstr(text, example_parts[i]))
			fail_msg("not in the example: %s", example_parts[i]);
	free(text);
}

/* Of a hundred words of one letter behind a first one, as many as fill a line of 96 columns. */
static const struct comment_case {
	const char *first;
	size_t columns; /* of the first line */
} comment_cases[] = {{"b", 95}, {"bb", 96}, {"bbb", 95}};

static void test_comments_are_broken(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(comment_cases); i++) {
		const struct comment_case *c = &comment_cases[i];
		char help[256], *text = NULL;
		size_t size;
		(void)snprintf(help, sizeof(help), "%s", c->first);
		for (int n = 0; n < 100; n++)
			(void)strcat(help, " a");
		const struct config_section section = {"x", help, NULL, 0, false};
		const struct config_section *const only[] = {&section};
		FILE *out = open_memstream(&text, &size);
		assert_non_null(out);
		config_write_example(out, only, 1);
		(void)fclose(out);
		assert_int_equal(strcspn(text, "\n"), c->columns);
		assert_memory_equal(text, "# b", 3);
		assert_memory_equal(text + c->columns, "\n# a a a", 8);
		assert_non_null(strstr(text, " a\n[x]\n"));
		int letters = 0;
		for (const char *p = text; *p; p++)
			letters += *p == 'a';
		assert_int_equal(letters, 100);
		free(text);
	}
}

static const char *const mdoc_parts[] = {
    ".Ss [plain]\nValues of every type.\n.Bl -tag -width Ds\n",
    ".It Va text\nA text.\n(text; default \"hello\")\n",
    ".It Va count\nA number.\nIts help is long enough ",
    "\n(1 to 100; default \"7\")\n",
    ".It Va on\nA switch.\n(true or false; default \"no\")\n.El\n.Ss [need]\n",
    ".It Va must\nA text, required.\n(text; required)\n",
    ".It Va token\nA secret, required.\n(text; required; or\n.Va token_file )\n",
    ".It Va spare\nA secret.\n(text; or\n.Va spare_file )\n",
    ".It Va servers\n",
};

/* Every row is an item, every list is closed, and no sentence begins like a macro. */
static void test_mdoc(void **state)
{
	(void)state;
	char *text = document(config_write_mdoc);
	for (size_t i = 0; i < N_OF(mdoc_parts); i++)
		if (!strstr(text, mdoc_parts[i]))
			fail_msg("not in the manual: %s", mdoc_parts[i]);
	int items = 0, lists = 0, open = 0;
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		items += strncmp(line, ".It Va ", 7) == 0;
		lists += strncmp(line, ".El", 3) == 0;
		open += strncmp(line, ".Bl ", 4) == 0 ? 1 : strncmp(line, ".El", 3) == 0 ? -1 : 0;
		assert_in_range(open, 0, 1);
		if (*line == '.')
			assert_true(strncmp(line, ".It ", 4) == 0 || strncmp(line, ".Ss ", 4) == 0 ||
			            strncmp(line, ".Bl ", 4) == 0 || strncmp(line, ".El\n", 4) == 0 ||
			            strncmp(line, ".Va ", 4) == 0);
		assert_true(*line != '\'');
	}
	assert_int_equal(items, 4 + 3 + 2 + 1);
	assert_int_equal(lists, SECTIONS);
	assert_int_equal(open, 0);
	free(text);
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
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_files_that_cannot_be_read),
	    cmocka_unit_test(test_sources),
	    cmocka_unit_test(test_bad_usage_has_its_own_code),
	    cmocka_unit_test(test_values_are_bounded),
	    cmocka_unit_test(test_long_names_in_overrides),
	    cmocka_unit_test(test_settings_are_counted),
	    cmocka_unit_test(test_secrets),
	    cmocka_unit_test(test_secret_files_are_bounded),
	    cmocka_unit_test(test_required),
	    cmocka_unit_test(test_open_sections),
	    cmocka_unit_test(test_dump),
	    cmocka_unit_test(test_dump_of_a_secret_from_its_file),
	    cmocka_unit_test(test_free_of_nothing),
	    cmocka_unit_test(test_nothing_stays_open),
	    cmocka_unit_test(test_the_example_can_be_used),
	    cmocka_unit_test(test_the_example_says_it_all),
	    cmocka_unit_test(test_comments_are_broken),
	    cmocka_unit_test(test_mdoc),
	    cmocka_unit_test(test_without_memory),
	};
	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
