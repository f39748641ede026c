/* What could be smuggled: every request as it may come over a wire, at once and byte by byte. */
#include "http_fixture.h"

/* ---- what could be smuggled ---- */

#define BYTES(text) text, sizeof(text) - 1

/* What follows a request that is refused; it must never be answered. */
#define SMUGGLED "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct wire_case {
	const char *name, *input;
	size_t len;
	int status;      /* 200: answered, and the connection lives; others close it */
	const char *why; /* what on_refused is told; NULL: libmicrohttpd answers by itself */
} wire_cases[] = {
    {"plain", BYTES(LINE "Host: a\r\n\r\n"), 200, NULL},
    {"empty lines first", BYTES("\r\n\r\n" LINE "Host: a\r\n\r\n"), 200, NULL},
    {"no space behind the colon", BYTES(LINE "Host:a\r\n\r\n"), 200, NULL},
    {"spaces and tabs around", BYTES(LINE "Host: \t a\r\nX: \t b \r\nY:\r\nZ: \r\n\r\n"), 200,
     NULL},
    {"query", BYTES("GET /x?a=1&b&c=+%2b HTTP/1.1\r\nHost: a\r\n\r\n"), 200, NULL},
    {"cookies", BYTES(LINE "Host: a\r\nCookie: a=b; c=\"d\"; e\r\n\r\n"), 200, NULL},
    {"body", BYTES(POST "Content-Length: 5\r\n\r\nhello"), 200, NULL},
    {"no body", BYTES(POST "Content-Length: 0\r\n\r\n"), 200, NULL},

    {"length and chunked",
     BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "Content-Length with Transfer-Encoding"},
    {"chunked and length",
     BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "Content-Length with Transfer-Encoding"},
    {"two lengths", BYTES(POST "Content-Length: 0\r\nContent-Length: 36\r\n\r\n" SMUGGLED), 400,
     "more than one Content-Length"},
    {"the same length twice", BYTES(POST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" SMUGGLED),
     400, "more than one Content-Length"},
    {"list of lengths", BYTES(POST "Content-Length: 0, 0\r\n\r\n" SMUGGLED), 400, NULL},
    {"length with a plus", BYTES(POST "Content-Length: +0\r\n\r\n" SMUGGLED), 400, NULL},
    {"negative length", BYTES(POST "Content-Length: -1\r\n\r\n" SMUGGLED), 400, NULL},
    {"length in hex", BYTES(POST "Content-Length: 0x0\r\n\r\n" SMUGGLED), 400, NULL},
    {"length without digits", BYTES(POST "Content-Length: \r\n\r\n" SMUGGLED), 400, NULL},
    {"length past 2^64", BYTES(POST "Content-Length: 18446744073709551616\r\n\r\n" SMUGGLED), 413,
     NULL},
    {"length of 19 digits", BYTES(POST "Content-Length: 1000000000000000000\r\n\r\n"), 400,
     "malformed Content-Length"},
    {"xchunked", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n" SMUGGLED), 400,
     "Transfer-Encoding is not \"chunked\""},
    {"gzip, chunked", BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "Transfer-Encoding is not \"chunked\""},
    {"chunked and a space", BYTES(POST "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n" SMUGGLED),
     400, "Transfer-Encoding is not \"chunked\""},
    {"chunked twice",
     BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
     "more than one Transfer-Encoding"},
    {"chunked on 1.0",
     BYTES("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
     "Transfer-Encoding on HTTP/1.0"},

    {"no host", BYTES(LINE "\r\n"), 400, "no Host"},
    {"two hosts", BYTES(LINE "Host: a\r\nHost: b\r\n\r\n"), 400, "more than one Host"},
    {"host with a path", BYTES(LINE "Host: a/b\r\n\r\n"), 400, "malformed Host"},
    {"space before the colon", BYTES(LINE "Host: a\r\nContent-Length : 36\r\n\r\n" SMUGGLED), 400,
     "malformed field name"},
    {"tab before the colon", BYTES(LINE "Host: a\r\nX\t: b\r\n\r\n"), 400, "malformed field name"},
    {"space before the first field", BYTES(LINE " X: y\r\nHost: a\r\n\r\n"), 400,
     "malformed field name"},
    {"control byte in a name", BYTES(LINE "Host: a\r\nX\x01: y\r\n\r\n"), 400,
     "malformed field name"},
    {"no name", BYTES(LINE "Host: a\r\n: y\r\n\r\n"), 400, "malformed line"},
    {"colon alone", BYTES(LINE "Host: a\r\n:\r\n" SMUGGLED), 400, "malformed line"},
    {"no colon", BYTES(LINE "Host: a\r\nX\r\n\r\n"), 400, NULL},
    {"bare CR in a value", BYTES(LINE "Host: a\r\nX: y\rContent-Length: 36\r\n\r\n" SMUGGLED), 400,
     "control byte in a field value"},
    {"control byte in a value", BYTES(LINE "Host: a\r\nX: y\x0b\r\n\r\n"), 400,
     "control byte in a field value"},

    {"bare LF behind the request line", BYTES("GET /x HTTP/1.1\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"bare LF behind a field", BYTES(LINE "Host: a\nX: y\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"bare LF behind the last field", BYTES(LINE "Host: a\r\nX: y\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"bare LF at the end", BYTES(LINE "Host: a\r\n\n" SMUGGLED), 400, "malformed line"},
    {"bare LFs", BYTES("GET /x HTTP/1.1\nHost: a\n\n" SMUGGLED), 400, "malformed line"},
    {"folded", BYTES(LINE "Host: a\r\nX: y\r\n z\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"folded with a tab", BYTES(LINE "Host: a\r\nX: y\r\n\tz\r\nY: z\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"folded twice", BYTES(LINE "Host: a\r\nX: y\r\n z\r\n z\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"folded, empty", BYTES(LINE "Host: a\r\nX: y\r\n \r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"folded coding", BYTES(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in a value", BYTES(LINE "Host: a\r\nX: y\0z\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"NUL behind a value", BYTES(LINE "Host: a\r\nX: y\0\r\n\r\n" SMUGGLED), 400, "malformed line"},
    {"NUL in a name", BYTES(LINE "Host: a\r\nX\0: y\r\n\r\n" SMUGGLED), 400, NULL},
    {"NUL in front of a name", BYTES(LINE "Host: a\r\n\0X: y\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in the target", BYTES("GET /x\0y HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in the query", BYTES("GET /x?a=\0y HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},
    {"NUL in the method", BYTES("GE\0T /x HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED), 400,
     "malformed line"},

    {"two spaces", BYTES("GET  /x HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "malformed line"},
    {"space in the target", BYTES("GET /x y HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"two spaces before the version", BYTES("GET /x  HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"tab in the target", BYTES("GET /x\ty HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"high byte in the target", BYTES("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed request target"},
    {"control byte in the method", BYTES("G\x01T /x HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed method"},
    {"space behind the version", BYTES("GET /x HTTP/1.1 \r\nHost: a\r\n\r\n"), 400, NULL},
    {"no version", BYTES("GET /x\r\nHost: a\r\n\r\n"), 400, NULL},
    {"1.2", BYTES("GET /x HTTP/1.2\r\nHost: a\r\n\r\n"), 400, "neither HTTP/1.1 nor HTTP/1.0"},
    {"2.0", BYTES("GET /x HTTP/2.0\r\nHost: a\r\n\r\n"), 505, NULL},
    {"0.9", BYTES("GET /x HTTP/0.9\r\nHost: a\r\n\r\n"), 505, NULL},
    {"lower-case version", BYTES("GET /x http/1.1\r\nHost: a\r\n\r\n"), 400, NULL},
    {"NUL escaped in the query", BYTES("GET /x?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed query"},
    {"half an escape in the query", BYTES("GET /x?a=%4 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed query"},
    {"bad escape in a query's name", BYTES("GET /x?%zz=1 HTTP/1.1\r\nHost: a\r\n\r\n"), 400,
     "malformed query"},

    {"chunk size is no number", BYTES(CHUNKED "x\r\nhello\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
    {"chunk size with 0x", BYTES(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
    {"negative chunk size", BYTES(CHUNKED "-5\r\nhello\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
    {"chunk size past 2^64", BYTES(CHUNKED "10000000000000000\r\nhello\r\n"), 413, NULL},
    {"no line end behind a chunk", BYTES(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n" SMUGGLED), 400, NULL},
};

static void check_wire(struct rig *rig, struct client *c, const struct wire_case *want)
{
	until_answers(c, 1);
	if (status_of(c) != want->status)
		fail_msg("status %d, not %d", status_of(c), want->status);
	if (want->status == 200) {
		expect_alive(c);
		assert_int_equal(rig->refusals, 0);
		return;
	}
	until_over(c);
	if (strstr(c->in, "/smuggled") || rig->requests > 0)
		fail_msg("something got through: %s", c->in);
	assert_string_equal(rig->refused_why, want->why ? want->why : "");
	assert_int_equal(rig->refused_status, want->why ? want->status : 0);
}

static void run_wire(struct rig *rig, const struct wire_case *want, size_t step)
{
	print_message("%s, %s\n", want->name, step ? "byte by byte" : "at once");
	rig->requests = rig->refusals = 0;
	rig->refused_why[0] = '\0';
	rig->refused_status = 0;
	struct client *c = client_new(rig);
	for (size_t at = 0; at < want->len; at += step ? step : want->len) {
		(void)client_send(c, want->input + at, step ? step : want->len);
		round_once(rig, 0);
		round_once(rig, 0);
	}
	check_wire(rig, c, want);
	client_free(c);
}

static void test_wire(void **state)
{
	for (size_t i = 0; i < N_OF(wire_cases); i++) {
		run_wire(*state, &wire_cases[i], 0);
		run_wire(*state, &wire_cases[i], 1);
	}
}

/* What libmicrohttpd reads leniently between chunks cannot become a request: a chunked request is
 * the last one on its connection. */
static void test_nothing_follows_chunks(void **state)
{
	static const char *const inputs[] = {
	    CHUNKED "5\r\nhello\r\n0\r\n\r\n" SMUGGLED,
	    CHUNKED "5\nhello\n0\n\n" SMUGGLED,
	    CHUNKED "5;a=b\r\nhello\r\n0;c\r\n\r\n" SMUGGLED,
	    CHUNKED "5;\nhello\r\n0\r\n\r\n" SMUGGLED,
	    CHUNKED "005\r\nhello\r\n0\r\nTrailer: x\r\n\r\n" SMUGGLED,
	};
	for (size_t i = 0; i < N_OF(inputs); i++) {
		struct client *c = client_new(*state);
		client_say(c, inputs[i]);
		until_over(c);
		assert_int_equal(answers(c), 1);
		expect_in(c, "POST /x a=(none) b=(none) x=(none) body=hello");
		expect_in(c, "\r\nConnection: close\r\n");
		client_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_wire),
	    TEST(test_nothing_follows_chunks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
