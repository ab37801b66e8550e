/* worker_link.c - spawns the worker and checks all it says. */
#include "worker_link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REAP_MS 2000 /* a killed worker that still waits for a dead file server is left alone after so long */

struct worker_link {
	const char *program;
	pid_t pid; /* 0: none running */
	int socket;
	uint32_t sequence;
	char *body; /* of the last answer to LOOKUP */
	size_t body_room;
	_Atomic uint64_t starts, timeouts, deaths, nonsense;
};

struct worker_link *
worker_link_new(const char *program)
{
	struct worker_link *link = calloc(1, sizeof(*link));

	if (link) {
		link->program = program;
		link->socket = -1;
	}
	return link;
}

void
worker_link_free(struct worker_link *link)
{
	if (!link)
		return;
	worker_link_stop(link);
	free(link->body);
	free(link);
}

void
worker_link_count(const struct worker_link *link, struct worker_link_counters *ret)
{
	ret->starts = atomic_load_explicit(&link->starts, memory_order_relaxed);
	ret->timeouts = atomic_load_explicit(&link->timeouts, memory_order_relaxed);
	ret->deaths = atomic_load_explicit(&link->deaths, memory_order_relaxed);
	ret->nonsense = atomic_load_explicit(&link->nonsense, memory_order_relaxed);
}

void
worker_link_stop(struct worker_link *link)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	if (link->pid == 0)
		return;
	close(link->socket);
	link->socket = -1;
	kill(link->pid, SIGKILL);
	for (int64_t end = wire_now_ms() + REAP_MS; wire_now_ms() < end; nanosleep(&pause, NULL)) {
		pid_t gone = waitpid(link->pid, NULL, WNOHANG);
		if (gone == link->pid || (gone < 0 && errno != EINTR))
			break;
	}
	link->pid = 0;
}

/* Its own process group, so that Ctrl-C in a terminal is the daemon's alone; default signals; an empty environment, so
 * that no LD_PRELOAD, MALLOC_ or DEBUGINFOD_ variable works there; and no descriptor but the three standard ones and the
 * socket. */
static int
spawn(const char *program, int socket, pid_t *ret)
{
	char *argv[] = { (char *)(uintptr_t) "heapd", (char *)(uintptr_t) "symbol-worker", NULL }, *envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	sigfillset(&all);
	sigemptyset(&none);
	r = posix_spawn_file_actions_adddup2(&actions, socket, WIRE_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, 0, 1);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, WIRE_FD + 1);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attributes, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setpgroup(&attributes, 0);
	if (r == 0)
		r = posix_spawnattr_setflags(&attributes,
					     POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	if (r == 0)
		r = posix_spawn(ret, program, &actions, &attributes, argv, envp);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int
start(struct worker_link *link)
{
	int pair[2], r;

	if (link->pid != 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = spawn(link->program, pair[1], &link->pid);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		link->pid = 0;
		return r;
	}
	link->socket = pair[0];
	atomic_fetch_add_explicit(&link->starts, 1, memory_order_relaxed);
	return 0;
}

/* Count the failure by its kind and end the worker. */
static int
give_up(struct worker_link *link, int r)
{
	_Atomic uint64_t *counter = r == -ETIMEDOUT ? &link->timeouts : r == -EPROTO ? &link->nonsense : &link->deaths;

	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
	worker_link_stop(link);
	return r;
}

static bool
is_answer_to(const struct wire_answer *answer, const struct wire_request *request)
{
	return answer->magic == WIRE_MAGIC && answer->type == request->type && answer->sequence == request->sequence &&
	       answer->status < WIRE_STATUSES && answer->build_id_length <= HEAPD_BUILD_ID_MAX &&
	       answer->alt_build_id_length <= HEAPD_BUILD_ID_MAX && memchr(answer->debuglink, 0, WIRE_NAME_MAX) &&
	       memchr(answer->alt, 0, WIRE_NAME_MAX);
}

static int
exchange(struct worker_link *link, struct wire_request *request, int fd, const uint64_t *addresses, int64_t deadline_ms,
	 struct wire_answer *ret)
{
	int r = start(link);

	if (r < 0)
		return r;
	request->magic = WIRE_MAGIC;
	request->sequence = ++link->sequence;
	r = wire_send(link->socket, request, sizeof(*request), fd, deadline_ms);
	if (r == 0 && request->count > 0)
		r = wire_send(link->socket, addresses, request->count * sizeof(*addresses), -1, deadline_ms);
	if (r == 0)
		r = wire_receive(link->socket, ret, sizeof(*ret), NULL, deadline_ms);
	if (r == 0 && !is_answer_to(ret, request))
		r = -EPROTO;
	return r;
}

int
worker_link_file(struct worker_link *link, enum wire_type type, int fd, uint32_t flags, const uint8_t *build_id,
		 size_t build_id_length, int64_t deadline_ms, struct wire_answer *ret)
{
	struct wire_request request = { .type = type, .flags = flags };
	struct wire_answer answer;
	int r;

	if (build_id_length > 0 && build_id_length <= sizeof(request.build_id)) {
		request.build_id_length = (uint32_t)build_id_length;
		memcpy(request.build_id, build_id, build_id_length);
	}
	r = exchange(link, &request, fd, NULL, deadline_ms, &answer);
	if (r < 0)
		return give_up(link, r);
	*ret = answer;
	return 0;
}

/* The strings end with a NUL; so every offset within them is a string. Its length is checked as well. */
static bool
is_string(const char *strings, uint32_t size, uint32_t offset)
{
	return offset < size && strnlen(strings + offset, WIRE_STRING_MAX) < WIRE_STRING_MAX;
}

static bool
names_are_sound(const struct worker_names *names, const struct wire_answer *answer)
{
	for (uint32_t i = 0; i < names->n; i++) {
		const struct wire_symbol *s = &names->symbols[i];
		if (s->n_lines > WIRE_LINES_MAX || s->first_line > answer->n_lines ||
		    s->n_lines > answer->n_lines - s->first_line)
			return false;
	}
	if (answer->strings_size > 0 && names->strings[answer->strings_size - 1] != '\0')
		return false;
	for (uint32_t i = 0; i < answer->n_lines; i++) {
		const struct wire_line *l = &names->lines[i];
		if (!is_string(names->strings, answer->strings_size, l->name) ||
		    !is_string(names->strings, answer->strings_size, l->system_name) ||
		    !is_string(names->strings, answer->strings_size, l->file))
			return false;
	}
	return true;
}

static int
receive_names(struct worker_link *link, const struct wire_answer *answer, uint32_t asked, int64_t deadline_ms,
	      struct worker_names *ret)
{
	size_t symbols = answer->n_symbols * sizeof(struct wire_symbol), lines, size;
	int r;

	if (answer->status != WIRE_OK || answer->n_symbols == 0 || answer->n_symbols > asked ||
	    answer->n_lines > answer->n_symbols * WIRE_LINES_MAX || answer->strings_size > WIRE_STRINGS_MAX)
		return -EPROTO;
	lines = answer->n_lines * sizeof(struct wire_line);
	size = symbols + lines + answer->strings_size;
	if (size > link->body_room) {
		char *body = realloc(link->body, size);
		if (!body)
			return -ENOMEM;
		link->body = body;
		link->body_room = size;
	}
	r = wire_receive(link->socket, link->body, size, NULL, deadline_ms);
	if (r < 0)
		return r;
	*ret = (struct worker_names){ .n = answer->n_symbols,
				      .symbols = (const void *)link->body,
				      .lines = (const void *)(link->body + symbols),
				      .strings = link->body + symbols + lines };
	return names_are_sound(ret, answer) ? 0 : -EPROTO;
}

int
worker_link_names(struct worker_link *link, const uint64_t *addresses, uint32_t n, int64_t deadline_ms,
		  struct worker_names *ret)
{
	struct wire_request request = { .type = WIRE_LOOKUP, .count = n };
	struct wire_answer answer;
	struct worker_names names;
	int r = exchange(link, &request, -1, addresses, deadline_ms, &answer);

	if (r == 0)
		r = receive_names(link, &answer, n, deadline_ms, &names);
	if (r < 0)
		return give_up(link, r);
	*ret = names;
	return 0;
}
