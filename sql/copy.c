#include "copy.h"

#include <string.h>

#include "base/clock.h"

void copy_text(struct buf *rows, const char *value)
{
	/* What the format gives a meaning to. (Values hold no line ends as they are, so that an end of line
	 * is always the end of a row.) */
	static const char special[] = "\t\n\r\\", letter[] = "tnr\\";
	if (!value)
		(void)buf_str(rows, "\\N");
	while (value && *value) {
		size_t plain = strcspn(value, special);
		(void)buf_add(rows, value, plain);
		value += plain;
		if (*value) {
			(void)buf_char(rows, '\\');
			(void)buf_char(rows, letter[strchr(special, *value) - special]);
			value++;
		}
	}
	(void)buf_char(rows, '\t');
}

void copy_uuid(struct buf *rows, const struct uuid *value)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(value, text);
	copy_text(rows, uuid_is_nil(value) ? NULL : text);
}

void copy_time(struct buf *rows, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(wall_us, text);
	copy_text(rows, text);
}

void copy_row_end(struct buf *rows)
{
	/* Behind the last value too there is a tab. */
	if (!rows->failed && rows->len > 0)
		rows->data[rows->len - 1] = '\n';
}
