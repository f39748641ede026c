/* libcurl's descriptors on our loop. libcurl loses interest in a connection's descriptor at the end of
 * every call and takes it up again with the next one; here it stays registered in between, which
 * spares two system calls a call. Readiness that nobody wants ends that. */
#ifndef PLATFORM_WATCH_H
#define PLATFORM_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct watches { /* release with watches_done() */
	struct loop *loop;
	void (*fn)(void *arg, int fd, uint32_t events);
	void *arg;
	struct watch **table; /* by descriptor; NULL where there is none */
	size_t size;
};

/* `fn` hears of what watches_want() asked for, and of EPOLLERR and EPOLLHUP while it asks. */
void watches_init(struct watches *watches, struct loop *loop,
                  void (*fn)(void *arg, int fd, uint32_t events), void *arg);
void watches_done(struct watches *watches); /* closes no descriptor; safe on {0} */

/* A new connection's descriptor. Only of one that was announced here, and whose end will be, the
 * registration outlives the interest: any other (the resolver's) may be closed behind our back. */
void watches_opened(struct watches *watches, int fd);
/* Before the descriptor is closed. */
void watches_closed(struct watches *watches, int fd);
/* EPOLLIN | EPOLLOUT, or 0 for nothing. Without memory the descriptor is not watched. */
void watches_want(struct watches *watches, int fd, uint32_t events);

#endif
