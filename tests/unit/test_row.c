/* The row decoder without a server: results are built by hand. */
#include "sql/row.h"

#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sql/pg_private.h"

enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_OID = 26,
	OID_FLOAT8 = 701,
	OID_UNKNOWN = 705,
	OID_VARCHAR = 1043,
	OID_TIMESTAMP = 1114,
	OID_TIMESTAMPTZ = 1184,
	OID_NUMERIC = 1700,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};

/* Whatever a column can become; one struct for every type. */
struct any {
	int64_t number, time_us;
	bool truth;
	const char *text, *json;
	struct uuid uuid;
};

static size_t offset_of(enum row_type type)
{
	switch (type) {
	case ROW_I64: return offsetof(struct any, number);
	case ROW_TIME: return offsetof(struct any, time_us);
	case ROW_BOOL: return offsetof(struct any, truth);
	case ROW_TEXT: return offsetof(struct any, text);
	case ROW_JSON: return offsetof(struct any, json);
	case ROW_UUID: return offsetof(struct any, uuid);
	}
	return 0;
}

/* What is in the struct, as text. */
static void tell(const struct any *any, enum row_type type, char *out, size_t size)
{
	char uuid[UUID_TEXT_SIZE];
	uuid_format(&any->uuid, uuid);
	switch (type) {
	case ROW_I64: (void)snprintf(out, size, "%lld", (long long)any->number); return;
	case ROW_TIME: (void)snprintf(out, size, "%lld", (long long)any->time_us); return;
	case ROW_BOOL: (void)snprintf(out, size, "%s", any->truth ? "true" : "false"); return;
	case ROW_TEXT: (void)snprintf(out, size, "%s", any->text ? any->text : "NULL"); return;
	case ROW_JSON: (void)snprintf(out, size, "%s", any->json ? any->json : "NULL"); return;
	case ROW_UUID: (void)snprintf(out, size, "%s", uuid); return;
	}
}

struct col {
	char name[16];
	Oid oid;
	int format; /* 1: binary */
};

/* A result with these columns and no rows. */
static PGresult *new_result(const struct col *cols, int count)
{
	PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc desc[8] = {0};
	static char names[8][16];
	assert_non_null(res);
	for (int i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%s", cols[i].name);
		desc[i] = (PGresAttDesc){.name = names[i], .format = cols[i].format, .typid = cols[i].oid};
	}
	if (count > 0)
		assert_int_equal(PQsetResultAttrs(res, count, desc), 1);
	return res;
}

/* ---- values ---- */

static const struct value_case {
	const char *name;
	enum row_type type;
	Oid oid;
	const char *bytes;
	int len; /* -1: NULL */
	const char *want;
} value_cases[] = {
    {"int8 zero", ROW_I64, OID_INT8, "\0\0\0\0\0\0\0\0", 8, "0"},
    {"int8 order of bytes", ROW_I64, OID_INT8, "\1\2\3\4\5\6\7\10", 8, "72623859790382856"},
    {"int8 minus one", ROW_I64, OID_INT8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "-1"},
    {"int8 highest", ROW_I64, OID_INT8, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8,
     "9223372036854775807"},
    {"int8 lowest", ROW_I64, OID_INT8, "\x80\0\0\0\0\0\0\0", 8, "-9223372036854775808"},
    {"int8 NULL", ROW_I64, OID_INT8, NULL, -1, "0"},
    {"int4 order of bytes", ROW_I64, OID_INT4, "\1\2\3\4", 4, "16909060"},
    {"int4 minus one", ROW_I64, OID_INT4, "\xff\xff\xff\xff", 4, "-1"},
    {"int4 highest", ROW_I64, OID_INT4, "\x7f\xff\xff\xff", 4, "2147483647"},
    {"int4 lowest", ROW_I64, OID_INT4, "\x80\0\0\0", 4, "-2147483648"},
    {"int4 NULL", ROW_I64, OID_INT4, NULL, -1, "0"},
    {"int2 order of bytes", ROW_I64, OID_INT2, "\1\2", 2, "258"},
    {"int2 minus one", ROW_I64, OID_INT2, "\xff\xff", 2, "-1"},
    {"int2 highest", ROW_I64, OID_INT2, "\x7f\xff", 2, "32767"},
    {"int2 lowest", ROW_I64, OID_INT2, "\x80\0", 2, "-32768"},
    {"int2 NULL", ROW_I64, OID_INT2, NULL, -1, "0"},

    {"true", ROW_BOOL, OID_BOOL, "\1", 1, "true"},
    {"false", ROW_BOOL, OID_BOOL, "\0", 1, "false"},
    {"bool NULL", ROW_BOOL, OID_BOOL, NULL, -1, "false"},

    {"text", ROW_TEXT, OID_TEXT, "hello", 5, "hello"},
    {"empty text", ROW_TEXT, OID_TEXT, "", 0, ""},
    {"UTF-8", ROW_TEXT, OID_TEXT, "\xc3\xa9", 2, "\xc3\xa9"},
    {"text NULL", ROW_TEXT, OID_TEXT, NULL, -1, "NULL"},
    {"varchar", ROW_TEXT, OID_VARCHAR, "hello", 5, "hello"},
    {"varchar NULL", ROW_TEXT, OID_VARCHAR, NULL, -1, "NULL"},

    {"jsonb", ROW_JSON, OID_JSONB, "\1{\"a\": 1}", 9, "{\"a\": 1}"},
    {"jsonb null", ROW_JSON, OID_JSONB, "\1null", 5, "null"},
    {"jsonb NULL", ROW_JSON, OID_JSONB, NULL, -1, "NULL"},

    {"uuid", ROW_UUID, OID_UUID, "\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10",
     16, "01234567-89ab-cdef-fedc-ba9876543210"},
    {"uuid NULL", ROW_UUID, OID_UUID, NULL, -1, "00000000-0000-0000-0000-000000000000"},

    /* microseconds since 2000 */
    {"2000", ROW_TIME, OID_TIMESTAMPTZ, "\0\0\0\0\0\0\0\0", 8, "946684800000000"},
    {"1970", ROW_TIME, OID_TIMESTAMPTZ, "\xff\xfc\xa2\xfe\xc4\xc8\x20\x00", 8, "0"},
    {"a microsecond later", ROW_TIME, OID_TIMESTAMPTZ, "\xff\xfc\xa2\xfe\xc4\xc8\x20\x01", 8, "1"},
    {"a microsecond earlier", ROW_TIME, OID_TIMESTAMPTZ, "\xff\xfc\xa2\xfe\xc4\xc8\x1f\xff", 8,
     "-1"},
    {"time NULL", ROW_TIME, OID_TIMESTAMPTZ, NULL, -1, "0"},
};
/* "infinity", and the latest moment that Postgres can store: later than our count goes. */
static const struct value_case late_cases[] = {
    {"infinity", ROW_TIME, OID_TIMESTAMPTZ, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8,
     "9223372036854775807"},
    {"year 294276", ROW_TIME, OID_TIMESTAMPTZ, "\x7f\xff\xff\x5b\xb3\xb2\x9f\xff", 8,
     "9223372036854775807"},
    {"the last that fits", ROW_TIME, OID_TIMESTAMPTZ, "\x7f\xfc\xa2\xfe\xc4\xc8\x1f\xff", 8,
     "9223372036854775807"},
    {"one before it", ROW_TIME, OID_TIMESTAMPTZ, "\x7f\xfc\xa2\xfe\xc4\xc8\x1f\xfe", 8,
     "9223372036854775806"},
    {"minus infinity", ROW_TIME, OID_TIMESTAMPTZ, "\x80\0\0\0\0\0\0\0", 8, "-9222425352054775808"},
};

static void check_value(const struct value_case *c)
{
	const struct col col = {"x", c->oid, 1};
	const struct row_col row_col = {"x", c->type, offset_of(c->type)};
	const struct row_shape shape = {&row_col, 1, sizeof(struct any)};
	struct err err = {0};
	struct any any;
	char said[128];
	PGresult *res = new_result(&col, 1);
	char *bytes = c->len < 0 ? NULL : malloc((size_t)c->len + 1);
	if (bytes)
		memcpy(bytes, c->bytes, (size_t)c->len);
	assert_int_equal(PQsetvalue(res, 0, 0, bytes, c->len), 1);
	free(bytes);
	assert_int_equal(row_count(pg_wrap(res)), 1);
	if (row_check(pg_wrap(res), &shape, &err) < 0)
		fail_msg("%s: %s", c->name, err.text);
	memset(&any, 0x5a, sizeof(any)); /* every field is set, NULL or not */
	row_get(pg_wrap(res), &shape, 0, &any);
	tell(&any, c->type, said, sizeof(said));
	if (strcmp(said, c->want) != 0)
		fail_msg("%s: %s", c->name, said);
	PQclear(res);
}

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(value_cases); i++)
		check_value(&value_cases[i]);
}

static void test_the_end_of_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(late_cases); i++)
		check_value(&late_cases[i]);
}

/* ---- types ---- */

static const Oid all_oids[] = {
    OID_BOOL,    OID_BYTEA,  OID_INT8,    OID_INT2,    OID_INT4,      OID_TEXT,
    OID_OID,     OID_FLOAT8, OID_UNKNOWN, OID_VARCHAR, OID_TIMESTAMP, OID_TIMESTAMPTZ,
    OID_NUMERIC, OID_UUID,   OID_JSONB,   0,           99999,
};
static const struct type_case {
	const char *name;
	enum row_type type;
	Oid taken[4]; /* of all_oids; none else */
} type_cases[] = {
    {"i64", ROW_I64, {OID_INT8, OID_INT4, OID_INT2}},
    {"bool", ROW_BOOL, {OID_BOOL}},
    {"text", ROW_TEXT, {OID_TEXT, OID_VARCHAR}},
    {"json", ROW_JSON, {OID_JSONB}},
    {"uuid", ROW_UUID, {OID_UUID}},
    {"time", ROW_TIME, {OID_TIMESTAMPTZ}},
    {"no type at all", (enum row_type)99, {0}},
};

static bool taken(const struct type_case *c, Oid oid)
{
	for (size_t i = 0; i < N_OF(c->taken) && c->taken[i]; i++)
		if (c->taken[i] == oid)
			return true;
	return false;
}

/* Every type of ours with every type of theirs, in both formats. */
static void test_types(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(type_cases); i++)
		for (size_t n = 0; n < 2 * N_OF(all_oids); n++) {
			const struct type_case *c = &type_cases[i];
			const struct col col = {"x", all_oids[n / 2], n % 2};
			const struct row_col row_col = {"x", c->type, offset_of(c->type)};
			const struct row_shape shape = {&row_col, 1, sizeof(struct any)};
			struct err err = {0};
			PGresult *res = new_result(&col, 1);
			int rc = row_check(pg_wrap(res), &shape, &err);
			PQclear(res);
			if (rc != (taken(c, col.oid) && col.format == 1 ? 0 : -1))
				fail_msg("%s with type %u in format %d: %d", c->name, col.oid, col.format, rc);
			if (rc < 0 && (err.kind != ERR_FATAL || strcmp(err.code, "row_shape") != 0))
				fail_msg("%s: %s \"%s\"", c->name, err_kind_name(err.kind), err.code);
		}
}

/* ---- shapes ---- */

struct person {
	int64_t id;
	const char *name;
	bool alive;
};
static const struct row_col person_cols[] = {
    {"id", ROW_I64, offsetof(struct person, id)},
    {"name", ROW_TEXT, offsetof(struct person, name)},
    {"alive", ROW_BOOL, offsetof(struct person, alive)},
};
static const struct row_shape person_shape = {person_cols, N_OF(person_cols),
                                              sizeof(struct person)};

/* clang-format off */
static const struct shape_case {
	const char *name;
	struct col cols[4];
	int count;
	const char *want; /* the error; NULL: none */
} shape_cases[] = {
	{"as it should be", {{"id", OID_INT8, 1}, {"name", OID_TEXT, 1}, {"alive", OID_BOOL, 1}}, 3,
	 NULL},
	{"a narrower number", {{"id", OID_INT4, 1}, {"name", OID_TEXT, 1}, {"alive", OID_BOOL, 1}}, 3,
	 NULL},
	{"no columns", {{"", 0, 0}}, 0, "a result has 0 columns instead of 3"},
	{"one too few", {{"id", OID_INT8, 1}, {"name", OID_TEXT, 1}}, 2,
	 "a result has 2 columns instead of 3"},
	{"one too many",
	 {{"id", OID_INT8, 1}, {"name", OID_TEXT, 1}, {"alive", OID_BOOL, 1}, {"x", OID_BOOL, 1}}, 4,
	 "a result has 4 columns instead of 3"},
	{"another name", {{"id", OID_INT8, 1}, {"label", OID_TEXT, 1}, {"alive", OID_BOOL, 1}}, 3,
	 "column 2 of a result is label (type 25), not name"},
	{"beginning of a name", {{"id", OID_INT8, 1}, {"nam", OID_TEXT, 1}, {"alive", OID_BOOL, 1}}, 3,
	 "column 2 of a result is nam (type 25), not name"},
	{"name in capitals", {{"ID", OID_INT8, 1}, {"name", OID_TEXT, 1}, {"alive", OID_BOOL, 1}}, 3,
	 "column 1 of a result is ID (type 20), not id"},
	{"another order", {{"name", OID_TEXT, 1}, {"id", OID_INT8, 1}, {"alive", OID_BOOL, 1}}, 3,
	 "column 1 of a result is name (type 25), not id"},
	{"another type", {{"id", OID_INT8, 1}, {"name", OID_TEXT, 1}, {"alive", OID_INT4, 1}}, 3,
	 "column 3 of a result is alive (type 23), not alive"},
	{"text format", {{"id", OID_INT8, 1}, {"name", OID_TEXT, 0}, {"alive", OID_BOOL, 1}}, 3,
	 "column 2 of a result is name (type 25), not name"},
};
/* clang-format on */

static void test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(shape_cases); i++) {
		const struct shape_case *c = &shape_cases[i];
		struct err err = {0};
		PGresult *res = new_result(c->cols, c->count);
		int rc = row_check(pg_wrap(res), &person_shape, &err);
		PQclear(res);
		if (rc != (c->want ? -1 : 0) || strcmp(err.text, c->want ? c->want : "") != 0)
			fail_msg("%s: %d \"%s\"", c->name, rc, err.text);
		if (rc < 0 && (err.kind != ERR_FATAL || strcmp(err.code, "row_shape") != 0))
			fail_msg("%s: %s \"%s\"", c->name, err_kind_name(err.kind), err.code);
	}
}

static void add_person(PGresult *res, int row, int64_t id, const char *name, char *alive)
{
	uint64_t id_bytes = htobe64((uint64_t)id);
	char *name_bytes = name ? strdup(name) : NULL;
	assert_int_equal(PQsetvalue(res, row, 0, (char *)&id_bytes, sizeof(id_bytes)), 1);
	assert_int_equal(PQsetvalue(res, row, 1, name_bytes, name ? (int)strlen(name) : -1), 1);
	assert_int_equal(PQsetvalue(res, row, 2, alive, alive ? 1 : -1), 1);
	free(name_bytes);
}

static void test_rows(void **state)
{
	(void)state;
	static const struct person want[] = {{1, "ann", true}, {-2, NULL, false}, {3, "", false}};
	char yes[] = {1}, no[] = {0};
	struct err err = {0};
	PGresult *res = new_result(shape_cases[0].cols, 3);
	assert_int_equal(row_count(pg_wrap(res)), 0);
	assert_int_equal(row_check(pg_wrap(res), &person_shape, &err), 0); /* fine without rows, too */
	add_person(res, 0, 1, "ann", yes);
	add_person(res, 1, -2, NULL, NULL);
	add_person(res, 2, 3, "", no);
	assert_int_equal(row_count(pg_wrap(res)), 3);
	for (int i = 2; i >= 0; i--) {
		struct person person;
		memset(&person, 0x5a, sizeof(person));
		row_get(pg_wrap(res), &person_shape, i, &person);
		assert_int_equal(person.id, want[i].id);
		assert_int_equal(person.alive, want[i].alive);
		assert_int_equal(person.name != NULL, want[i].name != NULL);
		if (want[i].name)
			assert_string_equal(person.name, want[i].name);
	}
	PQclear(res);
}

static void test_texts_live_as_long_as_the_result(void **state)
{
	(void)state;
	char yes[] = {1};
	struct person a, b;
	PGresult *res = new_result(shape_cases[0].cols, 3);
	add_person(res, 0, 1, "ann", yes);
	add_person(res, 1, 2, "bob", yes);
	row_get(pg_wrap(res), &person_shape, 0, &a);
	row_get(pg_wrap(res), &person_shape, 1, &b);
	assert_string_equal(a.name, "ann");
	assert_string_equal(b.name, "bob");
	assert_ptr_equal(a.name, PQgetvalue(res, 0, 1));
	PQclear(res);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_types),
	    cmocka_unit_test(test_shapes),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_texts_live_as_long_as_the_result),
	    cmocka_unit_test(test_the_end_of_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
