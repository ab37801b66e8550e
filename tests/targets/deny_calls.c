/* deny_calls.c - runs a program and makes one of its system calls fail, when the control file says so (see deny.h).
 *
 *   deny_calls CONTROL PROGRAM [ARG...]
 *
 * The kernel asks about every call in the table, of the program, its threads and children (seccomp's user notification). Left
 * out are calls that cannot fail for want of anything: exits, locks, signals, unmapping, closing; and brk, which has no errors.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "deny.h"

static const struct {
	int number, error;
} calls[] = {
	{ SYS_read, EIO },
	{ SYS_pread64, EIO },
	{ SYS_readv, EIO },
	{ SYS_write, ENOSPC },
	{ SYS_writev, ENOSPC },
	{ SYS_openat, EMFILE },
#ifdef SYS_open
	{ SYS_open, EMFILE },
	{ SYS_poll, ENOMEM },
	{ SYS_access, ENOENT },
	{ SYS_readlink, EACCES },
	{ SYS_unlink, EACCES },
	{ SYS_stat, EACCES },
	{ SYS_lstat, EACCES },
#endif
	{ SYS_openat2, EMFILE },
	{ SYS_ppoll, ENOMEM },
	{ SYS_fstat, EIO },
	{ SYS_newfstatat, EACCES },
	{ SYS_statx, EACCES },
	{ SYS_statfs, EACCES },
	{ SYS_lseek, EINVAL },
	{ SYS_getdents64, EIO },
	{ SYS_readlinkat, EACCES },
	{ SYS_unlinkat, EACCES },
	{ SYS_mkdirat, ENOSPC },
	{ SYS_fcntl, EMFILE },
	{ SYS_dup, EMFILE },
	{ SYS_mmap, ENOMEM },
	{ SYS_mremap, ENOMEM },
	{ SYS_mprotect, ENOMEM },
	{ SYS_madvise, EINVAL },
	{ SYS_clone, EAGAIN },
	{ SYS_clone3, EAGAIN },
#ifdef SYS_vfork
	{ SYS_vfork, EAGAIN },
#endif
	{ SYS_execve, EACCES },
	{ SYS_wait4, ECHILD },
	{ SYS_kill, EPERM },
	{ SYS_socket, EMFILE },
	{ SYS_socketpair, EMFILE },
	{ SYS_bind, EADDRINUSE },
	{ SYS_listen, EADDRINUSE },
	{ SYS_accept4, EMFILE },
	{ SYS_accept, EMFILE },
	{ SYS_connect, ECONNREFUSED },
	{ SYS_getsockname, ENOBUFS },
	{ SYS_getpeername, ENOTCONN },
	{ SYS_setsockopt, ENOMEM },
	{ SYS_getsockopt, ENOMEM },
	{ SYS_sendto, ECONNRESET },
	{ SYS_sendmsg, ENOBUFS },
	{ SYS_sendfile, EIO },
	{ SYS_recvfrom, ECONNRESET },
	{ SYS_recvmsg, ENOMEM },
	{ SYS_shutdown, ENOTCONN },
	{ SYS_eventfd2, EMFILE },
	{ SYS_pipe2, EMFILE },
	{ SYS_inotify_init1, EMFILE },
	{ SYS_inotify_add_watch, ENOSPC },
	{ SYS_prctl, EINVAL },
	{ SYS_prlimit64, EPERM },
	{ SYS_getrandom, EINTR },
	{ SYS_rt_sigtimedwait, EINTR },
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static int
error_of(int number)
{
	for (size_t i = 0; i < CALLS; i++)
		if (calls[i].number == number)
			return calls[i].error;
	return EIO;
}

/* In the child: from here on every call of the table waits for us. */
static int
listen_to_myself(void)
{
	struct sock_filter filter[2 * CALLS + 2];
	struct sock_fprog program = { .filter = filter };
	unsigned short n = 0;

	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < CALLS; i++) {
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static pid_t child;

static void
pass_on(int number)
{
	kill(child, number);
}

/* Answer until nobody is left who could ask. */
static void
answer_all(int listener, struct deny *control)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	for (;;) {
		struct seccomp_notif question;
		struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return;
		if (!(p.revents & POLLIN) && p.revents & POLLHUP)
			return;
		memset(&question, 0, sizeof(question));
		if (!(p.revents & POLLIN) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0)
			continue; /* whoever asked is gone */
		answer.id = question.id;
		if (deny_now(control, question.data.nr)) {
			answer.flags = 0;
			answer.error = -error_of(question.data.nr);
		}
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

int
main(int argc, char **argv)
{
	struct deny *control = argc > 2 ? deny_open(argv[1]) : NULL;
	int pidfd, listener, status = 0;

	if (!control) {
		fputs("usage: deny_calls CONTROL PROGRAM [ARG...]\n", stderr);
		return 2;
	}
	atomic_store(&control->listener, -1);
	child = fork();
	if (child == 0) {
		/* Nothing that would have to be answered, before there is somebody to answer. */
		int fd = listen_to_myself();

		atomic_store(&control->listener, fd < 0 ? -2 : fd);
		while (atomic_load(&control->listener) != -3)
			sched_yield();
		execv(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	while (atomic_load(&control->listener) == -1)
		sched_yield();
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	listener = (int)syscall(SYS_pidfd_getfd, pidfd, (int)atomic_load(&control->listener), 0);
	if (listener < 0) {
		perror("deny_calls: cannot listen to system calls");
		kill(child, SIGKILL);
		return 77;
	}
	signal(SIGTERM, pass_on);
	atomic_store(&control->listener, -3);
	answer_all(listener, control);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		kill(getpid(), WTERMSIG(status));
	}
	return WEXITSTATUS(status);
}
