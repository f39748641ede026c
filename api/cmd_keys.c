#include "cmd_keys.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "auth.h"
#include "base/json.h"
#include "base/num.h"
#include "base/rand.h"
#include "ratelimit.h"
#include "sql/migrate.h"
#include "sql/store_api.h"

enum {
	NAME_MAX_BYTES = 255,
	PERMISSIONS_SIZE = 256,
	EXPIRES_MAX_S = 315360000, /* ten years */
};

/* What the command line says, as it says it. */
struct words {
	const char *team, *name, *region, *permissions, *role, *user, *expires, *rate, *output;
	bool platform;
};

static int usage(struct err *err, const char *text)
{
	return err_set(err, ERR_REJECT, "usage", "%s", text);
}

/* ---- reading the words ---- */

static bool known_permission(const char *word, size_t len)
{
	static const char *const known[] = {"function:read",
	                                    "function:create",
	                                    "function:write",
	                                    "function:delete",
	                                    "function:*",
	                                    "*",
	                                    "*:*"};
	for (size_t i = 0; i < N_OF(known); i++)
		if (strlen(known[i]) == len && memcmp(known[i], word, len) == 0)
			return true;
	return false;
}

/* A list that the store can take as it is: every word known, single commas between. */
static int check_permissions(const char *list, struct err *err)
{
	const char *word = list;
	for (;;) {
		size_t len = strcspn(word, ",");
		if (!known_permission(word, len))
			return err_set(err, ERR_REJECT, "usage",
			               "unknown permission \"%.*s\"; there are function:read, function:create, "
			               "function:write, function:delete and *",
			               (int)len, word);
		if (word[len] == '\0')
			return strlen(list) < PERMISSIONS_SIZE
			           ? 0
			           : usage(err, "the list of permissions is too long");
		word += len + 1;
	}
}

static int permissions_of(const struct words *w, const char **ret, struct err *err)
{
	static const char all[] = "function:read,function:create,function:write,function:delete";
	static const struct {
		const char *role, *permissions;
	} roles[] = {{"admin", all},
	             {"developer", all},
	             {"builder", "function:read"},
	             {"viewer", "function:read"}};
	if (w->permissions && w->role)
		return usage(err, "--permissions and --role exclude each other");
	if (w->platform && (w->role || (w->permissions && strcmp(w->permissions, "*") != 0)))
		return usage(err, "a platform key has every permission, nothing narrows it");
	if (w->permissions && check_permissions(w->permissions, err) < 0)
		return -1;
	*ret = w->platform ? "*" : w->permissions;
	const char *role = w->role ? w->role : "viewer";
	for (size_t i = 0; !*ret && i < N_OF(roles); i++)
		if (strcmp(roles[i].role, role) == 0)
			*ret = roles[i].permissions;
	return *ret ? 0 : usage(err, "--role is admin, developer, builder or viewer");
}

/* "90s", "30m", "12h", "30d", "8w" in seconds. */
static int seconds_of(const char *text, int64_t *ret, struct err *err)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	size_t len = strlen(text);
	for (size_t i = 0; len > 0 && i < N_OF(units); i++) {
		if (text[len - 1] != units[i].unit)
			continue;
		int64_t count;
		if (num_i64(text, len - 1, 1, EXPIRES_MAX_S / units[i].seconds, &count) < 0)
			break;
		*ret = count * units[i].seconds;
		return 0;
	}
	return usage(err, "--expires takes a number and s, m, h, d or w, up to ten years, such as 30d");
}

static int uuid_of(const char *option, const char *text, struct uuid *ret, struct err *err)
{
	if (uuid_parse(text, strlen(text), ret) < 0 || uuid_is_nil(ret))
		return err_set(err, ERR_REJECT, "usage", "%s takes a UUID, not \"%s\"", option, text);
	return 0;
}

static int read_key(const struct words *w, const char *region, struct store_key_new *key,
                    struct err *err)
{
	key->name = w->name ? w->name : "";
	key->region = w->region ? w->region : *region ? region : "local";
	if (!w->team == !w->platform)
		return usage(err, "say whose key it is: --team UUID or --platform");
	if (strlen(key->name) > NAME_MAX_BYTES)
		return usage(err, "--name takes at most 255 bytes");
	if (strlen(key->region) > 64 || !auth_region_valid(key->region, strlen(key->region)))
		return usage(err, "a region is written in lower-case letters, digits and single dashes");
	if ((w->team && uuid_of("--team", w->team, &key->team_id, err) < 0) ||
	    (w->user && uuid_of("--user", w->user, &key->principal, err) < 0) ||
	    (w->expires && seconds_of(w->expires, &key->expires_in_s, err) < 0) ||
	    permissions_of(w, &key->permissions, err) < 0)
		return -1;
	if (w->rate &&
	    num_i64(w->rate, strlen(w->rate), 1, RATELIMIT_PER_SECOND_MAX, &key->rate_per_second) < 0)
		return usage(err, "--rate takes requests per second, from 1 to 1000000");
	return 0;
}

/* ---- connections ---- */

static struct pg_sync *connect_store(const struct cmd_ctx *ctx, struct err *err)
{
	struct pg_config config;
	if (pg_config_read(ctx->config, PG_ROLE_LOGIN, &config, err) < 0)
		return NULL;
	struct pg_sync *sync = pg_sync_open(&config, err);
	if (sync && migrate_verify(sync, err) < 0)
		pg_sync_close(&sync);
	return sync;
}

/* ---- create ---- */

enum { SECRET_HEX_SIZE = 2 * AUTH_SECRET_BYTES + 1 };

static void make_key(const char *region, char out[AUTH_KEY_MAX + 1])
{
	uint8_t secret[AUTH_SECRET_BYTES];
	char hex[SECRET_HEX_SIZE];
	rand_bytes(secret, sizeof(secret));
	num_hex(secret, sizeof(secret), hex);
	(void)snprintf(out, AUTH_KEY_MAX + 1, "s0_%s_%s", region, hex);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(hex, sizeof(hex));
}

static json_t *permissions_json(const char *list)
{
	json_t *array = json_array();
	for (const char *word = list; *word;) {
		size_t len = strcspn(word, ",");
		(void)json_array_append_new(array, json_stringn(word, len));
		word += len + (word[len] == ',');
	}
	return array;
}

/* Prints and frees; -1 when it could not be made or written. */
static int print_json(json_t *json)
{
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	json_decref(json);
	if (!text)
		return -1;
	int rc = puts(text);
	explicit_bzero(text, strlen(text));
	free(text);
	return rc < 0 ? -1 : 0;
}

static void set_uuid(json_t *object, const char *name, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(uuid, text);
	if (!uuid_is_nil(uuid))
		(void)json_object_set_new(object, name, json_string(text));
}

static int print_created(const struct store_key_new *key, const struct uuid *id, const char *text,
                         bool as_json)
{
	char id_text[UUID_TEXT_SIZE];
	uuid_format(id, id_text);
	if (!as_json) {
		(void)fprintf(stderr, "key %s with %s; it is shown only now:\n", id_text, key->permissions);
		return puts(text) < 0 || fflush(stdout) != 0 ? -1 : 0;
	}
	json_t *json = json_object();
	set_uuid(json, "id", id);
	(void)json_object_set_new(json, "key", json_string(text));
	(void)json_object_set_new(json, "name", json_string(key->name));
	(void)json_object_set_new(json, "region", json_string(key->region));
	set_uuid(json, "team_id", &key->team_id);
	(void)json_object_set_new(json, "permissions", permissions_json(key->permissions));
	if (key->expires_in_s > 0)
		(void)json_object_set_new(json, "expires_in_s", json_integer(key->expires_in_s));
	if (key->rate_per_second > 0)
		(void)json_object_set_new(json, "rate_per_second", json_integer(key->rate_per_second));
	return print_json(json) < 0 || fflush(stdout) != 0 ? -1 : 0;
}

static int create(const struct cmd_ctx *ctx, const struct words *w, struct err *err)
{
	struct api_config config;
	struct store_key_new key = {0};
	struct uuid id;
	char text[AUTH_KEY_MAX + 1];
	if (w->output && strcmp(w->output, "text") != 0 && strcmp(w->output, "json") != 0)
		return usage(err, "--output is text or json");
	if (config_read(ctx->config, &api_section, &config, err) < 0 ||
	    read_key(w, config.region, &key, err) < 0)
		return -1;
	AUTO(pg_sync_close) struct pg_sync *sync = connect_store(ctx, err);
	if (!sync)
		return -1;
	make_key(key.region, text);
	hash_sha256_hex(text, strlen(text), key.sha256_hex);
	int rc = store_key_create(sync, &key, &id, err);
	if (rc == 0 && print_created(&key, &id, text, w->output && strcmp(w->output, "json") == 0) < 0)
		rc = err_set(err, ERR_FATAL, "stdout", "the key cannot be shown; revoke it");
	explicit_bzero(text, sizeof(text));
	return rc;
}

/* ---- list ---- */

static void time_text(int64_t wall_us, char out[CLOCK_RFC3339_SIZE])
{
	if (wall_us == 0)
		(void)snprintf(out, CLOCK_RFC3339_SIZE, "-");
	else
		clock_rfc3339(wall_us, out);
}

static void print_row(void *arg, const struct store_key_row *row)
{
	char id[UUID_TEXT_SIZE], team[UUID_TEXT_SIZE], created[CLOCK_RFC3339_SIZE],
	    expires[CLOCK_RFC3339_SIZE], revoked[CLOCK_RFC3339_SIZE];
	(void)arg;
	uuid_format(&row->id, id);
	uuid_format(&row->team_id, team);
	time_text(row->created_at_us, created);
	time_text(row->expires_at_us, expires);
	time_text(row->revoked_at_us, revoked);
	(void)printf("%-36s  %-36s  %-20s  %-27s  %-27s  %-27s  %s\n", id,
	             uuid_is_nil(&row->team_id) ? row->scope : team, *row->name ? row->name : "-",
	             created, expires, revoked, row->permissions);
}

static void set_time(json_t *object, const char *name, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	if (wall_us != 0)
		(void)json_object_set_new(object, name, json_string(text));
}

static void collect_row(void *arg, const struct store_key_row *row)
{
	json_t *json = json_object();
	set_uuid(json, "id", &row->id);
	set_uuid(json, "team_id", &row->team_id);
	(void)json_object_set_new(json, "name", json_string(row->name));
	(void)json_object_set_new(json, "region", json_string(row->region));
	(void)json_object_set_new(json, "scope", json_string(row->scope));
	(void)json_object_set_new(json, "permissions", permissions_json(row->permissions));
	set_time(json, "created_at", row->created_at_us);
	set_time(json, "expires_at", row->expires_at_us);
	set_time(json, "revoked_at", row->revoked_at_us);
	(void)json_array_append_new(arg, json);
}

static int list(const struct cmd_ctx *ctx, const struct words *w, struct err *err)
{
	bool as_json = w->output && strcmp(w->output, "json") == 0;
	if (w->output && !as_json && strcmp(w->output, "table") != 0)
		return usage(err, "--output is table or json");
	AUTO(pg_sync_close) struct pg_sync *sync = connect_store(ctx, err);
	if (!sync)
		return -1;
	if (as_json) {
		json_t *rows = json_array();
		if (store_key_list(sync, collect_row, rows, err) == 0)
			return print_json(rows) < 0 ? err_oom(err) : 0;
		json_decref(rows);
		return -1;
	}
	(void)printf("%-36s  %-36s  %-20s  %-27s  %-27s  %-27s  %s\n", "ID", "TEAM", "NAME", "CREATED",
	             "EXPIRES", "REVOKED", "PERMISSIONS");
	return store_key_list(sync, print_row, NULL, err);
}

/* ---- revoke ---- */

static int revoke(const struct cmd_ctx *ctx, const char *text, struct err *err)
{
	struct uuid id;
	bool found = false;
	if (!text || uuid_parse(text, strlen(text), &id) < 0)
		return usage(err, "say which key: `keys revoke ID`, with an ID of `keys list`");
	AUTO(pg_sync_close) struct pg_sync *sync = connect_store(ctx, err);
	if (!sync || store_key_revoke(sync, &id, &found, err) < 0)
		return -1;
	if (!found)
		return err_set(err, ERR_REJECT, "not_found", "there is no key %s", text);
	(void)printf("revoked %s\n", text);
	return 0;
}

/* ---- the command ---- */

static int run(const struct cmd_ctx *ctx, const struct words *w, const char *verb,
               const char *operand, struct err *err)
{
	if (strcmp(verb, "revoke") == 0)
		return revoke(ctx, operand, err);
	if (!operand && strcmp(verb, "create") == 0)
		return create(ctx, w, err);
	if (!operand && strcmp(verb, "list") == 0)
		return list(ctx, w, err);
	return usage(err, "say `keys create`, `keys list` or `keys revoke ID`");
}

int cmd_keys(const struct cmd_ctx *ctx, int argc, char **argv)
{
	struct err err = {0};
	struct words w = {0};
	const char *operands[2] = {"", NULL};
	const struct cmd_opt opts[] = {
	    {"team", &w.team, NULL}, {"platform", NULL, &w.platform},
	    {"name", &w.name, NULL}, {"region", &w.region, NULL},
	    {"role", &w.role, NULL}, {"permissions", &w.permissions, NULL},
	    {"user", &w.user, NULL}, {"expires", &w.expires, NULL},
	    {"rate", &w.rate, NULL}, {"output", &w.output, NULL},
	};
	if (cmd_options(argc, argv, opts, N_OF(opts), operands, (int)N_OF(operands), &err) < 0 ||
	    run(ctx, &w, operands[0], operands[1], &err) < 0)
		return cmd_fail(ctx, &err);
	return CMD_OK;
}
