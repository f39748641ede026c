#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Error texts go to logs, terminals and HTTP answers: one line, whatever a server wrote into them. */
static void one_line(char *text)
{
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		text[--len] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
}

/* A text that was cut may end inside a UTF-8 character: the part of it goes. */
static void whole_characters(char *text)
{
	size_t len = strlen(text), tail = 0;
	while (tail < len && tail < 3 && ((unsigned char)text[len - 1 - tail] & 0xc0) == 0x80)
		tail++;
	if (tail == len)
		return;
	unsigned char lead = (unsigned char)text[len - 1 - tail];
	size_t needs = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	if (tail < needs)
		text[len - 1 - tail] = '\0';
}

static int set(struct err *err, enum err_kind kind, const char *code, const char *fmt, va_list ap)
{
	if (!err || err->kind != ERR_NONE)
		return -1;
	err->kind = kind;
	(void)snprintf(err->code, sizeof(err->code), "%s", code ? code : "");
	if (vsnprintf(err->text, sizeof(err->text), fmt, ap) >= (int)sizeof(err->text))
		whole_characters(err->text);
	one_line(err->text);
	return -1;
}

int err_set(struct err *err, enum err_kind kind, const char *code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)set(err, kind, code, fmt, ap);
	va_end(ap);
	return -1;
}

int err_errno(struct err *err, enum err_kind kind, int errno_value, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	const char *code = strerrorname_np(errno_value);
	return err_set(err, kind, code ? code : "errno", "%s: %s", text, strerror(errno_value));
}

int err_oom(struct err *err)
{
	return err_set(err, ERR_RETRY, "ENOMEM", "out of memory");
}

const char *err_kind_name(enum err_kind kind)
{
	static const char *const names[] = {
	    [ERR_NONE] = "none", [ERR_RETRY] = "retry", [ERR_REJECT] = "reject", [ERR_FATAL] = "fatal"};
	return (size_t)kind < N_OF(names) ? names[kind] : "unknown";
}
