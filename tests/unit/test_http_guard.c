#include "base/http_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

enum { FIELDS = 4 };
static const struct guard_case {
	const char *name, *version;
	struct {
		const char *name, *value;
	} fields[FIELDS];
	const char *why; /* NULL: fine */
} cases[] = {
    {"plain", "HTTP/1.1", {{"Host", "a"}}, NULL},
    {"host with port", "HTTP/1.1", {{"Host", "a.example:8080"}}, NULL},
    {"IPv6 host", "HTTP/1.1", {{"Host", "[::1]:8080"}}, NULL},
    {"empty host", "HTTP/1.1", {{"Host", ""}}, NULL},
    {"host in any case", "HTTP/1.1", {{"hOST", "a"}}, NULL},
    {"no host", "HTTP/1.1", {{"Accept", "*/*"}}, "no Host"},
    {"no fields", "HTTP/1.1", {{0}}, "no Host"},
    {"two hosts", "HTTP/1.1", {{"Host", "a"}, {"host", "a"}}, "more than one Host"},
    {"two hosts in one", "HTTP/1.1", {{"Host", "a, b"}}, "malformed Host"},
    {"host with comma", "HTTP/1.1", {{"Host", "a,b"}}, "malformed Host"},
    {"host with path", "HTTP/1.1", {{"Host", "a/b"}}, "malformed Host"},
    {"host with user", "HTTP/1.1", {{"Host", "u@a"}}, "malformed Host"},
    {"host with space", "HTTP/1.1", {{"Host", "a b"}}, "malformed Host"},
    {"host with high byte", "HTTP/1.1", {{"Host", "\xc3\xa9"}}, "malformed Host"},
    {"1.0 without host", "HTTP/1.0", {{"Accept", "*/*"}}, NULL},
    {"1.0 without fields", "HTTP/1.0", {{0}}, NULL},
    {"1.0 with two hosts", "HTTP/1.0", {{"Host", "a"}, {"Host", "b"}}, "more than one Host"},
    {"1.2", "HTTP/1.2", {{"Host", "a"}}, "neither HTTP/1.1 nor HTTP/1.0"},
    {"2.0", "HTTP/2.0", {{"Host", "a"}}, "neither HTTP/1.1 nor HTTP/1.0"},
    {"no version", "", {{"Host", "a"}}, "neither HTTP/1.1 nor HTTP/1.0"},
    {"lower-case version", "http/1.1", {{"Host", "a"}}, "neither HTTP/1.1 nor HTTP/1.0"},

    {"length", "HTTP/1.1", {{"Host", "a"}, {"Content-Length", "5"}}, NULL},
    {"length 0", "HTTP/1.1", {{"Host", "a"}, {"Content-Length", "0"}}, NULL},
    {"18 digits", "HTTP/1.1", {{"Host", "a"}, {"Content-Length", "999999999999999999"}}, NULL},
    {"19 digits",
     "HTTP/1.1",
     {{"Host", "a"}, {"Content-Length", "1000000000000000000"}},
     "malformed Content-Length"},
    {"empty length",
     "HTTP/1.1",
     {{"Host", "a"}, {"Content-Length", ""}},
     "malformed Content-Length"},
    {"signed", "HTTP/1.1", {{"Host", "a"}, {"Content-Length", "+5"}}, "malformed Content-Length"},
    {"negative", "HTTP/1.1", {{"Host", "a"}, {"Content-Length", "-5"}}, "malformed Content-Length"},
    {"hex", "HTTP/1.1", {{"Host", "a"}, {"Content-Length", "0x5"}}, "malformed Content-Length"},
    {"list", "HTTP/1.1", {{"Host", "a"}, {"Content-Length", "5, 5"}}, "malformed Content-Length"},
    {"space behind",
     "HTTP/1.1",
     {{"Host", "a"}, {"Content-Length", "5 "}},
     "malformed Content-Length"},
    {"two lengths",
     "HTTP/1.1",
     {{"Host", "a"}, {"Content-Length", "5"}, {"content-length", "5"}},
     "more than one Content-Length"},
    {"two lengths on 1.0",
     "HTTP/1.0",
     {{"Content-Length", "5"}, {"Content-Length", "6"}},
     "more than one Content-Length"},

    {"chunked", "HTTP/1.1", {{"Host", "a"}, {"Transfer-Encoding", "chunked"}}, NULL},
    {"chunked, any case of the name",
     "HTTP/1.1",
     {{"Host", "a"}, {"TRANSFER-encoding", "chunked"}},
     NULL},
    {"Chunked",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", "Chunked"}},
     "Transfer-Encoding is not \"chunked\""},
    {"xchunked",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", "xchunked"}},
     "Transfer-Encoding is not \"chunked\""},
    {"chunked and a space",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", "chunked "}},
     "Transfer-Encoding is not \"chunked\""},
    {"gzip, chunked",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", "gzip, chunked"}},
     "Transfer-Encoding is not \"chunked\""},
    {"identity",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", "identity"}},
     "Transfer-Encoding is not \"chunked\""},
    {"empty coding",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", ""}},
     "Transfer-Encoding is not \"chunked\""},
    {"two codings",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
     "more than one Transfer-Encoding"},
    {"chunked on 1.0",
     "HTTP/1.0",
     {{"Host", "a"}, {"Transfer-Encoding", "chunked"}},
     "Transfer-Encoding on HTTP/1.0"},
    {"length, then chunked",
     "HTTP/1.1",
     {{"Host", "a"}, {"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}},
     "Content-Length with Transfer-Encoding"},
    {"chunked, then length",
     "HTTP/1.1",
     {{"Host", "a"}, {"Transfer-Encoding", "chunked"}, {"Content-Length", "5"}},
     "Content-Length with Transfer-Encoding"},

    {"space before the colon", "HTTP/1.1", {{"Host ", "a"}}, "malformed field name"},
    {"space first", "HTTP/1.1", {{" Host", "a"}}, "malformed field name"},
    {"tab in a name", "HTTP/1.1", {{"Host", "a"}, {"X\tY", "b"}}, "malformed field name"},
    {"control byte in a name", "HTTP/1.1", {{"Host", "a"}, {"X\x01", "b"}}, "malformed field name"},
    {"high byte in a name",
     "HTTP/1.1",
     {{"Host", "a"}, {"X\xc2\xa0", "b"}},
     "malformed field name"},
    {"empty name", "HTTP/1.1", {{"Host", "a"}, {"", "b"}}, "malformed field name"},
    {"every token byte", "HTTP/1.1", {{"Host", "a"}, {"!#$%&'*+-.^_`|~09azAZ", "b"}}, NULL},
    {"CR in a value", "HTTP/1.1", {{"Host", "a"}, {"X", "b\rc"}}, "control byte in a field value"},
    {"LF in a value", "HTTP/1.1", {{"Host", "a"}, {"X", "b\nc"}}, "control byte in a field value"},
    {"DEL in a value",
     "HTTP/1.1",
     {{"Host", "a"}, {"X", "b\x7f"}},
     "control byte in a field value"},
    {"tab in a value", "HTTP/1.1", {{"Host", "a"}, {"X", "b\tc"}}, NULL},
    {"high bytes in a value", "HTTP/1.1", {{"Host", "a"}, {"X", "\xc3\xa9\xff"}}, NULL},
    {"looks like it", "HTTP/1.1", {{"Host", "a"}, {"Content-Length-X", "z"}, {"XHost", "b"}}, NULL},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		const struct guard_case *c = &cases[i];
		struct http_field fields[FIELDS];
		size_t n = 0;
		for (; n < FIELDS && c->fields[n].name; n++)
			fields[n] = (struct http_field){c->fields[n].name, c->fields[n].value,
			                                strlen(c->fields[n].name), strlen(c->fields[n].value)};
		const char *why = http_guard(c->version, fields, n);
		if ((why == NULL) != (c->why == NULL) || (why && strcmp(why, c->why) != 0))
			fail_msg("%s: got \"%s\", want \"%s\"", c->name, why ? why : "(fine)",
			         c->why ? c->why : "(fine)");
	}
}

/* Lengths count, not NULs; and every byte but these is refused. */
static void test_every_byte(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		const char c = (char)byte;
		const struct http_field in_value[] = {{"Host", "a", 4, 1}, {"X", &c, 1, 1}};
		bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
		assert_int_equal(http_guard("HTTP/1.1", in_value, 2) != NULL, control);
		const struct http_field in_name[] = {{"Host", "a", 4, 1}, {&c, "x", 1, 1}};
		bool token = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
		             (byte >= 'A' && byte <= 'Z') || (byte > 0 && strchr("!#$%&'*+-.^_`|~", byte));
		assert_int_equal(http_guard("HTTP/1.1", in_name, 2) == NULL, token);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_every_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
