/* How functions and aliases are named. The digests in the tables are what `printf NAME | sha1sum` says. */
#include "api/naming.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

#define X8 "xxxxxxxx"
#define X32 X8 X8 X8 X8
#define X37 X32 "xxxxx"
#define X38 X32 "xxxxxx"
#define X39 X32 "xxxxxxx"
#define X48 X32 X8 X8
#define X63 X48 X8 "xxxxxxx"
#define X200 X48 X48 X48 X48 X8
#define Y10 "yyyyyyyyyy"
#define A12 "aaaaaaaaaaaa"
#define B12 "bbbbbbbbbbbb"
#define KELVIN "\xe2\x84\xaa"
#define KELVIN7 KELVIN KELVIN KELVIN KELVIN KELVIN KELVIN KELVIN
#define K39 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

/* ---- slugs ---- */

static const struct slug_case {
	const char *name, *text, *want;
} slug_cases[] = {
    {"empty", "", "function"},
    {"white space", " \t\r\n", "function"},
    {"one dash", "-", "function"},
    {"all dashes", "-----", "function"},
    {"all marks", "!@#$%^&*()", "function"},
    {"all letters of others", "\xc3\x84\xc3\x96\xc3\x9c", "function"},

    {"as it is", "web", "web"},
    {"one letter", "a", "a"},
    {"one digit", "0", "0"},
    {"upper case", "WEB", "web"},
    {"first and last letters", "azAZ", "azaz"},
    {"first and last digits", "09", "09"},
    {"the neighbours of letters and digits", "a/b:c@d[e`f{g", "a-b-c-d-e-f-g"},
    {"words", "My Web App", "my-web-app"},
    {"a dash stays", "my-app", "my-app"},
    {"a run of dashes", "a---b", "a-b"},
    {"a run of everything", "a -_\t.\xc3\xa9!b", "a-b"},
    {"runs", "a--b  c..d", "a-b-c-d"},
    {"dashes at the ends", "--a--", "a"},
    {"space at the ends", "  a b  ", "a-b"},
    {"an end alone", "a-", "a"},
    {"a beginning alone", "-a", "a"},
    {"an underscore", "a_b", "a-b"},
    {"a slug is its own slug", "my-web-app-2", "my-web-app-2"},
    {"the word that stands for nothing", "function", "function"},

    {"e with an accent", "Caf\xc3\xa9 au lait", "caf-au-lait"},
    {"an accent at the end", "caf\xc3\xa9", "caf"},
    {"an upper case letter of others", "\xc3\x89lan", "lan"},
    {"letters of three bytes", "a\xe6\x97\xa5\xe6\x9c\xacz", "a-z"},
    {"letters of four bytes", "a\xf0\x9f\x98\x80z", "a-z"},
    {"KELVIN SIGN", KELVIN, "k"},
    {"KELVIN SIGN in a word", KELVIN "elvin", "kelvin"},
    {"KELVIN SIGN at the end", "30 " KELVIN, "30-k"},
    {"KELVIN SIGN among dashes", "-" KELVIN "-" KELVIN "-", "k-k"},
    {"KELVIN SIGN without its last byte", "a\xe2\x84z", "a-z"},
    {"KELVIN SIGN cut by the end", "a\xe2\x84", "a"},
    {"its neighbours", "x\xe2\x84\xa9y\xe2\x84\xabz", "x-y-z"},
    {"I WITH DOT ABOVE", "\xc4\xb0", "i"},
    {"I WITH DOT ABOVE in a word", "\xc4\xb0stanbul", "istanbul"},
    {"I WITH DOT ABOVE without its last byte", "a\xc4z", "a-z"},
    {"DOTLESS I", "a\xc4\xb1z", "a-z"},
    {"no UTF-8", "a\xff\xfe\x80z", "a-z"},

    {"47", X39 X8, X39 X8},
    {"48", X48, X48},
    {"48 in upper case", X39 "XXXXXXXXX", X48},
    {"48 and dashes around", "--" X48 "---", X48},
    {"48 and a letter of others", X48 "\xc3\xa9", X48},
    {"49", X48 "x", X39 "-79bede28"},
    {"49 in upper case is another name", "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
     X39 "-51f2606c"},
    {"49 with space around is another name", " " X48 "x ", X39 "-b330162b"},
    {"49 by a dash", A12 A12 "   " B12 B12, A12 A12 "-" B12 "bb-e4011c9d"},
    {"50 of which one is a dash", X48 " y", X39 "-3fa39a51"},
    {"49 KELVIN SIGNs", KELVIN7 KELVIN7 KELVIN7 KELVIN7 KELVIN7 KELVIN7 KELVIN7, K39 "-c24db17a"},
    {"200", X200, X39 "-94218caa"},
    {"cut at a dash", X38 "-" Y10, X38 "-e29630ce"},
    {"cut behind a run", X37 "!?" Y10 "y", X37 "-y-c9a67c89"},
};

/* Into memory that has a byte behind it, which must stay. */
static void slug_of(const char *name, char out[NAMING_SLUG_SIZE])
{
	char guarded[NAMING_SLUG_SIZE + 1];
	memset(guarded, '#', sizeof(guarded));
	naming_slug(name, guarded);
	assert_int_equal(guarded[NAMING_SLUG_SIZE], '#');
	assert_true(strnlen(guarded, NAMING_SLUG_SIZE) < NAMING_SLUG_SIZE);
	memcpy(out, guarded, NAMING_SLUG_SIZE);
}

static void test_slugs(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(slug_cases); i++) {
		const struct slug_case *c = &slug_cases[i];
		char slug[NAMING_SLUG_SIZE];
		slug_of(c->text, slug);
		if (strcmp(slug, c->want) != 0)
			fail_msg("%s: %s", c->name, slug);
		assert_true(naming_is_label(slug));
	}
}

/* Whatever its length, and wherever its dashes are: a slug is a label, and its own slug. */
static void test_slugs_of_every_length(void **state)
{
	(void)state;
	char name[151], slug[NAMING_SLUG_SIZE], again[NAMING_SLUG_SIZE];
	for (size_t len = 0; len < sizeof(name); len++)
		for (size_t every = 1; every < 12; every++) {
			for (size_t i = 0; i < len; i++)
				name[i] = (i + 1) % every == 0 ? '.' : 'a';
			name[len] = '\0';
			slug_of(name, slug);
			if (!naming_is_label(slug))
				fail_msg("\"%s\": \"%s\" is no label", name, slug);
			slug_of(slug, again);
			assert_string_equal(again, slug);
		}
}

/* ---- labels of hosts ---- */

#define TEAM "22222222-2222-4222-8222-222222222222"

static const struct label_case {
	const char *name, *slug, *team, *want;
} label_cases[] = {
    {"short", "web", TEAM, "web-ba5e1be5"},
    {"another team", "web", "abcdefab-cdef-4abc-8def-abcdefabcdef", "web-3f01452d"},
    {"the nil team", "web", "00000000-0000-0000-0000-000000000000", "web-b602d594"},
    {"the longest slug", X39 "-79bede28", TEAM, X39 "-79bede28-ba5e1be5"},
    {"54", X48 "xxxxxx", TEAM, X48 "xxxxxx-ba5e1be5"},
    {"55", X48 "xxxxxxx", TEAM, X48 "xxxxxx-ba5e1be5"},
    {"200", X200, TEAM, X48 "xxxxxx-ba5e1be5"},
    {"cut at a dash", X48 "xxxxx-y", TEAM, X48 "xxxxx-ba5e1be5"},
    {"cut at two", X48 "xxxx--y", TEAM, X48 "xxxx-ba5e1be5"},
};

static void test_labels_of_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(label_cases); i++) {
		const struct label_case *c = &label_cases[i];
		char label[NAMING_LABEL_SIZE + 1];
		struct uuid team_id;
		assert_int_equal(uuid_parse(c->team, strlen(c->team), &team_id), 0);
		memset(label, '#', sizeof(label));
		naming_domain_label(c->slug, &team_id, label);
		assert_int_equal(label[NAMING_LABEL_SIZE], '#');
		if (strcmp(label, c->want) != 0)
			fail_msg("%s: %s", c->name, label);
		assert_true(naming_is_label(label));
	}
}

/* ---- alias names ---- */

static const struct is_label_case {
	const char *text;
	bool want;
} is_label_cases[] = {
    {"production", true}, {"a", true},         {"0", true},      {"0a", true},    {"a0", true},
    {"123", true},        {"a-b", true},       {"a--b", true},   {"xn--a", true}, {X63, true},
    {X63 "x", false},     {X200, false},       {"", false},      {"-", false},    {"--", false},
    {"-a", false},        {"a-", false},       {"A", false},     {"aB", false},   {"a.b", false},
    {"a.", false},        {".", false},        {"..", false},    {"a_b", false},  {"a b", false},
    {" a", false},        {"a ", false},       {"a\n", false},   {"a/b", false},  {"a%", false},
    {"{alias}", false},   {"\xc3\xa9", false}, {"a\xff", false}, {KELVIN, false},
};

static void test_is_label(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(is_label_cases); i++)
		if (naming_is_label(is_label_cases[i].text) != is_label_cases[i].want)
			fail_msg("\"%s\": %s", is_label_cases[i].text,
			         is_label_cases[i].want ? "refused" : "taken");
}

/* ---- white space ---- */

static const struct trim_case {
	const char *text, *want;
} trim_cases[] = {
    {"", ""},
    {" ", ""},
    {" \t\r\n\v\f", ""},
    {"a", "a"},
    {" a", "a"},
    {"a ", "a"},
    {" \t\r\n\v\fa\f\v\n\r\t ", "a"},
    {" a b ", "a b"},
    {"a\n\nb", "a\n\nb"},
    {"-", "-"},
    {" \x01 ", "\x01"},
    {"\xc2\xa0", "\xc2\xa0"}, /* a space that is none of ours */
};

static void test_trim_and_blank(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(trim_cases); i++) {
		const struct trim_case *c = &trim_cases[i];
		size_t len;
		const char *text = naming_trim(c->text, &len);
		assert_in_range((uintptr_t)text, (uintptr_t)c->text,
		                (uintptr_t)(c->text + strlen(c->text)));
		if (len != strlen(c->want) || memcmp(text, c->want, len) != 0)
			fail_msg("\"%s\": \"%.*s\"", c->text, (int)len, text);
		assert_int_equal(naming_is_blank(c->text), len == 0);
	}
	assert_true(naming_is_blank(NULL));
}

/* Into nine bytes: eight and their end. */
static const struct copy_case {
	const char *text, *want;
} copy_cases[] = {
    {"", ""},
    {" ", ""},
    {"name", "name"},
    {" \t a b \n", "a b"},
    {"12345678", "12345678"},
    {" 12345678 ", "12345678"},
    {"123456789", "12345678"},
    {"1234567\xc3\xa9", "1234567"},
    {"123456\xc3\xa9", "123456\xc3\xa9"},
    {"123456\xc3\xa9.", "123456\xc3\xa9"},
    {"123456\xe2\x82\xac", "123456"},
    {"12345\xe2\x82\xac", "12345\xe2\x82\xac"},
    {"12345\xe2\x82\xac.", "12345\xe2\x82\xac"},
    {"12345\xf0\x9f\x98\x80", "12345"},
    {"1234\xf0\x9f\x98\x80.", "1234\xf0\x9f\x98\x80"},
    {"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"},
    {"1234567 9", "1234567"},
    {"123456  \xc3\xa9", "123456"},
    {"\x80\x80\x80\x80\x80\x80\x80\x80\x80", ""},
};

static void test_copy(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(copy_cases); i++) {
		const struct copy_case *c = &copy_cases[i];
		char out[10];
		memset(out, '#', sizeof(out));
		naming_copy(c->text, out, 9);
		assert_int_equal(out[9], '#');
		if (strcmp(out, c->want) != 0)
			fail_msg("\"%s\": \"%s\"", c->text, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_slugs),           cmocka_unit_test(test_slugs_of_every_length),
	    cmocka_unit_test(test_labels_of_hosts), cmocka_unit_test(test_is_label),
	    cmocka_unit_test(test_trim_and_blank),  cmocka_unit_test(test_copy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
