/* address.c - parse, print and bind the address of --listen. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "number.h"

int
address_parse(const char *s, struct address *ret)
{
	const char *colon = strrchr(s, ':');
	struct address a = { 0 };
	char host[INET6_ADDRSTRLEN + 2];
	uint64_t port;
	size_t length;

	if (!colon || number_parse(colon + 1, &port) < 0 || port > 65535)
		return -EINVAL;
	length = (size_t)(colon - s);
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, s, length);
	host[length] = '\0';
	if (length == 0 || strcmp(host, "localhost") == 0)
		(void)snprintf(host, sizeof(host), "127.0.0.1");

	if (host[0] == '[') {
		length = strlen(host);
		if (host[length - 1] != ']')
			return -EINVAL;
		host[length - 1] = '\0';
		a.socket.six.sin6_family = AF_INET6;
		a.size = sizeof(a.socket.six);
		if (inet_pton(AF_INET6, host + 1, &a.socket.six.sin6_addr) != 1)
			return -EINVAL;
	} else {
		a.socket.four.sin_family = AF_INET;
		a.size = sizeof(a.socket.four);
		if (inet_pton(AF_INET, host, &a.socket.four.sin_addr) != 1)
			return -EINVAL;
	}
	address_set_port(&a, (uint16_t)port);
	*ret = a;
	return 0;
}

bool
address_is_loopback(const struct address *a)
{
	if (a->socket.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a->socket.six.sin6_addr);
	return ntohl(a->socket.four.sin_addr.s_addr) >> 24 == 127;
}

uint16_t
address_port(const struct address *a)
{
	return ntohs(a->socket.any.sa_family == AF_INET6 ? a->socket.six.sin6_port : a->socket.four.sin_port);
}

void
address_set_port(struct address *a, uint16_t port)
{
	if (a->socket.any.sa_family == AF_INET6)
		a->socket.six.sin6_port = htons(port);
	else
		a->socket.four.sin_port = htons(port);
}

const char *
address_host(const struct address *a, char *buffer, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->socket.any.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &a->socket.six.sin6_addr, text, sizeof(text));
		(void)snprintf(buffer, size, "[%s]", text);
	} else {
		(void)inet_ntop(AF_INET, &a->socket.four.sin_addr, text, sizeof(text));
		(void)snprintf(buffer, size, "%s", text);
	}
	return buffer;
}

void
address_local(int fd, struct address *ret)
{
	*ret = (struct address){ .size = sizeof(ret->socket) };
	if (getsockname(fd, &ret->socket.any, &ret->size) < 0 ||
	    (ret->socket.any.sa_family != AF_INET && ret->socket.any.sa_family != AF_INET6))
		ret->size = 0;
}

int
address_listen(struct address *a)
{
	struct address bound = *a;
	int fd, on = 1, r;

	fd = socket(a->socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* A restart must not wait for connections in TIME_WAIT; a port that somebody listens on stays refused. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (a->socket.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, &a->socket.any, a->size) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, &bound.socket.any, &bound.size) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*a = bound;
	return fd;
}
