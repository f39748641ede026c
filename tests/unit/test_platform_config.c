/* The [platform] section and what is refused of it. */
#include "platform/platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct {
	const char *url;
	bool fits;
} urls[] = {
    {"http://127.0.0.1:8080", true},
    {"http://127.0.0.1:8080/", true},
    {"HTTPS://Platform.Example", true},
    {"https://[::1]:8443/", true},
    {"http://localhost", true},
    {"", false},
    {"platform.example", false},
    {"//platform.example", false},
    {"ftp://platform.example", false},
    {"file:///etc/passwd", false},
    {"unix:/run/x", false},
    {"http://", false},
    {"http:///", false},
    {"http://:80", false},
    {"http://h:99999", false},
    {"http://h:x", false},
    {"http://h ", false},
    {"http://h/api", false},
    {"http://h//", false},
    {"http://h/.", false},
    {"http://h/?", false},
    {"http://h?x=1", false},
    {"http://h/#", false},
    {"http://h#x", false},
    {"http://user@h", false},
    {"http://user:secret@h", false},
    {"http://:secret@h", false},
    {"http://@h", false},
    {"http://h\r\nX: y", false},
};

/* A client with this configuration can be made, or it says why not. */
static bool can_open(const struct platform_config *config, struct err *err)
{
	struct loop *loop = loop_new(clock_system(), NULL);
	struct metrics *metrics = metrics_new(NULL);
	assert_true(loop && metrics);
	*err = (struct err){0};
	struct platform *platform = platform_new(loop, config, metrics, err);
	bool made = platform != NULL;
	platform_free(platform);
	metrics_free(metrics);
	loop_free(loop);
	if (!made) {
		assert_int_equal(err->kind, ERR_REJECT);
		assert_string_equal(err->code, "config");
	}
	return made;
}

static struct platform_config good_config(void)
{
	return (struct platform_config){
	    .url = "http://127.0.0.1:8080",
	    .token = "t",
	    .ca_file = "",
	    .connect_timeout_ms = 1000,
	    .timeout_ms = 1000,
	    .connections_max = 1,
	    .body_max_bytes = 1024,
	};
}

static void test_urls(void **state)
{
	(void)state;
	struct platform_config config = good_config();
	struct err err;
	for (size_t i = 0; i < N_OF(urls); i++) {
		config.url = urls[i].url;
		if (can_open(&config, &err) != urls[i].fits)
			fail_msg("\"%s\": %s", urls[i].url, urls[i].fits ? err.text : "was taken");
		assert_null(strstr(err.text, "secret"));
	}
}

static void test_tokens(void **state)
{
	(void)state;
	struct platform_config config = good_config();
	static const char *const bad[] = {"", "two words", "t\r\nX: y", "t\n", "t\x7f", "t\xc3\xa9"};
	struct err err;
	for (size_t i = 0; i < N_OF(bad); i++) {
		config.token = bad[i];
		assert_false(can_open(&config, &err));
	}
}

static void test_ca_files(void **state)
{
	(void)state;
	struct platform_config config = good_config();
	struct err err;
	char path[] = "/tmp/sandsweep-test-XXXXXX";
	static const char pem[] = "A comment\n-----BEGIN CERTIFICATE-----\nMIIB\n";
	config.ca_file = "/nonexistent/ca.pem";
	assert_false(can_open(&config, &err));
	assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
	config.ca_file = "/"; /* a directory */
	assert_false(can_open(&config, &err));
	config.ca_file = "/dev/null";
	assert_false(can_open(&config, &err));
	int fd = mkstemp(path);
	assert_int_equal(write(fd, pem, strlen(pem)), (ssize_t)strlen(pem));
	(void)close(fd);
	config.ca_file = path;
	assert_true(can_open(&config, &err));
	(void)unlink(path);
}

static void test_section(void **state)
{
	(void)state;
	const struct config_section *const sections[] = {&platform_section};
	static const char *const set[] = {"platform.url=http://h", "platform.token=t"};
	struct platform_config read = {0};
	struct err err = {0};
	struct config *config = config_load(NULL, sections, 1, set, 1, &err);
	assert_non_null(config);
	assert_int_equal(config_read(config, &platform_section, &read, &err), -1); /* no token */
	config_free(config);
	config = config_load(NULL, sections, 1, set, 2, NULL);
	assert_non_null(config);
	assert_int_equal(config_read(config, &platform_section, &read, NULL), 0);
	assert_string_equal(read.url, "http://h");
	assert_string_equal(read.ca_file, "");
	assert_int_equal(read.connect_timeout_ms, 2000);
	assert_int_equal(read.timeout_ms, 15000);
	assert_int_equal(read.connections_max, 256);
	assert_int_equal(read.body_max_bytes, 4194304);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_urls),
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_ca_files),
	    cmocka_unit_test(test_section),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
