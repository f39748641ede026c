/* The body of PUT /api/v1/functions/{id}. */
#ifndef API_FUNCTION_UPDATE_H
#define API_FUNCTION_UPDATE_H

#include "base/json.h"
#include "sql/store_api.h"

enum { FUNCTION_NAME_MAX = 255 };

/* Decodes {"name"?, "enabled"?, "autoscaling"?}. null counts as absent, unknown fields are ignored,
 * a blank name is no name. Numbers of autoscaling that are out of range are clamped, absent ones
 * get their default (contract 1.4). *ret borrows its texts from *ret_json, which the caller frees.
 * -1 and *err: ERR_REJECT with what is wrong, ERR_RETRY without memory. */
int function_update_decode(const char *body, size_t len, json_t **ret_json,
                           struct store_function_change *ret, struct err *err) MUST_CHECK;

/* {"min_warm"?, ...} into *ret, all four of them; NULL: the defaults. -1 as above. */
int function_autoscaling_decode(json_t *json, struct store_function_change *ret,
                                struct err *err) MUST_CHECK;

/* The same of numbers that are stored: what is no whole number counts as absent. Never fails. */
void function_autoscaling_read(const struct store_autoscaling *stored,
                               struct store_function_change *ret);

#endif
