/* tracee.c - see tracee.h, and ptrace(2). */
#include "tracee.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRAP_PERF_EVENT 6 /* TRAP_PERF of Linux 5.13; glibc's header has not got it yet */
#define HASTE_NS 300000
#define DR7_EXECUTE_0 1ul /* debug register 0, local, one byte of instruction */

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* waitpid that ends. 1 and the status, 0 when the time is over, -errno. A busy thread stops at once, and until that is seen our
 * death would be its own: so it is looked for in haste before it is slept for. */
static int
wait_status(pid_t thread, unsigned ms, int *ret)
{
	int64_t start = now_ns(), end = start + ms * INT64_C(1000000), left;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		pid_t r = waitpid(thread, ret, __WALL | WNOHANG);

		if (r == thread)
			return 1;
		if (r < 0 && errno != EINTR)
			return -errno;
		left = end - now_ns();
		if (left <= 0)
			return 0;
		if (now_ns() - start < HASTE_NS)
			continue;
		(void)sigtimedwait(&child, NULL,
				   &(struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 });
	}
}

static int
set_debug_register(pid_t thread, size_t i, unsigned long value)
{
	size_t offset = offsetof(struct user, u_debugreg) + i * sizeof(unsigned long);

	return ptrace(PTRACE_POKEUSER, thread, offset, value) < 0 ? -errno : 0;
}

/* How a stop came about: ptrace(2), "Stopped states". */
static enum tracee_event
event_of(struct tracee *t, int status)
{
	siginfo_t info = { 0 };
	int number;

	if (!WIFSTOPPED(status)) {
		t->stopped = t->armed = false;
		return TRACEE_ENDED;
	}
	t->stopped = true;
	number = WSTOPSIG(status);
	if (number == (SIGTRAP | 0x80))
		return TRACEE_SYSCALL;
	if (status >> 16 == PTRACE_EVENT_STOP)
		return number == SIGTRAP ? TRACEE_STOPPED : TRACEE_SUSPENDED;
	if (number == SIGTRAP && ptrace(PTRACE_GETSIGINFO, t->thread, NULL, &info) == 0) {
		if ((t->armed && info.si_code == TRAP_HWBKPT) || (info.si_code == TRAP_PERF_EVENT))
			return TRACEE_BREAKPOINT;
	}
	t->signal = number;
	return TRACEE_STOPPED;
}

enum tracee_event
tracee_wait(struct tracee *t, unsigned ms)
{
	int status, r = wait_status(t->thread, ms, &status);

	if (r > 0)
		return event_of(t, status);
	return r == 0 ? TRACEE_TIMEOUT : TRACEE_ENDED;
}

static int
go_on(struct tracee *t, enum __ptrace_request how)
{
	int number = t->signal;

	if (ptrace(how, t->thread, NULL, (unsigned long)number) < 0)
		return -errno;
	t->signal = 0;
	t->stopped = false;
	return 0;
}

enum tracee_event
tracee_run(struct tracee *t, bool syscalls, unsigned ms)
{
	if (go_on(t, syscalls ? PTRACE_SYSCALL : PTRACE_CONT) < 0)
		return TRACEE_ENDED;
	return tracee_wait(t, ms);
}

enum tracee_event
tracee_stop(struct tracee *t, unsigned ms)
{
	if (t->stopped)
		return TRACEE_STOPPED;
	if (ptrace(PTRACE_INTERRUPT, t->thread, NULL, NULL) < 0)
		return TRACEE_ENDED;
	return tracee_wait(t, ms);
}

int
tracee_start(pid_t thread, struct tracee *ret)
{
	if (ptrace(PTRACE_SEIZE, thread, NULL, PTRACE_O_TRACESYSGOOD) < 0)
		return -errno;
	*ret = (struct tracee){ .thread = thread, .breakpoint = -1 };
	return 0;
}

int
tracee_arm(struct tracee *t, uint64_t address)
{
	struct perf_event_attr event = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(event),
		.bp_type = HW_BREAKPOINT_X,
		.bp_addr = address,
		.bp_len = sizeof(long),
		.sample_period = 1,
		.sigtrap = 1,
		.disabled = 1,
		.remove_on_exec = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	t->breakpoint = (int)syscall(SYS_perf_event_open, &event, t->thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (t->breakpoint < 0)
		return -errno;
	/* Apart, because to open it takes long, and the thread may come to it before that returns. */
	return ioctl(t->breakpoint, PERF_EVENT_IOC_ENABLE, 0) < 0 ? -errno : 0;
}

int
tracee_arm_stopped(struct tracee *t, uint64_t address)
{
	int r = set_debug_register(t->thread, 0, address);

	if (r == 0)
		r = set_debug_register(t->thread, 7, DR7_EXECUTE_0);
	t->armed = r == 0;
	return r;
}

int
tracee_disarm(struct tracee *t)
{
	int r = 0;

	if (t->breakpoint >= 0)
		close(t->breakpoint);
	t->breakpoint = -1;
	if (t->armed) {
		r = set_debug_register(t->thread, 7, 0);
		if (r == 0 || r == -ESRCH)
			t->armed = false;
	}
	return r;
}

int
tracee_leave(struct tracee *t)
{
	unsigned long number;

	while (!t->stopped) {
		enum tracee_event e = tracee_stop(t, 1000);

		if (e == TRACEE_ENDED)
			return -ESRCH;
	}
	(void)tracee_disarm(t);
	number = (unsigned long)t->signal;
	return ptrace(PTRACE_DETACH, t->thread, NULL, number) < 0 ? -errno : 0;
}

int
tracee_calm(struct tracee *t)
{
	enum tracee_event e;

	if (ptrace(PTRACE_INTERRUPT, t->thread, NULL, NULL) < 0)
		return -ESRCH;
	t->signal = 0;
	e = tracee_run(t, false, 10000);
	return e == TRACEE_ENDED || e == TRACEE_TIMEOUT ? -ESRCH : 0;
}

int
tracee_registers(const struct tracee *t, struct user_regs_struct *ret)
{
	return ptrace(PTRACE_GETREGS, t->thread, NULL, ret) < 0 ? -errno : 0;
}

int
tracee_set_registers(const struct tracee *t, const struct user_regs_struct *registers)
{
	return ptrace(PTRACE_SETREGS, t->thread, NULL, registers) < 0 ? -errno : 0;
}

int
tracee_set_blocked(const struct tracee *t, uint64_t blocked)
{
	return ptrace(PTRACE_SETSIGMASK, t->thread, sizeof(blocked), &blocked) < 0 ? -errno : 0;
}

/* By the stops at its entry and its end, which are no signals and so leave nothing behind. */
int64_t
tracee_syscall(struct tracee *t, uint64_t instructions, uint64_t sp, uint64_t number, const uint64_t arguments[6])
{
	struct user_regs_struct before, during;
	uint64_t blocked;
	int kept = t->signal, r = tracee_registers(t, &before);
	unsigned stops = 0;

	if (r < 0 || ptrace(PTRACE_GETSIGMASK, t->thread, sizeof(blocked), &blocked) < 0)
		return -ESRCH;
	during = before;
	during.rip = instructions;
	during.rsp = sp;
	during.rax = number;
	during.rdi = arguments[0];
	during.rsi = arguments[1];
	during.rdx = arguments[2];
	during.r10 = arguments[3];
	during.r8 = arguments[4];
	during.r9 = arguments[5];
	during.orig_rax = UINT64_MAX; /* so that nothing is restarted */
	if (tracee_set_blocked(t, UINT64_MAX) < 0 || tracee_set_registers(t, &during) < 0)
		return -ESRCH;
	t->signal = 0;
	while (stops < 2) {
		enum tracee_event e = tracee_run(t, true, 10000);

		if (e == TRACEE_ENDED || e == TRACEE_TIMEOUT)
			return -ESRCH;
		stops += e == TRACEE_SYSCALL;
	}
	t->signal = kept;
	if (tracee_registers(t, &during) < 0 || tracee_set_registers(t, &before) < 0 ||
	    tracee_set_blocked(t, blocked) < 0)
		return -ESRCH;
	return (int64_t)during.rax;
}
