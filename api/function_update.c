#include "function_update.h"

#include <string.h>

#include "base/num.h"
#include "naming.h"

struct body {
	const char *name;
	bool has_name, has_enabled, enabled, has_autoscaling;
	json_t *autoscaling;
};
static const struct json_field body_fields[] = {
    {"name", JSON_KIND_STR, offsetof(struct body, name), offsetof(struct body, has_name), 0,
     FUNCTION_NAME_MAX},
    {"enabled", JSON_KIND_BOOL, offsetof(struct body, enabled), offsetof(struct body, has_enabled),
     0, 0},
    {"autoscaling", JSON_KIND_OBJ, offsetof(struct body, autoscaling),
     offsetof(struct body, has_autoscaling), 0, 0},
};

/* In the order of `scales`. A number that is absent stays 0. */
struct autoscaling {
	int64_t value[4];
	bool has[4];
};
/* clang-format off */
#define SCALE_FIELD(name, i) \
	{name, JSON_KIND_I64, offsetof(struct autoscaling, value[i]), \
	 offsetof(struct autoscaling, has[i]), INT64_MIN, INT64_MAX}
/* clang-format on */
static const struct json_field autoscaling_fields[] = {
    SCALE_FIELD("min_warm", 0),
    SCALE_FIELD("max_active", 1),
    SCALE_FIELD("target_concurrency", 2),
    SCALE_FIELD("scale_down_after_seconds", 3),
};

/* Below `least` a number reads as "not said": it becomes the default, then min and max hold. */
static const struct {
	int64_t least, def, min, max;
	size_t offset;
} scales[] = {
    {0, 0, 0, 100, offsetof(struct store_function_change, min_warm)},
    {1, 20, 1, 1000, offsetof(struct store_function_change, max_active)},
    {1, 80, 1, 1000, offsetof(struct store_function_change, target_concurrency)},
    {1, 300, 30, 86400, offsetof(struct store_function_change, scale_down_after_seconds)},
};

static int64_t clamped(size_t i, int64_t value)
{
	if (value < scales[i].least)
		value = scales[i].def;
	if (value < scales[i].min)
		value = scales[i].min;
	return value > scales[i].max ? scales[i].max : value;
}

/* `numbers` in the order of `scales`. */
static void scale(const int64_t *numbers, struct store_function_change *ret)
{
	for (size_t i = 0; i < N_OF(scales); i++) {
		int64_t value = clamped(i, numbers[i]);
		memcpy((char *)ret + scales[i].offset, &value, sizeof(value));
	}
	if (ret->min_warm > ret->max_active)
		ret->min_warm = ret->max_active;
	ret->has_autoscaling = true;
}

int function_autoscaling_decode(json_t *json, struct store_function_change *ret, struct err *err)
{
	struct autoscaling asked = {0};
	if (json && json_decode(json, autoscaling_fields, N_OF(autoscaling_fields), &asked, err) < 0)
		return -1;
	scale(asked.value, ret);
	return 0;
}

/* What is no whole number is as good as absent; one of more digits than fit is as large as any. */
static int64_t stored_number(const char *text)
{
	int64_t number = 0;
	size_t len = text ? strlen(text) : 0;
	if (len > 0 && num_i64(text, len, 0, INT64_MAX, &number) < 0 &&
	    strspn(text, "0123456789") == len)
		number = INT64_MAX;
	return number;
}

void function_autoscaling_read(const struct store_autoscaling *stored,
                               struct store_function_change *ret)
{
	const int64_t numbers[] = {
	    stored_number(stored->min_warm),
	    stored_number(stored->max_active),
	    stored_number(stored->target_concurrency),
	    stored_number(stored->scale_down_after_seconds),
	};
	scale(numbers, ret);
}

int function_update_decode(const char *text, size_t len, json_t **ret_json,
                           struct store_function_change *ret, struct err *err)
{
	struct body body = {0};
	struct store_function_change change = {0};
	if (len == 0)
		return err_set(err, ERR_REJECT, "bad_json", "the body is empty");
	AUTO(json_drop) json_t *json = json_parse(text, len, err);
	if (!json || json_decode(json, body_fields, N_OF(body_fields), &body, err) < 0)
		return -1;
	if (body.has_autoscaling && function_autoscaling_decode(body.autoscaling, &change, err) < 0)
		return -1;
	if (body.has_name && !naming_is_blank(body.name))
		change.name = body.name;
	change.has_enabled = body.has_enabled;
	change.enabled = body.enabled;
	*ret = change;
	*ret_json = TAKE(json);
	return 0;
}
