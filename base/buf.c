#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num.h"

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){.max = max};
}

void buf_done(struct buf *buf)
{
	free(buf->data);
	buf_init(buf, buf->max);
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
	if (buf->data)
		buf->data[0] = '\0';
}

static int fail(struct buf *buf)
{
	buf->failed = true;
	return -1;
}

/* Makes room for `more` bytes and a NUL. */
static int reserve(struct buf *buf, size_t more)
{
	if (buf->failed || more > buf->max - buf->len)
		return fail(buf);
	size_t need = buf->len + more + 1;
	if (need <= buf->cap)
		return 0;
	size_t cap = buf->cap ? buf->cap : 64;
	while (cap < need)
		cap *= 2;
	if (cap > buf->max + 1)
		cap = buf->max + 1;
	char *data = realloc(buf->data, cap);
	if (!data)
		return fail(buf);
	buf->data = data;
	buf->cap = cap;
	return 0;
}

int buf_add(struct buf *buf, const void *data, size_t len)
{
	if (reserve(buf, len) < 0)
		return -1;
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_str(struct buf *buf, const char *text)
{
	return buf_add(buf, text, strlen(text));
}

int buf_char(struct buf *buf, char c)
{
	return buf_add(buf, &c, 1);
}

int buf_i64(struct buf *buf, int64_t value)
{
	char text[24], *at = text + sizeof(text);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	do
		*--at = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		*--at = '-';
	return buf_add(buf, at, (size_t)(text + sizeof(text) - at));
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0 || reserve(buf, (size_t)len) < 0)
		return fail(buf);
	va_start(ap, fmt);
	(void)vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)len;
	return 0;
}

int buf_percent(struct buf *buf, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c)) {
			(void)buf_char(buf, *text);
			continue;
		}
		static const char hex[] = "0123456789ABCDEF";
		char coded[] = {'%', hex[c >> 4], hex[c & 15]};
		(void)buf_add(buf, coded, sizeof(coded));
	}
	return buf->failed ? -1 : 0;
}

char *buf_take(struct buf *buf)
{
	if (buf->failed || (!buf->data && buf_add(buf, "", 0) < 0))
		return NULL;
	char *data = buf->data;
	buf_init(buf, buf->max);
	return data;
}
