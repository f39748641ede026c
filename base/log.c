#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

static const struct config_row rows[] = {
    {"level", CONFIG_STR, offsetof(struct log_config, level), 0, 0, "info", false,
     "What is logged: error, warn, info or debug. With debug also one line for every HTTP "
     "request."},
};
const struct config_section log_section = {"log", "The log, on standard error.", rows, N_OF(rows),
                                           false};

static enum log_level threshold = LOG_L_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
	threshold = level;
}

int log_level_parse(const char *word, enum log_level *ret_level)
{
	for (size_t i = 0; i < N_OF(level_names); i++)
		if (strcmp(word, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	return -1;
}

/* A line under construction. What does not fit is cut; the line still ends with its newline. */
struct line {
	char text[LOG_LINE_MAX];
	size_t len;
};

static void put(struct line *line, const char *text)
{
	size_t len = strlen(text), room = sizeof(line->text) - 1 - line->len;
	len = len < room ? len : room;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void put_escaped(struct line *line, const char *value)
{
	put(line, "\"");
	for (; *value && line->len < sizeof(line->text) - 8; value++) {
		unsigned char c = (unsigned char)*value;
		char out[8] = {(char)c};
		if (c == '"' || c == '\\')
			(void)snprintf(out, sizeof(out), "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			(void)snprintf(out, sizeof(out), "\\x%02x", c);
		put(line, out);
	}
	put(line, "\"");
}

static void put_pair(struct line *line, const char *key, const char *value)
{
	if (!value)
		return;
	put(line, " ");
	put(line, key);
	put(line, "=");
	put_escaped(line, value);
}

static void begin(struct line *line, enum log_level level, const char *event)
{
	static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};
	line->len = 0;
	if (getenv("JOURNAL_STREAM")) {
		put(line, priorities[level]);
	} else {
		char now[CLOCK_RFC3339_SIZE];
		clock_rfc3339(clock_system()->wall_us(NULL), now);
		put(line, now);
		put(line, " ");
	}
	put(line, level_names[level]);
	put(line, " ");
	put(line, event);
}

static void put_pairs(struct line *line, va_list ap)
{
	for (const char *key = va_arg(ap, const char *); key; key = va_arg(ap, const char *))
		put_pair(line, key, va_arg(ap, const char *));
}

/* One write, so that lines of several processes do not mix. */
static void end(struct line *line)
{
	line->text[line->len++] = '\n';
	ssize_t written = write(STDERR_FILENO, line->text, line->len);
	(void)written; /* nowhere to complain */
}

void log_event(enum log_level level, const char *event, ...)
{
	if (level > threshold)
		return;
	struct line line;
	begin(&line, level, event);
	va_list ap;
	va_start(ap, event);
	put_pairs(&line, ap);
	va_end(ap);
	end(&line);
}

void log_err(enum log_level level, const char *event, const struct err *err, ...)
{
	if (level > threshold)
		return;
	struct line line;
	begin(&line, level, event);
	put_pair(&line, "kind", err_kind_name(err->kind));
	put_pair(&line, "code", err->code);
	put_pair(&line, "error", err->text);
	va_list ap;
	va_start(ap, err);
	put_pairs(&line, ap);
	va_end(ap);
	end(&line);
}
