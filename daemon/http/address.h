/* address.h - where the daemon listens, and what such an address is called in a URL. */
#ifndef HEAPD_ADDRESS_H
#define HEAPD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_DEFAULT "127.0.0.1:6070"
#define ADDRESS_FORM "ADDR:PORT such as 127.0.0.1:6070, [::1]:6070 or localhost:0"

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} socket;
	socklen_t size;
};

#define ADDRESS_TEXT 64

/* Numeric addresses and "localhost"; names are not looked up. A missing ADDR means 127.0.0.1, never every interface.
 * 0, or -EINVAL. */
int address_parse(const char *s, struct address *ret);

/* Reachable from this machine only. */
bool address_is_loopback(const struct address *a);
uint16_t address_port(const struct address *a);
void address_set_port(struct address *a, uint16_t port);

/* The address at our end of a connection; size 0 if the socket has none. */
void address_local(int fd, struct address *ret);

/* The host as it stands in a URL: "127.0.0.1", "[::1]". */
const char *address_host(const struct address *a, char *buffer, size_t size);

/* A listening socket, closed on exec. Port 0 takes a free one; *a is updated to what it became. Returns the fd or -errno. */
int address_listen(struct address *a);

#endif
