#include "pg.h"

#include <string.h>

void pg_params_init(struct pg_params *params)
{
	*params = (struct pg_params){0};
	buf_init(&params->text, PG_PARAMS_BYTES_MAX);
}

void pg_params_done(struct pg_params *params)
{
	buf_done(&params->text);
	params->count = params->team = 0;
}

void pg_params_clear(struct pg_params *params)
{
	buf_clear(&params->text);
	params->count = params->team = 0;
}

/* Begins the next value; false when there is no room for another. */
static bool begin(struct pg_params *params)
{
	if (params->count == PG_PARAMS_MAX) {
		params->text.failed = true;
		return false;
	}
	params->at[params->count++] = (int64_t)params->text.len;
	return true;
}

static void end(struct pg_params *params)
{
	(void)buf_char(&params->text, '\0');
}

void pg_param_null(struct pg_params *params)
{
	if (begin(params))
		params->at[params->count - 1] = -1;
}

void pg_param_text(struct pg_params *params, const char *value)
{
	if (!value) {
		pg_param_null(params);
	} else if (begin(params)) {
		(void)buf_str(&params->text, value);
		end(params);
	}
}

void pg_param_i64(struct pg_params *params, int64_t value)
{
	if (begin(params)) {
		(void)buf_i64(&params->text, value);
		end(params);
	}
}

void pg_param_bool(struct pg_params *params, bool value)
{
	pg_param_text(params, value ? "t" : "f");
}

void pg_param_uuid(struct pg_params *params, const struct uuid *value)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(value, text);
	pg_param_text(params, uuid_is_nil(value) ? NULL : text);
}

void pg_param_team(struct pg_params *params, const struct uuid *value)
{
	pg_param_uuid(params, value);
	params->team = params->count;
}

/* ---- arrays, in Postgres' text form: {a,"b",NULL} ---- */

void pg_param_array(struct pg_params *params)
{
	(void)begin(params);
	(void)buf_char(&params->text, '{');
}

static void separate(struct pg_params *params)
{
	if (params->text.len > 0 && params->text.data[params->text.len - 1] != '{')
		(void)buf_char(&params->text, ',');
}

void pg_item_text(struct pg_params *params, const char *value)
{
	separate(params);
	if (!value) {
		(void)buf_str(&params->text, "NULL");
		return;
	}
	(void)buf_char(&params->text, '"');
	for (const char *p = value; *p; p++) {
		if (*p == '"' || *p == '\\')
			(void)buf_char(&params->text, '\\');
		(void)buf_char(&params->text, *p);
	}
	(void)buf_char(&params->text, '"');
}

void pg_item_i64(struct pg_params *params, int64_t value)
{
	separate(params);
	(void)buf_i64(&params->text, value);
}

void pg_item_bool(struct pg_params *params, bool value)
{
	separate(params);
	(void)buf_char(&params->text, value ? 't' : 'f');
}

void pg_item_uuid(struct pg_params *params, const struct uuid *value)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(value, text);
	separate(params);
	(void)buf_str(&params->text, uuid_is_nil(value) ? "NULL" : text);
}

void pg_param_array_end(struct pg_params *params)
{
	(void)buf_char(&params->text, '}');
	end(params);
}
