#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reconcile/reconcile.h"

/* Every class has its rows, and the defaults are what the documentation says. */
static void settings_have_defaults(void **state)
{
	(void)state;
	static const struct config_section *const sections[] = {&reconcile_section};
	static const int64_t graces[CLASS_COUNT] = {
	    [CLASS_UNRELEASED] = 600000,       [CLASS_MISSED_EVENT] = 300000,
	    [CLASS_STALE_MAPPING] = 120000,    [CLASS_GHOST] = 300000,
	    [CLASS_RESURRECTED] = 60000,       [CLASS_STUCK_LEASE] = 60000,
	    [CLASS_ORPHAN_SANDBOX] = 900000,   [CLASS_ORPHAN_VOLUME] = 3600000,
	    [CLASS_ORPHAN_SNAPSHOT] = 3600000,
	};
	static const char *const overrides[] = {"reconcile.ghost_enabled=no"};
	struct reconcile_config config;
	struct err err = {0};
	struct config *file = config_load(NULL, sections, 1, overrides, 1, &err);
	if (!file || config_read(file, &reconcile_section, &config, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < CLASS_COUNT; i++) {
		char key[64];
		(void)snprintf(key, sizeof(key), "%s_grace_ms",
		               reconcile_class_name((enum reconcile_class)i));
		size_t at = 0;
		while (strcmp(reconcile_section.rows[at].key, key) != 0)
			assert_true(++at < reconcile_section.row_count);
		assert_int_equal(reconcile_section.rows[at].offset,
		                 offsetof(struct reconcile_config, grace_ms) + sizeof(int64_t) * (size_t)i);
		assert_int_equal(config.grace_ms[i], graces[i]);
		assert_int_equal(config.enabled[i], i != CLASS_GHOST);
	}
	assert_string_equal(config.mode, "repair");
	assert_int_equal(config.max_acts, 500);
	assert_int_equal(config.gets_max, 2000);
	assert_true(config.adopt_volumes);
	config_free(file);
}

static void names_go_both_ways(void **state)
{
	(void)state;
	enum reconcile_class class_;
	for (int i = 0; i < CLASS_COUNT; i++) {
		assert_int_equal(
		    reconcile_class_parse(reconcile_class_name((enum reconcile_class)i), &class_), 0);
		assert_int_equal(class_, i);
	}
	assert_int_equal(reconcile_class_parse("ghosts", &class_), -1);
	assert_int_equal(reconcile_class_parse("", &class_), -1);
	assert_string_equal(reconcile_verdict_name(VERDICT_PARTLY), "repaired_in_part");
	assert_string_equal(reconcile_verdict_name((enum reconcile_verdict)99), "unknown");
	assert_string_equal(reconcile_class_name(CLASS_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(settings_have_defaults),
	    cmocka_unit_test(names_go_both_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
