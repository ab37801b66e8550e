/* answers.c - what a symbol worker says, to the daemon's end of the line and to all that use it.
 *
 * The input: a byte of flags, the length of what the first worker says, its bytes, and what all others say. A worker says
 * it at once and hangs up. Flags: how many descriptors it sends along, and whether the module has a build-id.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "fuzz.h"
#include "symbols.h"
#include "utf8.h"

enum { DESCRIPTORS = 3, HAS_BUILD_ID = 4, WORKER_PID = 70000001 };

static struct {
	struct input first, others;
	unsigned descriptors;
	int socket; /* the worker's end; -1: none */
} worker;

int __real_socketpair(int domain, int type, int protocol, int pair[2]);
int __wrap_socketpair(int domain, int type, int protocol, int pair[2]);
int __wrap_posix_spawn(pid_t *ret, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);
int __wrap_kill(pid_t pid, int number);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

static void
say(int socket, const struct input *what, unsigned n_fds)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
	} control = { 0 };
	const int fds[DESCRIPTORS] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)what->at, .iov_len = what->left };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
						   .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	(void)!sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	MUST(shutdown(socket, SHUT_WR) == 0);
}

int
__wrap_socketpair(int domain, int type, int protocol, int pair[2])
{
	int r = __real_socketpair(domain, type, protocol, pair);

	MUST(r == 0 && worker.socket < 0);
	worker.socket = fcntl(pair[1], F_DUPFD_CLOEXEC, 0);
	MUST(worker.socket >= 0);
	return r;
}

int
__wrap_posix_spawn(pid_t *ret, const char *path, const posix_spawn_file_actions_t *actions,
		   const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	(void)path, (void)actions, (void)attributes, (void)argv, (void)envp;
	say(worker.socket, &worker.first, worker.descriptors);
	worker.first = worker.others;
	*ret = WORKER_PID;
	return 0;
}

int
__wrap_kill(pid_t pid, int number)
{
	MUST(pid == WORKER_PID && number == SIGKILL && worker.socket >= 0);
	close(worker.socket);
	worker.socket = -1;
	return 0;
}

pid_t
__wrap_waitpid(pid_t pid, int *status, int options)
{
	(void)status, (void)options;
	MUST(pid == WORKER_PID);
	return pid;
}

static void
must_be_text(const char *s, bool may_be_empty)
{
	MUST(s && (may_be_empty || *s) && strlen(s) <= 4095 && utf8_clean(s, strlen(s)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum { FRAMES = 8 };
	struct input in = { bytes, size };
	unsigned flags = (unsigned)input_number(&in, 1);
	size_t first = input_number(&in, 2);
	char path[] = "/proc/self/exe";
	struct snapshot_module module = { .start = 0x1000,
					  .end = 0x100000,
					  .path = path,
					  .present = true,
					  .main = true,
					  .build_id = { 0xab, 0xcd },
					  .build_id_length = flags & HAS_BUILD_ID ? 20 : 0 };
	const char *const nowhere[] = { "/nonexistent", NULL };
	struct symbols_options options = { .debug_dirs = nowhere };
	struct snapshot_frame frames[FRAMES] = { 0 };
	struct snapshot snap = {
		.random = 1, .modules = &module, .n_modules = 1, .frames = frames, .n_frames = FRAMES
	};
	struct symbol found[FRAMES];
	struct symbols *symbols;
	int free_fd = fuzz_free_fd();

	if (first > in.left)
		first = in.left;
	worker.first = (struct input){ in.at, first };
	worker.others = (struct input){ in.at + first, in.left - first };
	worker.descriptors = flags & DESCRIPTORS;
	worker.socket = -1;
	for (size_t i = 0; i < FRAMES; i++)
		frames[i].address = 0x1100 + i * 16;
	MUST(symbols_new(&options, &symbols) == 0);
	MUST(symbols_resolve(symbols, &snap, 0, found) == 0);
	for (size_t i = 0; i < FRAMES; i++) {
		MUST(found[i].n_lines >= 1);
		for (uint32_t k = 0; k < found[i].n_lines; k++) {
			must_be_text(found[i].lines[k].name, false);
			must_be_text(found[i].lines[k].system_name, false);
			must_be_text(found[i].lines[k].file, true);
		}
	}
	symbols_free(symbols);
	MUST(worker.socket == -1);
	MUST(fuzz_free_fd() == free_fd);
	return 0;
}
