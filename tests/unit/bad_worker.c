/* bad_worker.c - a symbol worker that misbehaves, to see what the daemon makes of it.
 *
 * The name of its file, a copy, says how: bad-HOW or bad-HOW-lookup, where the second form answers OPEN properly
 * first. It has no arguments or environment of its own, because the daemon gives it none.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol_wire.h"

static struct wire_request request;
static uint64_t addresses[WIRE_ADDRESSES_MAX];

static void
receive(void)
{
	int fd = -1;

	if (wire_receive(WIRE_FD, &request, sizeof(request), &fd, -1) < 0)
		exit(0);
	if (fd >= 0)
		close(fd);
	if (request.count > 0 && wire_receive(WIRE_FD, addresses, request.count * sizeof(*addresses), NULL, -1) < 0)
		exit(0);
}

static void
answer(const void *bytes, size_t size)
{
	if (wire_send(WIRE_FD, bytes, size, -1, -1) < 0)
		exit(0);
}

static struct wire_answer
proper(void)
{
	return (struct wire_answer){ .magic = WIRE_MAGIC, .type = request.type, .sequence = request.sequence };
}

/* An answer to LOOKUP that is right but for one thing. */
static void
answer_wrong(const char *how)
{
	struct wire_answer head = proper();
	struct wire_symbol symbol = { .first_line = 0, .n_lines = 1 };
	struct wire_line line = { .name = 0, .system_name = 0, .file = 5, .line = 1 };
	char strings[2 * WIRE_STRING_MAX] = "name";
	uint32_t size = 6;

	head.n_symbols = head.n_lines = 1;
	if (strcmp(how, "symbols") == 0)
		head.n_symbols = UINT32_MAX;
	else if (strcmp(how, "none") == 0)
		head.n_symbols = 0;
	else if (strcmp(how, "lines") == 0)
		head.n_lines = UINT32_MAX;
	else if (strcmp(how, "first") == 0)
		symbol.first_line = UINT32_MAX;
	else if (strcmp(how, "many") == 0)
		symbol.n_lines = 2;
	else if (strcmp(how, "offset") == 0)
		line.system_name = 6;
	else if (strcmp(how, "open") == 0)
		strings[5] = 'x';
	else if (strcmp(how, "long") == 0)
		memset(strings, 'x', (size = sizeof(strings)) - 1);
	else if (strcmp(how, "strings") == 0)
		size = UINT32_MAX;
	else if (strcmp(how, "status") == 0)
		head.status = 77;
	else if (strcmp(how, "sequence") == 0)
		head.sequence++;
	else if (strcmp(how, "type") == 0)
		head.type = WIRE_OPEN;
	head.strings_size = size;
	answer(&head, sizeof(head));
	answer(&symbol, sizeof(symbol));
	answer(&line, sizeof(line));
	answer(strings, size < sizeof(strings) ? size : sizeof(strings));
	if (strcmp(how, "good") != 0)
		pause();
}

static void
misbehave(const char *how)
{
	static unsigned char noise[65536];

	if (strcmp(how, "hang") == 0) {
		pause();
	} else if (strcmp(how, "stop") == 0) {
		raise(SIGSTOP);
		exit(0);
	} else if (strcmp(how, "die") == 0) {
		abort();
	} else if (strcmp(how, "killed") == 0) {
		raise(SIGKILL);
	} else if (strcmp(how, "leave") == 0) {
		exit(0);
	} else if (strcmp(how, "noise") == 0) {
		for (size_t done = 0; done < sizeof(noise); done += 256)
			if (getrandom(noise + done, 256, 0) != 256)
				exit(1);
		answer(noise, sizeof(noise));
		pause();
	} else if (strcmp(how, "flood") == 0) {
		for (;;)
			answer(noise, sizeof(noise));
	} else if (strcmp(how, "half") == 0) {
		struct wire_answer head = proper();
		answer(&head, sizeof(head) / 2);
		pause();
	} else if (strcmp(how, "drip") == 0) {
		struct wire_answer head = proper();
		for (size_t i = 0; i < sizeof(head); i++) {
			answer((char *)&head + i, 1);
			usleep(20000);
		}
	} else if (strcmp(how, "file") == 0) {
		struct wire_answer head = proper();
		wire_send(WIRE_FD, &head, sizeof(head), 0, -1);
		pause();
	} else {
		answer_wrong(how);
	}
}

int
main(void)
{
	char how[64] = "", name[4096];
	ssize_t n = readlink("/proc/self/exe", name, sizeof(name) - 1);
	char *lookup;

	name[n > 0 ? n : 0] = '\0';
	if (sscanf(strrchr(name, '/') ? strrchr(name, '/') : "", "/bad-%63s", how) != 1)
		return 3;
	lookup = strstr(how, "-lookup");
	if (lookup)
		*lookup = '\0';
	for (;;) {
		receive();
		if (lookup && request.type != WIRE_LOOKUP) {
			struct wire_answer head = proper();
			answer(&head, sizeof(head));
		} else {
			misbehave(how);
		}
	}
}
