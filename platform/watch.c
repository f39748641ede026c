#include "watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { TABLE_MIN = 64 };

struct watch {
	struct watches *watches;
	struct loop_io io;
	uint32_t wanted;
	bool lasting; /* its end is told to watches_closed() */
};

void watches_init(struct watches *watches, struct loop *loop,
                  void (*fn)(void *arg, int fd, uint32_t events), void *arg)
{
	*watches = (struct watches){.loop = loop, .fn = fn, .arg = arg};
}

void watches_done(struct watches *watches)
{
	for (size_t i = 0; i < watches->size; i++) {
		if (watches->table[i])
			loop_io_del(watches->loop, &watches->table[i]->io);
		free(watches->table[i]);
	}
	free(watches->table);
	*watches = (struct watches){0};
}

static struct watch *find(const struct watches *watches, int fd)
{
	return (size_t)fd < watches->size ? watches->table[fd] : NULL;
}

static int make_room(struct watches *watches, int fd)
{
	size_t size = watches->size ? watches->size : TABLE_MIN;
	while (size <= (size_t)fd)
		size *= 2;
	if (size == watches->size)
		return 0;
	struct watch **table = realloc(watches->table, size * sizeof(struct watch *));
	if (!table)
		return -1;
	memset(table + watches->size, 0, (size - watches->size) * sizeof(struct watch *));
	watches->table = table;
	watches->size = size;
	return 0;
}

/* NULL without memory. */
static struct watch *find_or_add(struct watches *watches, int fd)
{
	struct watch *watch = find(watches, fd);
	if (watch || make_room(watches, fd) < 0)
		return watch;
	watch = calloc(1, sizeof(*watch));
	if (watch)
		watch->watches = watches;
	return watches->table[fd] = watch;
}

static void forget(struct watch *watch)
{
	loop_io_del(watch->watches->loop, &watch->io);
	watch->wanted = 0;
	watch->lasting = false;
}

void watches_opened(struct watches *watches, int fd)
{
	struct watch *watch = find_or_add(watches, fd);
	if (!watch)
		return;
	forget(watch); /* whatever had this number before, its registration went with it */
	watch->lasting = true;
}

void watches_closed(struct watches *watches, int fd)
{
	struct watch *watch = find(watches, fd);
	if (watch)
		forget(watch);
}

static void on_ready(void *arg, uint32_t events)
{
	struct watch *watch = arg;
	struct watches *watches = watch->watches;
	if (watch->wanted)
		watches->fn(watches->arg, watch->io.fd, events);
	else /* an idle connection ended, or says what nobody asked */
		loop_io_del(watches->loop, &watch->io);
}

void watches_want(struct watches *watches, int fd, uint32_t events)
{
	struct watch *watch = events ? find_or_add(watches, fd) : find(watches, fd);
	if (!watch)
		return;
	watch->wanted = events;
	/* An idle connection is always writable, so only the wish to read can outlive its use. */
	if (!events && watch->lasting && watch->io.events == EPOLLIN)
		return;
	if (events && watch->io.added && loop_io_set(watches->loop, &watch->io, events, NULL) == 0)
		return;
	loop_io_del(watches->loop, &watch->io);
	if (events && loop_io_add(watches->loop, &watch->io, fd, events, on_ready, watch, NULL) < 0)
		watch->wanted = 0;
}
