#include "sql/pg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sql/pg_private.h"

/* PostgreSQL's Appendix A, class by class. */
static const struct state_case {
	const char *state; /* NULL: the connection broke */
	enum err_kind want;
	const char *name;
} state_cases[] = {
    {NULL, ERR_RETRY, "no answer"},
    {"", ERR_RETRY, "an answer without one"},

    {"08000", ERR_RETRY, "connection_exception"},
    {"08003", ERR_RETRY, "connection_does_not_exist"},
    {"08006", ERR_RETRY, "connection_failure"},
    {"08P01", ERR_RETRY, "protocol_violation"},
    {"25006", ERR_RETRY, "read_only_sql_transaction: a standby"},
    {"25P03", ERR_RETRY, "idle_in_transaction_session_timeout: the server hung up on us"},
    {"40001", ERR_RETRY, "serialization_failure"},
    {"40003", ERR_RETRY, "statement_completion_unknown"},
    {"40P01", ERR_RETRY, "deadlock_detected"},
    {"53000", ERR_RETRY, "insufficient_resources"},
    {"53100", ERR_RETRY, "disk_full"},
    {"53200", ERR_RETRY, "out_of_memory"},
    {"53300", ERR_RETRY, "too_many_connections"},
    {"55006", ERR_RETRY, "object_in_use"},
    {"55P03", ERR_RETRY, "lock_not_available"},
    {"57014", ERR_RETRY, "query_canceled: statement_timeout"},
    {"57P01", ERR_RETRY, "admin_shutdown"},
    {"57P02", ERR_RETRY, "crash_shutdown"},
    {"57P03", ERR_RETRY, "cannot_connect_now"},
    {"57P05", ERR_RETRY, "idle_session_timeout"},
    {"58030", ERR_RETRY, "io_error"},

    {"22001", ERR_REJECT, "string_data_right_truncation"},
    {"22003", ERR_REJECT, "numeric_value_out_of_range"},
    {"22021", ERR_REJECT, "character_not_in_repertoire"},
    {"22P02", ERR_REJECT, "invalid_text_representation"},
    {"22P05", ERR_REJECT, "untranslatable_character"},
    {"23502", ERR_REJECT, "not_null_violation"},
    {"23503", ERR_REJECT, "foreign_key_violation"},
    {"23505", ERR_REJECT, "unique_violation"},
    {"23514", ERR_REJECT, "check_violation"},
    {"SW001", ERR_REJECT, "our own: an edge that is none"},
    {"SW002", ERR_REJECT, "our own: a changed identity"},
    {"SW003", ERR_REJECT, "our own: mapped again"},

    {"0A000", ERR_FATAL, "feature_not_supported"},
    {"25001", ERR_FATAL, "active_sql_transaction"},
    {"25P01", ERR_FATAL, "no_active_sql_transaction"},
    {"25P02", ERR_FATAL, "in_failed_sql_transaction"},
    {"26000", ERR_FATAL, "invalid_sql_statement_name"},
    {"28000", ERR_FATAL, "invalid_authorization_specification"},
    {"28P01", ERR_FATAL, "invalid_password"},
    {"3D000", ERR_FATAL, "invalid_catalog_name: no such database"},
    {"3F000", ERR_FATAL, "invalid_schema_name"},
    {"42501", ERR_FATAL, "insufficient_privilege"},
    {"42601", ERR_FATAL, "syntax_error"},
    {"42703", ERR_FATAL, "undefined_column"},
    {"42883", ERR_FATAL, "undefined_function"},
    {"42P01", ERR_FATAL, "undefined_table"},
    {"42P18", ERR_FATAL, "indeterminate_datatype"},
    {"P0001", ERR_FATAL, "raise_exception"},
    {"XX000", ERR_FATAL, "internal_error"},
    {"XX001", ERR_FATAL, "data_corrupted"},
    {"99999", ERR_FATAL, "unknown"},
    {"sw001", ERR_FATAL, "in small letters"},
    {"0", ERR_FATAL, "half a class"},
    {"2500", ERR_FATAL, "part of a state"},
};

static void test_states(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < N_OF(state_cases); i++) {
		const struct state_case *c = &state_cases[i];
		enum err_kind kind = pg_sqlstate_kind(c->state);
		if (kind != c->want) {
			print_error("%s (%s): %s\n", c->state, c->name, err_kind_name(kind));
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* A result without a state is one that this end made: the connection is gone. */
static void test_errors_without_a_server(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(pg_result_err(&err, NULL, NULL, "claim"), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.code, "connection");
	assert_string_equal(err.text, "claim: connection pointer is NULL");

	PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
	err = (struct err){0};
	assert_int_equal(pg_result_err(&err, res, NULL, "record"), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.code, "connection");
	assert_memory_equal(err.text, "record: ", 8);
	PQclear(res);
}

/* ---- what a connection is opened with ---- */

static const char *find(const char *const *keys, const char *const *values, const char *key)
{
	const char *found = NULL;
	for (int i = 0; i < PG_CONNINFO_MAX && keys[i]; i++)
		if (strcmp(keys[i], key) == 0) {
			assert_null(found); /* once */
			found = values[i];
		}
	return found ? found : "missing";
}

static const struct conninfo_case {
	const char *name;
	int64_t query_ms, connect_ms;
	const char *want_statement, *want_lock, *want_connect;
} conninfo_cases[] = {
    {"defaults", 15000, 5000, "-c statement_timeout=15000 ", "-c lock_timeout=15000 ", "5"},
    {"lowest", 100, 100, "-c statement_timeout=100 ", "-c lock_timeout=100 ", "1"},
    {"rounded up", 100, 5001, "-c statement_timeout=100 ", "-c lock_timeout=100 ", "6"},
    {"highest", 600000, 60000, "-c statement_timeout=600000 ", "-c lock_timeout=600000 ", "60"},
    {"longer than any", INT64_MAX, 60000, "-c statement_timeout=9223372036854775807 ",
     "-c lock_timeout=9223372036854775807 ", "60"},
};

static const struct role_case {
	enum pg_role role;
	const char *name; /* NULL: the login's own rights */
	const char *want;
} role_cases[] = {
    {PG_ROLE_LOGIN, NULL, ""},
    {PG_ROLE_API, "sandsweep_api", " -c role=sandsweep_api"},
    {PG_ROLE_WORKER, "sandsweep_worker", " -c role=sandsweep_worker"},
    {PG_ROLE_RECONCILE, "sandsweep_reconcile", " -c role=sandsweep_reconcile"},
};

static void check_conninfo(const struct conninfo_case *c, bool prepares, const struct role_case *r)
{
	const struct pg_config config = {.dsn = "host=x dbname=y",
	                                 .query_timeout_ms = c->query_ms,
	                                 .connect_timeout_ms = c->connect_ms,
	                                 .role = r->role};
	const char *ending =
	    prepares ? "-c jit=off -c plan_cache_mode=force_generic_plan" : "-c jit=off";
	char scratch[PG_SCRATCH_SIZE];
	const char *keys[PG_CONNINFO_MAX] = {0}, *values[PG_CONNINFO_MAX] = {0};
	memset(scratch, 'x', sizeof(scratch));
	pg_conninfo(&config, prepares, scratch, keys, values);
	assert_null(keys[PG_CONNINFO_MAX - 1]); /* the list has its end */
	/* The DSN comes first: ours win over what it says. */
	assert_string_equal(keys[0], "dbname");
	assert_ptr_equal(values[0], config.dsn);
	assert_string_equal(find(keys, values, "application_name"), "sandsweep");
	assert_string_equal(find(keys, values, "client_encoding"), "UTF8");
	assert_string_equal(find(keys, values, "connect_timeout"), c->want_connect);
	const char *options = find(keys, values, "options");
	const char *end = strstr(options, ending);
	if (!strstr(options, c->want_statement) || !strstr(options, c->want_lock) ||
	    !strstr(options, "-c idle_in_transaction_session_timeout=60000 ") || !end)
		fail_msg("%s: %s", c->name, options);
	/* The last of them is whole: nothing was cut off. */
	assert_string_equal(end + strlen(ending), r->want);
}

static void test_conninfo(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * N_OF(conninfo_cases); i++)
		for (size_t r = 0; r < N_OF(role_cases); r++)
			check_conninfo(&conninfo_cases[i / 2], i % 2, &role_cases[r]);
}

/* ---- the section ---- */

static const struct config_section *const sections[] = {&pg_section};

static const struct section_case {
	const char *name, *override;
	bool taken;
} section_cases[] = {
    {"dsn", "postgres.dsn=host=x", true},
    {"file of the dsn", "postgres.dsn_file=x", true},
    {"lowest pool", "postgres.pool_size=1", true},
    {"no pool", "postgres.pool_size=0", false},
    {"highest pool", "postgres.pool_size=64", true},
    {"past it", "postgres.pool_size=65", false},
    {"lowest time to connect", "postgres.connect_timeout_ms=100", true},
    {"below it", "postgres.connect_timeout_ms=99", false},
    {"highest time to connect", "postgres.connect_timeout_ms=60000", true},
    {"past it", "postgres.connect_timeout_ms=60001", false},
    {"lowest time of a statement", "postgres.query_timeout_ms=100", true},
    {"below it", "postgres.query_timeout_ms=99", false},
    {"highest time of a statement", "postgres.query_timeout_ms=600000", true},
    {"past it", "postgres.query_timeout_ms=600001", false},
    {"fewest waiting", "postgres.pending_max=1", true},
    {"none waiting", "postgres.pending_max=0", false},
    {"most waiting", "postgres.pending_max=65536", true},
    {"past it", "postgres.pending_max=65537", false},
    {"unknown key", "postgres.poolsize=1", false},
};

static void test_section(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(section_cases); i++) {
		const struct section_case *c = &section_cases[i];
		struct err err = {0};
		struct config *config = config_load(NULL, sections, 1, &c->override, 1, &err);
		if ((config != NULL) != c->taken)
			fail_msg("%s: %s", c->override, config ? "taken" : err.text);
		config_free(config);
	}
}

/* The role is the program's own choice: there is no setting for it. */
static void test_role(void **state)
{
	(void)state;
	const char *overrides[] = {"postgres.dsn=host=x", "postgres.role=sandsweep_worker"};
	struct err err = {0};
	assert_null(config_load(NULL, sections, 1, overrides, 2, &err));
	for (size_t i = 0; i < N_OF(role_cases); i++) {
		const struct role_case *r = &role_cases[i];
		struct pg_config pg;
		memset(&pg, 'x', sizeof(pg));
		err = (struct err){0};
		struct config *config = config_load(NULL, sections, 1, overrides, 1, &err);
		assert_non_null(config);
		assert_int_equal(pg_config_read(config, r->role, &pg, &err), 0);
		assert_int_equal(pg.role, r->role);
		assert_string_equal(pg.dsn, "host=x");
		const char *name = pg_role_name(r->role);
		assert_true(r->name ? name && strcmp(name, r->name) == 0 : !name);
		config_free(config);
	}
}

/* Only the DSN is required, and only the DSN is secret. */
static void test_section_with_nothing_but_a_dsn(void **state)
{
	(void)state;
	const char *overrides[] = {"postgres.dsn=host=hidden"};
	struct pg_config pg;
	struct err err = {0};
	struct config *config = config_load(NULL, sections, 1, NULL, 0, &err);
	assert_non_null(config);
	assert_int_equal(pg_config_read(config, PG_ROLE_API, &pg, &err), -1);
	config_free(config);
	err = (struct err){0};
	config = config_load(NULL, sections, 1, overrides, 1, &err);
	assert_non_null(config);
	if (config_read(config, &pg_section, &pg, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(pg.dsn, "host=hidden");
	assert_true(pg.pool_size > 0 && pg.connect_timeout_ms > 0 && pg.query_timeout_ms > 0 &&
	            pg.pending_max > 0);
	char text[512] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	config_dump(config, out);
	(void)fclose(out);
	assert_non_null(strstr(text, "postgres.dsn=(secret)\n"));
	assert_null(strstr(text, "hidden"));
	assert_null(strstr(strstr(text, "(secret)") + 1, "(secret)"));
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_states),   cmocka_unit_test(test_errors_without_a_server),
	    cmocka_unit_test(test_conninfo), cmocka_unit_test(test_section),
	    cmocka_unit_test(test_role),     cmocka_unit_test(test_section_with_nothing_but_a_dsn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
