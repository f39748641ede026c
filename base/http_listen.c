#include "http_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "num.h"

enum { BACKLOG = 1024 }; /* the kernel cuts it to net.core.somaxconn */

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa;
	socklen_t len;
};

static int fill_address(const char *host, int port, struct address *ret)
{
	struct address address = {0};
	if (inet_pton(AF_INET, host, &address.sa.in.sin_addr) == 1) {
		address.sa.in.sin_family = AF_INET;
		address.sa.in.sin_port = htons((uint16_t)port);
		address.len = sizeof(address.sa.in);
	} else if (inet_pton(AF_INET6, host, &address.sa.in6.sin6_addr) == 1) {
		address.sa.in6.sin6_family = AF_INET6;
		address.sa.in6.sin6_port = htons((uint16_t)port);
		address.len = sizeof(address.sa.in6);
	} else {
		return -1;
	}
	*ret = address;
	return 0;
}

static bool have_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

/* "HOST:PORT" with a numeric host, an IPv6 one in brackets; no host: every address. */
static int parse_listen(const char *text, struct address *ret, struct err *err)
{
	int64_t port;
	const char *colon = strrchr(text, ':');
	if (!colon || num_i64(colon + 1, strlen(colon + 1), 0, 65535, &port) < 0)
		return err_set(err, ERR_REJECT, "config", "\"%s\" is not HOST:PORT", text);
	size_t len = (size_t)(colon - text);
	bool all = len == 0, bracket = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	size_t edge = bracket ? 1 : 0;
	char host[INET6_ADDRSTRLEN] = "";
	if (len - 2 * edge < sizeof(host))
		memcpy(host, text + edge, len - 2 * edge);
	if (!all && bracket != (strchr(host, ':') != NULL))
		host[0] = '\0';
	const char *any = have_ipv6() ? "::" : "0.0.0.0";
	if (fill_address(all ? any : host, (int)port, ret) < 0)
		return err_set(err, ERR_REJECT, "config", "\"%s\" has no numeric address", text);
	return 0;
}

static int set_flag(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int bind_and_listen(int fd, const struct address *address, bool reuse_port)
{
	if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
	    (reuse_port && set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0))
		return -1;
	if (address->sa.any.sa_family == AF_INET6) {
		bool all = IN6_IS_ADDR_UNSPECIFIED(&address->sa.in6.sin6_addr);
		if (set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, !all) < 0)
			return -1;
	}
	return bind(fd, &address->sa.any, address->len) < 0 ? -1 : listen(fd, BACKLOG);
}

int http_listen(const struct http_opts *opts, struct err *err)
{
	struct address address;
	if (parse_listen(opts->listen, &address, err) < 0)
		return -1;
	int fd = socket(address.sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind_and_listen(fd, &address, opts->reuse_port) == 0)
		return fd;
	(void)err_errno(err, ERR_FATAL, errno, "cannot listen on %s", opts->listen);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

int http_listen_port(int fd)
{
	struct address address = {.len = sizeof(address.sa)};
	if (getsockname(fd, &address.sa.any, &address.len) < 0)
		return 0;
	/* At the same place in both families. */
	return ntohs(address.sa.in.sin_port);
}
