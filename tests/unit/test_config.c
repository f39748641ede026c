/* Files, the environment and -o: what is read of them, which one wins, and what is refused. */
#include "config_fixture.h"

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

/* ---- nothing is left behind ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files),           cmocka_unit_test(test_files_that_cannot_be_read),
	    cmocka_unit_test(test_sources),         cmocka_unit_test(test_bad_usage_has_its_own_code),
	    cmocka_unit_test(test_required),        cmocka_unit_test(test_open_sections),
	    cmocka_unit_test(test_free_of_nothing), cmocka_unit_test(test_nothing_stays_open),
	};
	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
