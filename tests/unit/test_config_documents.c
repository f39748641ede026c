/* The example of a configuration file and the manual's part: config.c is compiled into this test, so
 * that the settings that are read of an example can be counted. */
#include "base/config.c"

#include "config_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_example_can_be_used),
	    cmocka_unit_test(test_the_example_says_it_all),
	    cmocka_unit_test(test_comments_are_broken),
	    cmocka_unit_test(test_mdoc),
	};
	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
