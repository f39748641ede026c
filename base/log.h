/* One line per event on stderr: `<6>level event key="value" ...` when the journal reads it,
 * with a time in front of it otherwise. Values are escaped; no line is longer than LOG_LINE_MAX.
 * Libraries return errors; whoever handles the error at the top of the loop logs it, once. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "config.h"
#include "err.h"

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };
enum { LOG_LINE_MAX = 2048 };

/* The [log] section. */
struct log_config {
	const char *level;
};
extern const struct config_section log_section;

/* Starts at LOG_L_INFO. The only process-wide state of this module. */
void log_set_level(enum log_level level);

/* "error", "warn", "info", "debug". Returns 0 or -1 for another word. */
int log_level_parse(const char *word, enum log_level *ret_level);

/* `event` is a fixed word with dots ("worker.started"); then pairs of key and value (both
 * const char *), closed by NULL. A NULL value is left out. Never fails, never allocates;
 * blocks only as long as stderr does. */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

/* The same with err's kind, code and text in front of the pairs. */
void log_err(enum log_level level, const char *event, const struct err *err, ...)
    __attribute__((sentinel));

#endif
