/* worker_sandbox.c - limits and a seccomp filter.
 *
 * A list of what is allowed, because new system calls appear every year. Forbidden ones fail with EPERM instead of
 * killing: libdw tries to open files by name (.dwo, alternate files) and gets along without.
 */
#include "worker_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define MEMORY_MAX ((rlim_t)4 << 30) /* a 500 MB program, mapped, with its compressed sections unpacked */
#define STACK_MAX ((rlim_t)64 << 20) /* libiberty recurses once or more per byte of a name */
#define CPU_SECONDS 180 /* the daemon replaces a worker long before it has used so much */
#define FILES_MAX 32

static int
limit(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit now;

	if (getrlimit(what, &now) < 0)
		return -errno;
	if (now.rlim_max < value)
		value = now.rlim_max;
	now.rlim_cur = now.rlim_max = value;
	return setrlimit(what, &now) < 0 ? -errno : 0;
}

/* Where memory runs out it is the worker that goes, not the daemon nor a program of the machine. */
static void
go_first(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "1000", 4);
	close(fd);
}

int
sandbox_limits(void)
{
	int r = limit(RLIMIT_CORE, 0);

	go_first();

	if (r == 0)
		r = limit(RLIMIT_STACK, STACK_MAX);
	if (r == 0)
		r = limit(RLIMIT_CPU, CPU_SECONDS);
	if (r == 0)
		r = limit(RLIMIT_NOFILE, FILES_MAX);
	if (r == 0)
		r = limit(RLIMIT_FSIZE, 0);
#ifndef SANITIZED /* sanitizers reserve terabytes */
	if (r == 0)
		r = limit(RLIMIT_AS, MEMORY_MAX);
#endif
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	return r;
}

#ifdef ARCHITECTURE

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), ANSWER(SECCOMP_RET_ALLOW)
/* mmap and mprotect, unless they ask for executable memory. The third argument's low half comes first in memory. */
#define ALLOW_NOT_EXECUTABLE(name)                                                                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 4), LOAD(args[2]),                    \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0), ANSWER(SECCOMP_RET_ALLOW), \
		ANSWER(SECCOMP_RET_ERRNO | EPERM)

static struct sock_filter filter[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
	ANSWER(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
	ALLOW(read),
	ALLOW(pread64),
	ALLOW(readv),
	ALLOW(write), /* what a dying C library says on stderr */
	ALLOW(lseek),
	ALLOW(close),
	ALLOW(fcntl),
	ALLOW(fstat),
	ALLOW(newfstatat), /* of a descriptor; without execve and open a name tells nothing */
#ifdef __NR_poll
	ALLOW(poll),
#endif
	ALLOW(ppoll),
	ALLOW(recvmsg),
	ALLOW(sendmsg),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	ALLOW(brk),
	ALLOW(futex),
	ALLOW(clock_gettime),
	ALLOW(getrandom),
	ALLOW(getpid),
	ALLOW(gettid),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn),
#ifdef SANITIZED
	ALLOW(sigaltstack), /* their way out */
#endif
	ALLOW(exit),
	ALLOW(exit_group),
	ALLOW_NOT_EXECUTABLE(mmap),
	ALLOW_NOT_EXECUTABLE(mprotect),
	ANSWER(SECCOMP_RET_ERRNO | EPERM),
};

int
sandbox_close(void)
{
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(*filter), .filter = filter };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}

#else

int
sandbox_close(void)
{
	return -ENOSYS;
}

#endif
