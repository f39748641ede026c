/* What the files that serve the HTTP front share: parameters that come in every statement of theirs, and
 * the columns of a function. */
#ifndef SQL_STORE_API_PRIVATE_H
#define SQL_STORE_API_PRIVATE_H

#include "call.h"
#include "store_api.h"

/* The columns of a store_function inside another struct: `at` is "" or "member." of it. */
/* clang-format off */
#define STORE_FUNCTION_COLS(prefix, type, at) \
	{prefix "id", ROW_UUID, offsetof(struct type, at id)}, \
	{prefix "team_id", ROW_UUID, offsetof(struct type, at team_id)}, \
	{prefix "active_revision_id", ROW_UUID, offsetof(struct type, at active_revision_id)}, \
	{prefix "created_by", ROW_UUID, offsetof(struct type, at created_by)}, \
	{prefix "name", ROW_TEXT, offsetof(struct type, at name)}, \
	{prefix "slug", ROW_TEXT, offsetof(struct type, at slug)}, \
	{prefix "domain_label", ROW_TEXT, offsetof(struct type, at domain_label)}, \
	{prefix "enabled", ROW_BOOL, offsetof(struct type, at enabled)}, \
	{prefix "created_at", ROW_TIME, offsetof(struct type, at created_at_us)}, \
	{prefix "updated_at", ROW_TIME, offsetof(struct type, at updated_at_us)}, \
	{prefix "deleted_at", ROW_TIME, offsetof(struct type, at deleted_at_us)}, \
	{prefix "min_warm", ROW_TEXT, offsetof(struct type, at autoscaling.min_warm)}, \
	{prefix "max_active", ROW_TEXT, offsetof(struct type, at autoscaling.max_active)}, \
	{prefix "target_concurrency", ROW_TEXT, offsetof(struct type, at autoscaling.target_concurrency)}, \
	{prefix "scale_down_after_seconds", ROW_TEXT, offsetof(struct type, at autoscaling.scale_down_after_seconds)}
/* clang-format on */

/* Begins the parameters: $1, $2, $3 of every statement about one function. */
void front_ref(struct pg_params *params, const struct store_ref *ref);
/* Principal, request id. */
void front_who(struct pg_params *params, const struct store_actor *actor);
/* An array of versions, or NULL. */
void front_match(struct pg_params *params, const struct store_match *match);
/* Idempotency key and fingerprint. */
void front_key(struct pg_params *params, const struct store_actor *actor);
/* Begins and ends the parameters of a replay: team, key, fingerprint. */
void front_replay(struct pg_params *params, const struct uuid *team_id,
                  const struct store_actor *actor);

/* The four numbers as a JSON object. */
enum { FRONT_AUTOSCALING_MAX = 256 };
void front_autoscaling(struct buf *out, const struct store_function_change *change);

/* Fills `row` from the only row of an answer. 1: filled, 0: no row, -1: *err says why. */
int front_single(const struct pg_result *res, const struct row_shape *shape, void *row,
                 const struct err *failed, struct err *err);

#endif
