#include "settings.h"

#include <string.h>

enum setting_kind { SETTING_I64, SETTING_BOOL, SETTING_PERCENT, SETTING_TEXT };
struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset;
	int64_t min, max, def;
};

#define OFFSET(field) offsetof(struct settings, field)
#define YEAR_MS (365LL * 24 * 3600 * 1000)

static const struct setting table[] = {
    {"finalizer_ms", SETTING_I64, OFFSET(finalizer_ms), -1, YEAR_MS, 1000},
    {"mount_linger_ms", SETTING_I64, OFFSET(mount_linger_ms), 0, YEAR_MS, 15000},
    {"latency_ms", SETTING_I64, OFFSET(latency_ms), 0, 3600000, 0},
    {"cache_lag_ms", SETTING_I64, OFFSET(cache_lag_ms), 0, YEAR_MS, 0},
    {"hang_ms", SETTING_I64, OFFSET(hang_ms), 1, 86400000, 600000},
    {"terminating", SETTING_BOOL, OFFSET(terminating), 0, 1, 1},
    {"get_404_percent", SETTING_PERCENT, OFFSET(get_404_percent), 0, 100, 0},
    {"list_skip_percent", SETTING_PERCENT, OFFSET(list_skip_percent), 0, 100, 0},
    {"list_cluster_cap", SETTING_I64, OFFSET(list_cluster_cap), 0, INT32_MAX, 0},
    {"list_count_delta", SETTING_I64, OFFSET(list_count_delta), INT32_MIN, INT32_MAX, 0},
    {"list_lenient", SETTING_BOOL, OFFSET(list_lenient), 0, 1, 0},
    {"list_has_more_at_end", SETTING_BOOL, OFFSET(list_has_more_at_end), 0, 1, 0},
    {"list_empty", SETTING_BOOL, OFFSET(list_empty), 0, 1, 0},
    {"list_half_page", SETTING_BOOL, OFFSET(list_half_page), 0, 1, 0},
    {"list_shift", SETTING_I64, OFFSET(list_shift), -200, 200, 0},
    {"list_drop_cluster", SETTING_TEXT, OFFSET(list_drop_cluster), 0, 0, 0},
    {"volume_list_skip_percent", SETTING_PERCENT, OFFSET(volume_list_skip_percent), 0, 100, 0},
    {"volume_list_empty", SETTING_BOOL, OFFSET(volume_list_empty), 0, 1, 0},
    {"claim_cluster", SETTING_TEXT, OFFSET(claim_cluster), 0, 0, 0},
    {"journal", SETTING_BOOL, OFFSET(journal), 0, 1, 1},
    {"journal_max", SETTING_I64, OFFSET(journal_max), 1, 100000000, 2000000},
    {"seed", SETTING_I64, OFFSET(seed), 0, INT64_MAX, 1},
};

void settings_init(struct settings *settings)
{
	*settings = (struct settings){0};
	for (size_t i = 0; i < N_OF(table); i++) {
		char *at = (char *)settings + table[i].offset;
		if (table[i].kind == SETTING_I64)
			memcpy(at, &table[i].def, sizeof(table[i].def));
		else if (table[i].kind == SETTING_BOOL)
			*(bool *)at = table[i].def != 0;
	}
}

static const struct setting *find(const char *name)
{
	for (size_t i = 0; i < N_OF(table); i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

static int refuse(const struct setting *row, struct err *err)
{
	static const char *const wants[] = {"a whole number", "true or false", "a number", "a text"};
	if (row->kind != SETTING_I64 && row->kind != SETTING_PERCENT)
		return err_set(err, ERR_REJECT, "bad_setting", "%s must be %s", row->name,
		               wants[row->kind]);
	return err_set(err, ERR_REJECT, "bad_setting", "%s must be %s from %lld to %lld", row->name,
	               wants[row->kind], (long long)row->min, (long long)row->max);
}

static int set_text(const struct setting *row, const json_t *value, char *at, struct err *err)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	/* It goes into JSON as it is. */
	if (!text || len >= SETTINGS_TEXT_SIZE || strlen(text) != len || strpbrk(text, "\"\\"))
		return refuse(row, err);
	memcpy(at, text, len + 1);
	return 0;
}

static int set_one(const struct setting *row, const json_t *value, char *at, struct err *err)
{
	int64_t whole = json_integer_value(value);
	double number = json_number_value(value);
	switch (row->kind) {
	case SETTING_I64:
		if (!json_is_integer(value) || whole < row->min || whole > row->max)
			return refuse(row, err);
		memcpy(at, &whole, sizeof(whole));
		return 0;
	case SETTING_PERCENT:
		if (!json_is_number(value) || number < 0 || number > 100)
			return refuse(row, err);
		memcpy(at, &number, sizeof(number));
		return 0;
	case SETTING_BOOL:
		if (!json_is_boolean(value))
			return refuse(row, err);
		*(bool *)at = json_is_true(value);
		return 0;
	case SETTING_TEXT: return set_text(row, value, at, err);
	}
	return refuse(row, err);
}

int settings_update(struct settings *settings, json_t *object, struct err *err)
{
	if (!json_is_object(object))
		return err_set(err, ERR_REJECT, "bad_json", "a JSON object is expected");
	struct settings changed = *settings;
	const char *name;
	json_t *value;
	json_object_foreach (object, name, value) {
		const struct setting *row = find(name);
		if (!row)
			return err_set(err, ERR_REJECT, "bad_setting", "there is no setting %.60s", name);
		if (set_one(row, value, (char *)&changed + row->offset, err) < 0)
			return -1;
	}
	*settings = changed;
	return 0;
}

static void write_one(const struct setting *row, const char *at, struct buf *out)
{
	int64_t whole;
	double number;
	switch (row->kind) {
	case SETTING_I64:
		memcpy(&whole, at, sizeof(whole));
		(void)buf_i64(out, whole);
		break;
	case SETTING_PERCENT:
		memcpy(&number, at, sizeof(number));
		(void)buf_printf(out, "%g", number);
		break;
	case SETTING_BOOL: (void)buf_str(out, *(const bool *)at ? "true" : "false"); break;
	case SETTING_TEXT: (void)buf_printf(out, "\"%s\"", at); break;
	}
}

void settings_write(const struct settings *settings, struct buf *out)
{
	for (size_t i = 0; i < N_OF(table); i++) {
		(void)buf_printf(out, "%c\"%s\":", i ? ',' : '{', table[i].name);
		write_one(&table[i], (const char *)settings + table[i].offset, out);
	}
	(void)buf_char(out, '}');
}
