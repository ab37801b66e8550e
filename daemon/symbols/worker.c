/* worker.c - reads requests, asks debuginfo, writes answers. No state but the module that is open.
 *
 * Opens nothing: files arrive as descriptors. Whatever goes wrong here is an exit; the daemon starts another worker.
 */
#include "worker.h"

#include <errno.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "debuginfo.h"
#include "demangle.h"
#include "symbol_wire.h"
#include "table.h"
#include "utf8.h"
#include "worker_sandbox.h"

struct lookup {
	uint64_t addresses[WIRE_ADDRESSES_MAX];
	struct wire_symbol symbols[WIRE_ADDRESSES_MAX];
	struct wire_line lines[WIRE_ADDRESSES_MAX * WIRE_LINES_MAX];
	char strings[WIRE_STRINGS_MAX];
	uint32_t n_symbols, n_lines, strings_size;
	struct {
		uint64_t hash;
		uint32_t offset, length;
	} seen[4096]; /* strings already in the answer; a later one of the same slot replaces it */
};

/* Strings over the limit are cut, between characters if it is UTF-8; the daemon makes sure that it is. */
static uint32_t
put_string(struct lookup *l, const char *text)
{
	uint32_t length = (uint32_t)utf8_cut(text, strnlen(text, WIRE_STRING_MAX), WIRE_STRING_MAX - 1);
	uint32_t offset = l->strings_size;
	uint64_t hash = hash_bytes(text, length) | 1;
	size_t at = hash % (sizeof(l->seen) / sizeof(*l->seen));

	if (l->seen[at].hash == hash && l->seen[at].length == length &&
	    memcmp(l->strings + l->seen[at].offset, text, length) == 0)
		return l->seen[at].offset;
	memcpy(l->strings + offset, text, length);
	l->strings[offset + length] = '\0';
	l->strings_size += length + 1;
	l->seen[at].hash = hash;
	l->seen[at].offset = offset;
	l->seen[at].length = length;
	return offset;
}

static void
put_line(struct lookup *l, const struct debuginfo_line *line)
{
	char readable[WIRE_STRING_MAX];
	bool mangled = demangle_name(line->system_name, readable, sizeof(readable));

	l->lines[l->n_lines++] = (struct wire_line){ .name = put_string(l, mangled ? readable : line->source_name),
						     .system_name = put_string(l, line->system_name),
						     .file = put_string(l, line->file ? line->file : ""),
						     .line = line->line,
						     .start_line = line->start_line };
}

static bool
has_room(const struct lookup *l)
{
	return WIRE_STRINGS_MAX - l->strings_size > 3 * WIRE_LINES_MAX * WIRE_STRING_MAX;
}

static void
look_up(struct lookup *l, struct debuginfo *d, uint32_t count)
{
	struct debuginfo_line lines[WIRE_LINES_MAX];

	l->n_symbols = l->n_lines = l->strings_size = 0;
	memset(l->seen, 0, sizeof(l->seen));
	while (l->n_symbols < count && has_room(l)) {
		struct wire_symbol *symbol = &l->symbols[l->n_symbols];
		size_t n = debuginfo_find(d, l->addresses[l->n_symbols], lines, WIRE_LINES_MAX);

		*symbol = (struct wire_symbol){ .first_line = l->n_lines, .n_lines = (uint32_t)n };
		for (size_t i = 0; i < n; i++)
			put_line(l, &lines[i]);
		l->n_symbols++;
	}
}

static int
answer_lookup(struct lookup *l, struct debuginfo *d, const struct wire_request *request, struct wire_answer *answer)
{
	int r = wire_receive(WIRE_FD, l->addresses, request->count * sizeof(*l->addresses), NULL, -1);

	if (r < 0)
		return r;
	answer->status = d ? WIRE_OK : WIRE_NO_MODULE;
	if (!d)
		return wire_send(WIRE_FD, answer, sizeof(*answer), -1, -1);
	look_up(l, d, request->count);
	answer->n_symbols = l->n_symbols;
	answer->n_lines = l->n_lines;
	answer->strings_size = l->strings_size;
	r = wire_send(WIRE_FD, answer, sizeof(*answer), -1, -1);
	if (r == 0)
		r = wire_send(WIRE_FD, l->symbols, l->n_symbols * sizeof(*l->symbols), -1, -1);
	if (r == 0)
		r = wire_send(WIRE_FD, l->lines, l->n_lines * sizeof(*l->lines), -1, -1);
	if (r == 0)
		r = wire_send(WIRE_FD, l->strings, l->strings_size, -1, -1);
	return r;
}

/* OPEN, DEBUG and ALT: always one file. */
static int
answer_file(struct debuginfo **d, int fd, const struct wire_request *request, struct wire_answer *answer)
{
	enum wire_status status = WIRE_NO_MODULE;

	if (fd < 0 || request->build_id_length > HEAPD_BUILD_ID_MAX)
		return -EPROTO;
	if (request->type == WIRE_OPEN) {
		debuginfo_free(*d);
		*d = NULL;
		status = debuginfo_open(fd, request->flags, request->build_id, request->build_id_length, d);
	} else if (!*d) {
		close(fd);
	} else if (request->type == WIRE_DEBUG) {
		status = debuginfo_add_debug(*d, fd);
	} else {
		status = debuginfo_add_alt(*d, fd);
	}
	answer->status = status;
	if (*d)
		debuginfo_describe(*d, answer);
	return wire_send(WIRE_FD, answer, sizeof(*answer), -1, -1);
}

static int
answer_one(struct lookup *l, struct debuginfo **d)
{
	struct wire_request request;
	struct wire_answer answer = { .magic = WIRE_MAGIC };
	int fd = -1, r = wire_receive(WIRE_FD, &request, sizeof(request), &fd, -1);

	if (r < 0)
		return r;
	if (request.magic != WIRE_MAGIC)
		return -EPROTO;
	answer.type = request.type;
	answer.sequence = request.sequence;
	switch (request.type) {
	case WIRE_OPEN:
	case WIRE_DEBUG:
	case WIRE_ALT:
		return answer_file(d, fd, &request, &answer);
	case WIRE_LOOKUP:
		if (fd < 0 && request.count > 0 && request.count <= WIRE_ADDRESSES_MAX)
			return answer_lookup(l, *d, &request, &answer);
	}
	return -EPROTO;
}

static bool
socket_is_there(void)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(domain);

	return getsockopt(WIRE_FD, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(WIRE_FD, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

int
worker_main(void)
{
	struct lookup *lookup;
	struct debuginfo *d = NULL;
	int r;

	if (!socket_is_there()) {
		fputs("heapd symbol-worker: only the daemon starts this: it speaks over file descriptor 3\n", stderr);
		return 2;
	}
	elf_version(EV_CURRENT);
	lookup = malloc(sizeof(*lookup));
	r = lookup ? sandbox_limits() : -ENOMEM;
	if (r < 0) {
		fprintf(stderr, "heapd symbol-worker: cannot limit itself: %s\n", strerror(-r));
		return 1;
	}
	sandbox_close(); /* limits and closed descriptors remain where the kernel has no filters */
	while (r == 0)
		r = answer_one(lookup, &d);
	/* The system frees the module faster; and exit handlers need calls that are closed by now. */
	_exit(r == -EPIPE ? 0 : 1);
}
