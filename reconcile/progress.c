#include "progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"

enum { REDRAW_US = 100000, BAR_MAX = 40, COLUMNS_DEFAULT = 80, TEXT_MAX = 128 };

static bool is_terminal(FILE *out)
{
	const char *term = getenv("TERM");
	int fd = fileno(out);
	return fd >= 0 && isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

bool progress_colored(FILE *out)
{
	/* no-color.org: set and not empty, whatever it says. */
	const char *no = getenv("NO_COLOR");
	return is_terminal(out) && !(no && *no);
}

void progress_init(struct progress *p, FILE *out, const struct clock *clock)
{
	struct winsize size = {0};
	*p = (struct progress){.out = out, .clock = clock, .columns = COLUMNS_DEFAULT};
	p->on = is_terminal(out);
	p->color = progress_colored(out);
	if (p->on && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		p->columns = size.ws_col;
}

/* The bar, for a share of done in total; as wide as the line has room for. */
static void add_bar(const struct progress *p, struct buf *line, int64_t done, int64_t total)
{
	int width = p->columns - (int)line->len - 4;
	width = width > BAR_MAX ? BAR_MAX : width;
	if (total <= 0 || width < 4)
		return;
	double share = done >= total ? 1 : done < 0 ? 0 : (double)done / (double)total;
	int full = (int)(share * width);
	(void)buf_str(line, p->color ? " [\033[32m" : " [");
	for (int i = 0; i < width; i++) {
		if (i == full && p->color)
			(void)buf_str(line, "\033[0m");
		(void)buf_char(line, i < full ? '#' : '.');
	}
	(void)buf_str(line, p->color && full == width ? "\033[0m]" : "]");
}

static void draw(struct progress *p, const char *phase, int64_t done, int64_t total)
{
	char text[TEXT_MAX];
	struct buf line;
	int len = snprintf(text, sizeof(text), "%.40s %lld", phase, (long long)done);
	if (total > 0)
		(void)snprintf(text + len, sizeof(text) - (size_t)len, " of %lld", (long long)total);
	buf_init(&line, 4096);
	/* A line that wraps could not be taken away again. */
	(void)buf_printf(&line, "%.*s", p->columns > 1 ? p->columns - 1 : 0, text);
	add_bar(p, &line, done, total);
	(void)fprintf(p->out, "\r\033[K%s", line.data ? line.data : "");
	(void)fflush(p->out);
	buf_done(&line);
	p->drawn = true;
}

void progress_watch(void *arg, const char *phase, int64_t done, int64_t total)
{
	struct progress *p = arg;
	if (!p->on)
		return;
	int64_t now_us = p->clock->mono_us(p->clock->arg);
	if (now_us < p->next_us)
		return;
	p->next_us = now_us + REDRAW_US;
	draw(p, phase, done, total);
}

void progress_clear(struct progress *p)
{
	if (!p->drawn)
		return;
	(void)fputs("\r\033[K", p->out);
	(void)fflush(p->out);
	p->drawn = false;
}
