/* http.c - what a stranger sends, over a socket to the whole server, libmicrohttpd included: half requests, folded headers,
 * chunks, pipelines. A byte 0 ends a write; then the rest is sent by another. Three programs are served.
 */
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "fuzz.h"
#include "served.h"
#include "server.h"

static struct address address;

static void
start(void)
{
	static struct server *server;
	struct server_options options = { 0 };

	if (server)
		return;
	MUST(address_parse("127.0.0.1:0", &address) == 0);
	options.listen_fd = address_listen(&address);
	MUST(options.listen_fd >= 0);
	options.guard.listen = address;
	options.targets = served(3)->targets;
	options.symbols = served(3)->symbols;
	MUST(server_new(&options, &server) == 0);
}

static void
talk(struct input in, int fd)
{
	char reply[16384];
	size_t size = 0;
	ssize_t n;

	while (in.left > 0) {
		size_t length = strnlen((const char *)in.at, in.left), rest = in.left - length;

		if (length > 0 && TEMP_FAILURE_RETRY(send(fd, in.at, length, MSG_NOSIGNAL)) != (ssize_t)length)
			break;
		in.at += length + (rest > 0);
		in.left = rest - (rest > 0);
	}
	(void)shutdown(fd, SHUT_WR);
	/* libFuzzer's clock interrupts what waits. */
	while ((n = TEMP_FAILURE_RETRY(recv(fd, reply + size, sizeof(reply) - size, 0))) > 0)
		size = size + (size_t)n < sizeof(reply) / 2 ? size + (size_t)n : sizeof(reply) / 2;
	MUST(n == 0 || errno == ECONNRESET);
	MUST(size == 0 || (size > 15 && memcmp(reply, "HTTP/1.", 7) == 0 && strncmp(reply + 8, " 500", 4) != 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct timeval patience = { .tv_sec = 15 };
	int fd;

	start();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	MUST(connect(fd, &address.socket.any, address.size) == 0);
	talk((struct input){ bytes, size }, fd);
	close(fd);
	return 0;
}
