#include "store_api.h"

#include <string.h>

#include "pg_sync.h"
#include "row.h"

struct id_row {
	struct uuid id;
};
static const struct row_col id_cols[] = {{"id", ROW_UUID, offsetof(struct id_row, id)}};
static const struct row_shape id_shape = {id_cols, N_OF(id_cols), sizeof(struct id_row)};

static const struct row_col list_cols[] = {
    {"id", ROW_UUID, offsetof(struct store_key_row, id)},
    {"team_id", ROW_UUID, offsetof(struct store_key_row, team_id)},
    {"name", ROW_TEXT, offsetof(struct store_key_row, name)},
    {"region", ROW_TEXT, offsetof(struct store_key_row, region)},
    {"scope", ROW_TEXT, offsetof(struct store_key_row, scope)},
    {"permissions", ROW_TEXT, offsetof(struct store_key_row, permissions)},
    {"created_at", ROW_TIME, offsetof(struct store_key_row, created_at_us)},
    {"expires_at", ROW_TIME, offsetof(struct store_key_row, expires_at_us)},
    {"revoked_at", ROW_TIME, offsetof(struct store_key_row, revoked_at_us)},
};
static const struct row_shape list_shape = {list_cols, N_OF(list_cols),
                                            sizeof(struct store_key_row)};

/* No role of a program has any right on the keys. */
static int run_as_owner(struct pg_sync *sync, enum query_id query, const struct pg_params *params,
                        struct pg_result **ret, struct err *err)
{
	struct err failed = {0};
	if (pg_sync_run(sync, query, params, ret, &failed) == 0)
		return 0;
	if (strcmp(failed.code, "42501") == 0)
		return err_set(
		    err, ERR_REJECT, "config",
		    "only the owner of the schema sees and makes API keys; let postgres.dsn name "
		    "the login that runs `sandsweep migrate up`");
	return err_set(err, failed.kind, failed.code, "%s", failed.text);
}

/* "a,b" as an array of two. */
static void permissions_param(struct pg_params *params, const char *list)
{
	char item[128];
	pg_param_array(params);
	while (*list) {
		size_t len = 0;
		for (; *list && *list != ','; list++)
			if (*list != ' ' && len + 1 < sizeof(item))
				item[len++] = *list;
		item[len] = '\0';
		pg_item_text(params, item);
		list += *list == ',';
	}
	pg_param_array_end(params);
}

static void positive_param(struct pg_params *params, int64_t value)
{
	if (value > 0)
		pg_param_i64(params, value);
	else
		pg_param_null(params);
}

int store_key_create(struct pg_sync *sync, const struct store_key_new *key, struct uuid *ret_id,
                     struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct id_row row;
	pg_params_init(&params);
	pg_param_text(&params, key->sha256_hex);
	pg_param_text(&params, key->name);
	pg_param_text(&params, key->region);
	pg_param_uuid(&params, &key->team_id);
	pg_param_uuid(&params, &key->principal);
	permissions_param(&params, key->permissions);
	positive_param(&params, key->expires_in_s);
	positive_param(&params, key->rate_per_second);
	if (run_as_owner(sync, QUERY_KEY_CREATE, &params, &res, err) < 0 ||
	    row_check(res, &id_shape, err) < 0)
		return -1;
	row_get(res, &id_shape, 0, &row);
	*ret_id = row.id;
	return 0;
}

int store_key_list(struct pg_sync *sync, void (*fn)(void *arg, const struct store_key_row *row),
                   void *arg, struct err *err)
{
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	struct store_key_row row;
	if (run_as_owner(sync, QUERY_KEY_LIST, NULL, &res, err) < 0 ||
	    row_check(res, &list_shape, err) < 0)
		return -1;
	for (int i = 0; i < row_count(res); i++) {
		row_get(res, &list_shape, i, &row);
		fn(arg, &row);
	}
	return 0;
}

int store_key_revoke(struct pg_sync *sync, const struct uuid *id, bool *ret_found, struct err *err)
{
	AUTO(pg_params_done) struct pg_params params;
	AUTO(pg_sync_drop) struct pg_result *res = NULL;
	pg_params_init(&params);
	pg_param_uuid(&params, id);
	if (run_as_owner(sync, QUERY_KEY_REVOKE, &params, &res, err) < 0)
		return -1;
	*ret_found = row_count(res) > 0;
	return 0;
}
