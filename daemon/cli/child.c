/* child.c - a program in the same process group, with the signal mask and dispositions that heapd was started with.
 *
 * Signals from the terminal reach the program by themselves, because it is in our process group; those that were sent to
 * us alone are sent on. Stops (Ctrl-Z, background reads) are left to their default action, so that the shell sees both
 * stop and continue together.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int handed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH };

static void
waited_for(sigset_t *ret)
{
	(void)sigemptyset(ret);
	for (size_t i = 0; i < sizeof(handed_on) / sizeof(handed_on[0]); i++)
		(void)sigaddset(ret, handed_on[i]);
	(void)sigaddset(ret, SIGCHLD);
}

/* In the child: nothing but async-signal-safe calls. */
static void
child_execute(const struct child *c, const char *path, char *const *argv, char *const *environment, int report)
{
	int error;

	(void)sigaction(SIGCHLD, &c->before_child, NULL);
	(void)sigprocmask(SIG_SETMASK, &c->before, NULL);
	(void)execve(path, argv, environment);
	error = errno;
	(void)!write(report, &error, sizeof(error));
	_exit(127);
}

int
child_start(const char *path, char *const *argv, char *const *environment, struct child *ret)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	struct child c = { 0 };
	int report[2], error = 0;
	sigset_t blocked;
	ssize_t n;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	waited_for(&blocked);
	(void)sigprocmask(SIG_BLOCK, &blocked, &c.before);
	/* A caller that ignores SIGCHLD would make the kernel throw the exit status away. */
	(void)sigaction(SIGCHLD, &plain, &c.before_child);
	c.pid = fork();
	if (c.pid == 0)
		child_execute(&c, path, argv, environment, report[1]);
	error = c.pid < 0 ? errno : 0;
	close(report[1]);
	if (c.pid > 0) {
		/* End of file: exec closed it. */
		do
			n = read(report[0], &error, sizeof(error));
		while (n < 0 && errno == EINTR);
		if (n != (ssize_t)sizeof(error))
			error = 0;
		else
			(void)waitpid(c.pid, NULL, 0);
	}
	close(report[0]);
	if (error) {
		(void)sigaction(SIGCHLD, &c.before_child, NULL);
		(void)sigprocmask(SIG_SETMASK, &c.before, NULL);
		return -error;
	}
	*ret = c;
	return 0;
}

static int
child_ended(const struct child *c, int *ret_status)
{
	pid_t r = waitpid(c->pid, ret_status, WNOHANG);

	return r < 0 ? -errno : r == c->pid;
}

int
child_wait(struct child *c, uint64_t ms, int *ret_status)
{
	struct timespec end, now;
	sigset_t set;

	waited_for(&set);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)(ms / 1000);
	end.tv_nsec += (long)(ms % 1000) * 1000000;
	for (;;) {
		struct timespec left;
		siginfo_t from;
		int r = child_ended(c, ret_status);

		if (r != 0)
			return r;
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		left.tv_sec = end.tv_sec - now.tv_sec;
		left.tv_nsec = end.tv_nsec - now.tv_nsec;
		while (left.tv_nsec < 0)
			left.tv_nsec += 1000000000, left.tv_sec--;
		while (left.tv_nsec >= 1000000000)
			left.tv_nsec -= 1000000000, left.tv_sec++;
		if (left.tv_sec < 0)
			return 0;
		r = sigtimedwait(&set, &from, &left);
		/* SI_KERNEL: the terminal sent it, to the whole group. What the program itself sent to its group is its own. */
		if (r > 0 && r != SIGCHLD && r != SIGWINCH && from.si_code != SI_KERNEL && from.si_pid != c->pid)
			(void)kill(c->pid, r);
	}
}

void
child_mirror(const struct child *c, int status)
{
	struct rlimit none = { 0, 0 };
	sigset_t set;
	int number;

	if (!WIFSIGNALED(status))
		exit(WEXITSTATUS(status));
	number = WTERMSIG(status);
	/* The program has left its core dump if it was to leave one; ours would only overwrite it. */
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)signal(number, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, number);
	(void)kill(getpid(), number);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)c;
	_exit(128 + number);
}
