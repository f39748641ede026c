/* Secrets: where they come from, and that a dump does not tell them. */
#include "config_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_secrets),
	    cmocka_unit_test(test_dump),
	    cmocka_unit_test(test_dump_of_a_secret_from_its_file),
	};
	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
