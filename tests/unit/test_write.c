/* What a client says about a write: the texts of Idempotency-Key and If-Match, the tag that an answer has,
 * and the steps of a write that has a key. */
#include "api/write.h"

#include "front_fixture.h"

#include "base/hash.h"

/* ---- keys ---- */

#define K5 "kkkkk"
#define K50 K5 K5 K5 K5 K5 K5 K5 K5 K5 K5
#define K255 K50 K50 K50 K50 K50 K5

static const struct key_case {
	const char *name, *text, *want; /* NULL: refused */
} key_cases[] = {
    {"a UUID", "8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"},
    {"in quotes", "\"8e03978e-40d5\"", "8e03978e-40d5"},
    {"one byte", "k", "k"},
    {"one byte in quotes", "\"k\"", "k"},
    {"the first and the last byte that are visible", "!~", "!~"},
    {"every mark", "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
    {"case stays", "AbC", "AbC"},
    {"the longest", K255, K255},
    {"the longest in quotes", "\"" K255 "\"", K255},
    {"one quote is a key", "\"", "\""},
    {"a quote inside", "a\"b", "a\"b"},
    {"quotes inside quotes", "\"a\"b\"", "a\"b"},
    {"a quote in front", "\"a", "\"a"},
    {"a quote behind", "a\"", "a\""},
    {"three quotes", "\"\"\"", "\""},
    {"nothing", "", NULL},
    {"nothing in quotes", "\"\"", NULL},
    {"one byte too long", K255 "k", NULL},
    {"one byte too long in quotes", "\"" K255 "k\"", NULL},
    {"the longest with a quote", "\"" K255, NULL},
    {"far too long", K255 K255 K255, NULL},
    {"a space", " ", NULL},
    {"a space inside", "a b", NULL},
    {"a space inside quotes", "\"a b\"", NULL},
    {"a space in front", " a", NULL},
    {"a space behind", "a ", NULL},
    {"a space behind the quotes", "\"a\" ", NULL},
    {"a tab", "a\tb", NULL},
    {"a control byte", "a\x01", NULL},
    {"a line end", "a\n", NULL},
    {"DEL", "a\x7f", NULL},
    {"not ASCII", "\xc3\xa9", NULL},
    {"the last byte", "a\xff", NULL},
    {"the first that is not ASCII", "\x80", NULL},
};

static void test_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(key_cases); i++) {
		const struct key_case *c = &key_cases[i];
		char key[WRITE_KEY_MAX + 2];
		memset(key, '#', sizeof(key));
		int rc = write_key_parse(c->text, key);
		if (rc != (c->want ? 0 : -1) || (c->want && strcmp(key, c->want) != 0))
			fail_msg("%s: %d %.*s", c->name, rc, (int)sizeof(key), key);
		assert_int_equal(key[WRITE_KEY_MAX + 1], '#');
	}
}

/* ---- tags ---- */

#define A "\"00065a2f3b4c5d6e\""
#define B "\"000000000000000b\""
#define TWO B "," B
#define FOUR TWO "," TWO
#define FIFTEEN FOUR "," FOUR "," FOUR "," TWO "," B
#define FOREIGN "\"x\""
#define FOREIGN5 FOREIGN "," FOREIGN "," FOREIGN "," FOREIGN "," FOREIGN
#define BS15 "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 "
#define A_NUMBER "1788008765087086 "

static const struct match_case {
	const char *name, *text;
	const char *want; /* "any", "there", "of: " and the versions; NULL: refused */
} match_cases[] = {
    {"not given", NULL, "any"},
    {"all that is there", "*", "there"},
    {"a star with space around", " \t* \t", "there"},
    {"one", A, "of: " A_NUMBER},
    {"one with space around", " \t" A "\t ", "of: " A_NUMBER},
    {"two", A "," B, "of: " A_NUMBER "11 "},
    {"two with spaces", A " , \t" B, "of: " A_NUMBER "11 "},
    {"the same twice", B "," B, "of: 11 11 "},
    {"zero", "\"0000000000000000\"", "of: 0 "},
    {"the highest", "\"7fffffffffffffff\"", "of: 9223372036854775807 "},
    {"before 1970", "\"ffffffffffffffff\"", "of: -1 "},
    {"16", FIFTEEN "," A, "of: " BS15 A_NUMBER},

    /* such as fit nothing */
    {"a weak one", "W/" A, "of: "},
    {"a weak one among others", "W/" A "," B, "of: 11 "},
    {"a foreign one", "\"abc\"", "of: "},
    {"a foreign one among others", A ",\"abc\", " B, "of: " A_NUMBER "11 "},
    {"an empty one", "\"\"", "of: "},
    {"a star in quotes", "\"*\"", "of: "},
    {"in upper case", "\"00065A2F3B4C5D6E\"", "of: "},
    {"one digit less", "\"00065a2f3b4c5d6\"", "of: "},
    {"one digit more", "\"00065a2f3b4c5d6e0\"", "of: "},
    {"not hex", "\"00065a2f3b4c5d6g\"", "of: "},
    {"a sign", "\"-0065a2f3b4c5d6e\"", "of: "},
    {"a comma inside", "\"a,b\"," B, "of: 11 "},
    {"a backslash ends nothing", "\"a\\\"," B, "of: 11 "},
    {"beyond ASCII", "\"\xc3\xa9\"", "of: "},
    {"16 foreign ones", FOREIGN "," FOREIGN5 "," FOREIGN5 "," FOREIGN5, "of: "},
    {"15 and a weak one", FIFTEEN ",W/" A, "of: " BS15},

    {"empty", "", NULL},
    {"blank", " \t", NULL},
    {"no quotes", "00065a2f3b4c5d6e", NULL},
    {"one quote", "\"", NULL},
    {"not closed", "\"00065a2f3b4c5d6e", NULL},
    {"not opened", "00065a2f3b4c5d6e\"", NULL},
    {"the second not closed", A ",\"x", NULL},
    {"single quotes", "'00065a2f3b4c5d6e'", NULL},
    {"a comma alone", ",", NULL},
    {"a comma in front", "," A, NULL},
    {"a comma behind", A ",", NULL},
    {"a comma and space behind", A ", ", NULL},
    {"two commas", A ",," B, NULL},
    {"no comma", A B, NULL},
    {"a space for a comma", A " " B, NULL},
    {"a semicolon", A ";" B, NULL},
    {"something behind", A "x", NULL},
    {"a star and a tag", "*," A, NULL},
    {"a tag and a star", A ",*", NULL},
    {"two stars", "**", NULL},
    {"a weak star", "W/*", NULL},
    {"weak and nothing", "W/", NULL},
    {"weak in lower case", "w/" A, NULL},
    {"weak with a space", "W/ " A, NULL},
    {"weak twice", "W/W/" A, NULL},
    {"half a mark of weakness", "W" A, NULL},
    {"17", FIFTEEN "," A "," A, NULL},
    {"16 and a weak one", FIFTEEN "," A ",W/" A, NULL},
    {"16 and a foreign one", FIFTEEN "," A "," FOREIGN, NULL},
    {"17 foreign ones", FOREIGN "," FOREIGN "," FOREIGN5 "," FOREIGN5 "," FOREIGN5, NULL},
    {"34", FIFTEEN "," FIFTEEN "," FOUR, NULL},
};

static void say(const struct store_match *match, char *out, size_t size)
{
	assert_in_range(match->count, 0, STORE_VERSIONS_MAX);
	assert_false(match->given && match->exists);
	int len = snprintf(out, size, "%s", match->given ? "of: " : match->exists ? "there" : "any");
	for (size_t i = 0; i < match->count; i++)
		len += snprintf(out + len, size - (size_t)len, "%lld ", (long long)match->versions[i]);
}

static void test_matches(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(match_cases); i++) {
		const struct match_case *c = &match_cases[i];
		struct store_match match;
		char got[512];
		memset(&match, 0xa5, sizeof(match));
		int rc = write_match_parse(c->text, &match);
		if (rc == 0)
			say(&match, got, sizeof(got));
		if (rc != (c->want ? 0 : -1))
			fail_msg("%s: %d %s", c->name, rc, rc == 0 ? got : "");
		if (rc == 0 && strcmp(got, c->want) != 0)
			fail_msg("%s: %s\nnot %s", c->name, got, c->want);
	}
}

/* The tag that an answer has is one that fits the next time, and no other version's. */
static void test_the_tag_of_an_answer(void **state)
{
	(void)state;
	static const struct {
		int64_t version;
		const char *tag;
	} cases[] = {
	    {0, "\"0000000000000000\""},
	    {1, "\"0000000000000001\""},
	    {1788008765087086, A},
	    {1788008765087087, "\"00065a2f3b4c5d6f\""},
	    {INT64_MAX, "\"7fffffffffffffff\""},
	    {-1, "\"ffffffffffffffff\""},
	    {INT64_MIN, "\"8000000000000000\""},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct exchange x = {0};
		struct store_match match;
		write_etag(&x, cases[i].version);
		assert_int_equal(x.header_count, 1);
		assert_string_equal(x.headers[0].name, "ETag");
		assert_string_equal(x.headers[0].value, cases[i].tag);
		assert_int_equal(write_match_parse(x.headers[0].value, &match), 0);
		assert_true(match.given);
		assert_int_equal(match.count, 1);
		assert_int_equal(match.versions[0], cases[i].version);
	}
}

/* ---- the steps ---- */

/* What the store says when it is asked for the answer that is kept. */
enum kept {
	KEPT_NOTHING,
	KEPT_ANSWER,
	KEPT_ANOTHER, /* the key was used for another request */
	KEPT_FAILS,
};

static const struct step_case {
	const char *name, *fields;
	enum kept first, second; /* when it is asked again */
	bool beaten;             /* the change does not happen */
	int status;
	const char *want; /* in the body */
	int replays, changes;
} step_cases[] = {
    {"no key", "", KEPT_NOTHING, KEPT_NOTHING, false, 200, "\"changed\":1", 0, 1},
    {"a key that is new", "Idempotency-Key: k\r\n", KEPT_NOTHING, KEPT_NOTHING, false, 200,
     "\"changed\":1", 1, 1},
    {"a key that was used", "Idempotency-Key: k\r\n", KEPT_ANSWER, KEPT_NOTHING, false, 200,
     "\"kept\":1", 1, 0},
    {"a key of another request", "Idempotency-Key: k\r\n", KEPT_ANOTHER, KEPT_NOTHING, false, 422,
     "this Idempotency-Key was used for another request", 1, 0},
    {"nobody knows", "Idempotency-Key: k\r\n", KEPT_FAILS, KEPT_NOTHING, false, 500,
     "the look-up failed", 1, 0},
    {"another copy was first", "Idempotency-Key: k\r\n", KEPT_NOTHING, KEPT_ANSWER, true, 200,
     "\"kept\":1", 2, 1},
    {"it was lost to somebody else", "Idempotency-Key: k\r\n", KEPT_NOTHING, KEPT_NOTHING, true,
     409, "it is taken", 2, 1},
    {"another request was first", "Idempotency-Key: k\r\n", KEPT_NOTHING, KEPT_ANOTHER, true, 422,
     "this Idempotency-Key was used for another request", 2, 1},
    {"nobody knows who was first", "Idempotency-Key: k\r\n", KEPT_NOTHING, KEPT_FAILS, true, 500,
     "the look-up failed", 2, 1},
    {"lost without a key", "", KEPT_NOTHING, KEPT_NOTHING, true, 409, "said by the caller", 0, 1},
    {"a key that is none", "Idempotency-Key: a b\r\n", KEPT_ANSWER, KEPT_NOTHING, false, 400,
     "Idempotency-Key must be 1 to 255 visible ASCII characters", 0, 0},
    {"tags that are none", "If-Match: x\r\n", KEPT_ANSWER, KEPT_NOTHING, false, 400,
     "If-Match must be * or at most 16 entity tags", 0, 0},
    {"tags that are none, and a key", "Idempotency-Key: k\r\nIf-Match: x\r\n", KEPT_ANSWER,
     KEPT_NOTHING, false, 400, "If-Match must be * or at most 16 entity tags", 0, 0},
    {"neither is one", "Idempotency-Key: a b\r\nIf-Match: x\r\n", KEPT_ANSWER, KEPT_NOTHING, false,
     400, "Idempotency-Key must be", 0, 0},
    {"a key and tags", "Idempotency-Key: k\r\nIf-Match: " A "\r\n", KEPT_NOTHING, KEPT_NOTHING,
     false, 200, "\"changed\":1", 1, 1},
};

/* The case that runs, and what was seen of it. */
static const struct step_case *running;
static int replays, changes;
static struct write seen; /* by the change, or by the last replay */

static void answer(struct exchange *x, const char *member)
{
	struct reply reply;
	(void)buf_str(exchange_data(x, &reply), member);
	exchange_send(x, &reply, 200);
}

static void replay(struct exchange *x)
{
	const struct err another = {ERR_REJECT, "SW007", "another request"},
	                 failed = {ERR_RETRY, "08006", "gone"};
	enum kept kept = replays++ == 0 ? running->first : running->second;
	seen = x->write;
	if (kept == KEPT_ANSWER) {
		write_replayed(x);
		answer(x, "\"kept\":1");
	} else {
		write_not_kept(x,
		               kept == KEPT_NOTHING   ? NULL
		               : kept == KEPT_ANOTHER ? &another
		                                      : &failed,
		               "the look-up failed");
	}
}

static void change(struct exchange *x)
{
	changes++;
	seen = x->write;
	if (!running->beaten)
		answer(x, "\"changed\":1");
	else if (!write_beaten(x, 409, "it is taken"))
		exchange_fail(x, 409, "said by the caller");
}

static void begin(struct exchange *x)
{
	write_begin(x, replay, change);
}

static void test_steps(void **state)
{
	struct front *front = *state;
	for (size_t i = 0; i < N_OF(step_cases); i++) {
		running = &step_cases[i];
		replays = changes = 0;
		int status = front_ask(front, "PUT /a", running->fields, "{}", begin);
		if (status != running->status || !strstr(front->body, running->want))
			fail_msg("%s: %d %s", running->name, status, front->body);
		if (replays != running->replays || changes != running->changes)
			fail_msg("%s: %d replays, %d changes", running->name, replays, changes);
		bool kept = strstr(running->want, "kept") != NULL;
		front_check_header(front, "Idempotency-Replayed", kept ? "true" : NULL);
	}
}

/* The key is the text between the quotes, if it has any; the tags are there for the change. */
static void test_what_a_step_knows(void **state)
{
	struct front *front = *state;
	running = &step_cases[0];
	(void)front_ask(front, "PUT /a", "Idempotency-Key: \"k-1\"\r\nIf-Match: " TWO "\r\n", "",
	                begin);
	assert_true(seen.keyed);
	assert_string_equal(seen.key, "k-1");
	assert_true(seen.match.given);
	assert_int_equal(seen.match.count, 2);
	(void)front_ask(front, "PUT /a", "If-Match: *\r\n", "", begin);
	assert_false(seen.keyed);
	assert_true(seen.match.exists);
	(void)front_ask(front, "PUT /a", "", "", begin);
	assert_false(seen.keyed);
	assert_false(seen.match.given);
	assert_false(seen.match.exists);
}

/* ---- which requests are the same ---- */

static const struct same_case {
	const char *name, *line, *fields, *body;
	bool same; /* as PUT /a with {} */
} same_cases[] = {
    {"again", "PUT /a", "Idempotency-Key: k\r\n", "{}", true},
    {"another key", "PUT /a", "Idempotency-Key: other\r\n", "{}", true},
    {"other fields", "PUT /a", "Idempotency-Key: k\r\nIf-Match: *\r\nX-A: b\r\n", "{}", true},
    {"another method", "POST /a", "Idempotency-Key: k\r\n", "{}", false},
    {"another path", "PUT /b", "Idempotency-Key: k\r\n", "{}", false},
    {"a longer path", "PUT /a/", "Idempotency-Key: k\r\n", "{}", false},
    {"another body", "PUT /a", "Idempotency-Key: k\r\n", "{ }", false},
    {"no body", "PUT /a", "Idempotency-Key: k\r\n", "", false},
    {"what was the body in the path", "PUT /a{}", "Idempotency-Key: k\r\n", "", false},
};

static void test_which_requests_are_the_same(void **state)
{
	struct front *front = *state;
	char want[HASH_HEX_SIZE];
	running = &step_cases[0];
	hash_sha256_hex("PUT\0/a\0{}", 9, want);
	for (size_t i = 0; i < N_OF(same_cases); i++) {
		const struct same_case *c = &same_cases[i];
		(void)front_ask(front, c->line, c->fields, c->body, begin);
		if ((strcmp(seen.fingerprint, want) == 0) != c->same)
			fail_msg("%s: %s", c->name, c->same ? "another" : "the same");
		assert_int_equal(strlen(seen.fingerprint), HASH_HEX_SIZE - 1);
	}
}

#define FRONT_TEST(test) cmocka_unit_test_setup_teardown(test, front_set_up, front_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_matches),
	    cmocka_unit_test(test_the_tag_of_an_answer),
	    FRONT_TEST(test_steps),
	    FRONT_TEST(test_what_a_step_knows),
	    FRONT_TEST(test_which_requests_are_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
