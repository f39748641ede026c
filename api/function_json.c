#include "function_json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "function_update.h"
#include "naming.h"
#include "reply.h"

int function_json_suffix(const char *region, const char *root_domain,
                         char out[FUNCTION_JSON_SUFFIX_SIZE])
{
	int len = snprintf(out, FUNCTION_JSON_SUFFIX_SIZE, "%s%s.%s", *region ? "." : "", region,
	                   root_domain);
	if (len < 0 || len >= FUNCTION_JSON_SUFFIX_SIZE)
		return -1;
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return 0;
}

/* ---- members: each writes its own comma in front, as given by `key` ---- */

static void put_text(struct buf *out, const char *key, const char *value)
{
	(void)buf_str(out, key);
	reply_string(out, value);
}

static void put_uuid(struct buf *out, const char *key, const struct uuid *value)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(value, text);
	(void)buf_str(out, key);
	(void)buf_char(out, '"');
	(void)buf_add(out, text, UUID_TEXT_SIZE - 1);
	(void)buf_char(out, '"');
}

static void put_uuid_if_set(struct buf *out, const char *key, const struct uuid *value)
{
	if (!uuid_is_nil(value))
		put_uuid(out, key, value);
}

static void put_i64(struct buf *out, const char *key, int64_t value)
{
	(void)buf_str(out, key);
	(void)buf_i64(out, value);
}

static void put_time(struct buf *out, const char *key, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	(void)buf_str(out, key);
	(void)buf_char(out, '"');
	(void)buf_str(out, text);
	(void)buf_char(out, '"');
}

static void put_time_if_set(struct buf *out, const char *key, int64_t wall_us)
{
	if (wall_us != 0)
		put_time(out, key, wall_us);
}

static void put_autoscaling(struct buf *out, const struct store_autoscaling *stored)
{
	struct store_function_change scale;
	function_autoscaling_read(stored, &scale);
	(void)buf_str(out, ",\"autoscaling\":{");
	put_i64(out, "\"min_warm\":", scale.min_warm);
	put_i64(out, ",\"max_active\":", scale.max_active);
	put_i64(out, ",\"target_concurrency\":", scale.target_concurrency);
	put_i64(out, ",\"scale_down_after_seconds\":", scale.scale_down_after_seconds);
	(void)buf_char(out, '}');
}

/* ---- a function ---- */

/* Two members with the same ending: "label.region.root" and "https://label.region.root". */
static void put_host(struct buf *out, const char *domain_label, const char *suffix)
{
	char host[FUNCTION_JSON_SUFFIX_SIZE + 256];
	size_t len = 0;
	for (; len < 255 && domain_label[len]; len++)
		host[len] = (char)tolower((unsigned char)domain_label[len]);
	(void)snprintf(host + len, sizeof(host) - len, "%s", suffix);
	put_text(out, ",\"host\":", host);
	char url[sizeof("https://") + sizeof(host)];
	(void)snprintf(url, sizeof(url), "https://%s", host);
	put_text(out, ",\"url\":", url);
}

void function_json(struct buf *out, const struct store_function *f, const char *host_suffix)
{
	put_uuid(out, "{\"id\":", &f->id);
	put_uuid(out, ",\"team_id\":", &f->team_id);
	put_text(out, ",\"name\":", f->name);
	put_text(out, ",\"slug\":", f->slug);
	put_text(out, ",\"domain_label\":", f->domain_label);
	put_uuid_if_set(out, ",\"active_revision_id\":", &f->active_revision_id);
	(void)buf_str(out, f->enabled ? ",\"enabled\":true" : ",\"enabled\":false");
	put_autoscaling(out, &f->autoscaling);
	put_uuid_if_set(out, ",\"created_by\":", &f->created_by);
	put_time(out, ",\"created_at\":", f->created_at_us);
	put_time(out, ",\"updated_at\":", f->updated_at_us);
	put_time_if_set(out, ",\"deleted_at\":", f->deleted_at_us);
	put_host(out, f->domain_label, host_suffix);
	(void)buf_char(out, '}');
}

/* ---- a runtime ---- */

static void put_text_if_set(struct buf *out, const char *key, const char *value)
{
	if (!naming_is_blank(value))
		put_text(out, key, value);
}

/* One row per state, the first that holds wins. */
static const char *state_members(const struct store_runtime *runtime)
{
	if (!runtime->enabled)
		return ",\"state\":\"disabled\",\"phase\":\"disabled\",\"readiness_state\":\"unknown\"";
	if (!naming_is_blank(runtime->sandbox_id))
		return ",\"state\":\"active\",\"phase\":\"ready\",\"readiness_state\":\"ready\"";
	return ",\"state\":\"idle\",\"phase\":\"idle\",\"readiness_state\":\"unknown\"";
}

/* The one sandbox that is mapped, as an instance. */
static void put_instances(struct buf *out, const struct store_runtime *r)
{
	uint8_t digest[HASH_SIZE];
	struct uuid id;
	int64_t since_us = r->mapped_at_us != 0 ? r->mapped_at_us : r->runtime_updated_at_us;
	if (naming_is_blank(r->sandbox_id) || since_us == 0 || !r->enabled)
		return;
	/* It has no number of its own: the same sandbox is the same instance. */
	hash_sha256(r->sandbox_id, strlen(r->sandbox_id), digest);
	memcpy(id.bytes, digest, sizeof(id.bytes));
	put_uuid(out, ",\"instances\":[{\"id\":", &id);
	put_uuid(out, ",\"team_id\":", &r->team_id);
	put_uuid(out, ",\"function_id\":", &r->function_id);
	put_uuid(out, ",\"revision_id\":", &r->revision_id);
	put_text(out, ",\"sandbox_id\":", r->sandbox_id);
	put_text_if_set(out, ",\"context_id\":", r->context_id);
	(void)buf_str(out, ",\"state\":\"ready\",\"readiness_state\":\"ready\"");
	put_time(out, ",\"created_at\":", since_us);
	put_time(out, ",\"updated_at\":",
	         r->runtime_updated_at_us != 0 ? r->runtime_updated_at_us : since_us);
	(void)buf_str(out, "}]");
}

static void put_json_if_set(struct buf *out, const char *key, const char *json)
{
	if (!json)
		return;
	(void)buf_str(out, key);
	(void)buf_str(out, json);
}

void function_json_runtime(struct buf *out, const struct store_runtime *r)
{
	put_uuid(out, "{\"function_id\":", &r->function_id);
	put_uuid(out, ",\"revision_id\":", &r->revision_id);
	put_i64(out, ",\"revision_number\":", r->revision_number);
	(void)buf_str(out, state_members(r));
	put_autoscaling(out, &r->autoscaling);
	put_text_if_set(out, ",\"runtime_sandbox_id\":", r->sandbox_id);
	put_text_if_set(out, ",\"runtime_context_id\":", r->context_id);
	put_time_if_set(out, ",\"runtime_updated_at\":", r->runtime_updated_at_us);
	put_instances(out, r);
	put_json_if_set(out, ",\"recent_events\":", r->recent_events);
	(void)buf_char(out, '}');
}

/* ---- a revision, an alias ---- */

void function_json_revision(struct buf *out, const struct store_revision *r)
{
	put_uuid(out, "{\"id\":", &r->id);
	put_uuid(out, ",\"function_id\":", &r->function_id);
	put_uuid(out, ",\"team_id\":", &r->team_id);
	put_i64(out, ",\"revision_number\":", r->revision_number);
	put_text(out, ",\"source_type\":", r->source_type);
	put_text(out, ",\"source_sandbox_id\":", r->source_sandbox_id);
	put_text(out, ",\"source_service_id\":", r->source_service_id);
	put_text(out, ",\"source_template_id\":", r->source_template_id);
	put_json_if_set(out, ",\"restore_mounts\":", r->restore_mounts);
	put_json_if_set(out, ",\"service_snapshot\":", r->service_snapshot);
	put_json_if_set(out, ",\"revision_spec\":", r->revision_spec);
	put_json_if_set(out, ",\"provenance\":", r->provenance);
	put_text_if_set(out, ",\"runtime_sandbox_id\":", r->runtime_sandbox_id);
	put_text_if_set(out, ",\"runtime_context_id\":", r->runtime_context_id);
	put_time_if_set(out, ",\"runtime_updated_at\":", r->runtime_updated_at_us);
	put_uuid_if_set(out, ",\"created_by\":", &r->created_by);
	put_time(out, ",\"created_at\":", r->created_at_us);
	(void)buf_char(out, '}');
}

void function_json_alias(struct buf *out, const struct store_alias *a)
{
	put_uuid(out, "{\"function_id\":", &a->function_id);
	put_text(out, ",\"alias\":", a->alias);
	put_uuid(out, ",\"revision_id\":", &a->revision_id);
	put_i64(out, ",\"revision_number\":", a->revision_number);
	put_uuid_if_set(out, ",\"updated_by\":", &a->updated_by);
	put_time(out, ",\"updated_at\":", a->updated_at_us);
	(void)buf_char(out, '}');
}

/* ---- what is still to be removed ---- */

void function_json_cleanup(struct buf *out, const struct store_cleanup *c)
{
	int64_t left = c->released + c->doomed + c->deleting + c->dead + c->refused;
	put_uuid(out, "{\"function_id\":", &c->function_id);
	(void)buf_str(out, c->deleted_at_us != 0 ? ",\"deleted\":true" : ",\"deleted\":false");
	put_time_if_set(out, ",\"deleted_at\":", c->deleted_at_us);
	(void)buf_str(out, left == 0 ? ",\"done\":true" : ",\"done\":false");
	put_i64(out, ",\"counts\":{\"released\":", c->released);
	put_i64(out, ",\"doomed\":", c->doomed);
	put_i64(out, ",\"deleting\":", c->deleting);
	put_i64(out, ",\"dead\":", c->dead);
	put_i64(out, ",\"refused\":", c->refused);
	(void)buf_str(out, "},\"resources\":[");
}

void function_json_resource(struct buf *out, const struct store_cleanup *c)
{
	put_text(out, "{\"kind\":", c->kind);
	put_text(out, ",\"id\":", c->resource_id);
	put_uuid(out, ",\"revision_id\":", &c->revision_id);
	put_text(out, ",\"state\":", c->state);
	put_text_if_set(out, ",\"reason\":", c->release_reason);
	put_i64(out, ",\"attempts\":", c->attempts);
	if (c->last_status > 0)
		put_i64(out, ",\"last_status\":", c->last_status);
	put_text_if_set(out, ",\"error_class\":", c->error_class);
	put_text_if_set(out, ",\"last_error\":", c->last_error);
	put_time_if_set(out, ",\"released_at\":", c->released_at_us);
	put_time_if_set(out, ",\"doomed_at\":", c->doomed_at_us);
	put_time_if_set(out, ",\"next_attempt_at\":", c->next_attempt_at_us);
	(void)buf_char(out, '}');
}
