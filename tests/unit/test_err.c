#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const char x511[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";

static const struct set_case {
	const char *name, *code, *text, *want_code, *want_text;
} set_cases[] = {
    {"plain", "word", "one sentence", "word", "one sentence"},
    {"no code", NULL, "one sentence", "", "one sentence"},
    {"empty", "word", "", "word", ""},
    {"line end within", "word", "one\ntwo", "word", "one two"},
    {"line end behind", "word", "one\n", "word", "one"},
    {"spaces and line ends behind", "word", "one \n \n", "word", "one"},
    {"only line ends", "word", "\n\n\n", "word", ""},
    {"tab and carriage return", "word", "a\tb\rc", "word", "a b c"},
    {"escape", "word", "a\033[1mb", "word", "a [1mb"},
    {"delete", "word", "a\177b", "word", "a b"},
    {"all low bytes", "word", "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\37x", "word",
     "                 x"},
    {"UTF-8 stays", "word", "\xc3\xa9t\xc3\xa9", "word", "\xc3\xa9t\xc3\xa9"},
    {"percent signs", "word", "100% %s %n", "word", "100% %s %n"},
    {"code of 31", "0123456789012345678901234567890", "x", "0123456789012345678901234567890", "x"},
    {"code of 32", "01234567890123456789012345678901", "x", "0123456789012345678901234567890", "x"},
    {"text of 511", "word", x511, "word", x511},
};

static void test_set(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(set_cases); i++) {
		const struct set_case *c = &set_cases[i];
		struct err err = {0};
		if (err_set(&err, ERR_REJECT, c->code, "%s", c->text) != -1 || err.kind != ERR_REJECT ||
		    strcmp(err.code, c->want_code) != 0 || strcmp(err.text, c->want_text) != 0)
			fail_msg("%s: code \"%s\", text \"%s\"", c->name, err.code, err.text);
	}
}

static void test_text_past_its_end_is_cut(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(sizeof(x511), 512);
	assert_int_equal(err_set(&err, ERR_RETRY, "word", "%sf", x511), -1);
	assert_string_equal(err.text, x511);
}

static void test_no_character_is_cut(void **state)
{
	(void)state;
	static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa6\x8a"};
	for (size_t i = 0; i < N_OF(characters); i++) {
		size_t size = strlen(characters[i]);
		for (size_t room = 0; room <= size; room++) {
			struct err err = {0};
			int before = (int)(511 - room);
			(void)err_set(&err, ERR_REJECT, "word", "%.*s%s%s", before, x511, characters[i], x511);
			assert_int_equal(strlen(err.text), room == size ? 511 : (size_t)before);
			assert_memory_equal(err.text, x511, (size_t)before);
		}
	}
	struct err err = {0};
	(void)err_set(&err, ERR_REJECT, "word", "%.*s\xc3", 510, x511); /* whole: what it was given */
	assert_int_equal(strlen(err.text), 511);
}

static void test_the_first_error_wins(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(err_set(&err, ERR_RETRY, "first", "the %s", "first"), -1);
	assert_int_equal(err_set(&err, ERR_FATAL, "second", "the second"), -1);
	assert_int_equal(err_errno(&err, ERR_FATAL, ENOENT, "the third"), -1);
	assert_int_equal(err_oom(&err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.code, "first");
	assert_string_equal(err.text, "the first");
}

static void test_nobody_asks(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_FATAL, "word", "text"), -1);
	assert_int_equal(err_errno(NULL, ERR_FATAL, EIO, "text"), -1);
	assert_int_equal(err_oom(NULL), -1);
}

static const struct errno_case {
	const char *name;
	int value;
	const char *code, *text;
} errno_cases[] = {
    {"missing file", ENOENT, "ENOENT", "cannot open x: No such file or directory"},
    {"interrupted", EINTR, "EINTR", "cannot open x: Interrupted system call"},
    {"no memory", ENOMEM, "ENOMEM", "cannot open x: Cannot allocate memory"},
    {"the last of them", EHWPOISON, "EHWPOISON", "cannot open x: Memory page has hardware error"},
    {"none of them", 99999, "errno", "cannot open x: Unknown error 99999"},
};

static void test_errno(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(errno_cases); i++) {
		const struct errno_case *c = &errno_cases[i];
		struct err err = {0};
		if (err_errno(&err, ERR_FATAL, c->value, "cannot open %s", "x") != -1 ||
		    err.kind != ERR_FATAL || strcmp(err.code, c->code) != 0 ||
		    strcmp(err.text, c->text) != 0)
			fail_msg("%s: code \"%s\", text \"%s\"", c->name, err.code, err.text);
	}
}

static void test_errno_behind_a_long_text(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(err_errno(&err, ERR_FATAL, EIO, "%s%s", x511, x511), -1);
	assert_string_equal(err.code, "EIO");
	assert_string_equal(err.text, x511);
}

static void test_oom(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(err_oom(&err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.code, "ENOMEM");
	assert_string_equal(err.text, "out of memory");
}

static void test_kind_names(void **state)
{
	(void)state;
	static const struct {
		enum err_kind kind;
		const char *name;
	} kinds[] = {
	    {ERR_NONE, "none"}, {ERR_RETRY, "retry"}, {ERR_REJECT, "reject"}, {ERR_FATAL, "fatal"}};
	for (size_t i = 0; i < N_OF(kinds); i++)
		assert_string_equal(err_kind_name(kinds[i].kind), kinds[i].name);
	assert_non_null(err_kind_name((enum err_kind)4));
	assert_non_null(err_kind_name((enum err_kind)INT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_set),
	    cmocka_unit_test(test_text_past_its_end_is_cut),
	    cmocka_unit_test(test_no_character_is_cut),
	    cmocka_unit_test(test_the_first_error_wins),
	    cmocka_unit_test(test_nobody_asks),
	    cmocka_unit_test(test_errno),
	    cmocka_unit_test(test_errno_behind_a_long_text),
	    cmocka_unit_test(test_oom),
	    cmocka_unit_test(test_kind_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
