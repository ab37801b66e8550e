/* tracee.h - one thread of another process, stopped and let go again.
 *
 * Only this thread stops, the others run on. Signals that come for it meanwhile are handed on when it goes on.
 * The caller has SIGCHLD blocked, and no threads.
 */
#ifndef HEAPD_TRACEE_H
#define HEAPD_TRACEE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct tracee {
	pid_t thread;
	bool stopped;
	int breakpoint; /* of the kernel's performance events; -1: none */
	bool armed; /* a breakpoint of the thread's own: it dies of one that is in force when we end */
	int signal; /* to be delivered when it goes on; 0: none */
};

enum tracee_event {
	TRACEE_BREAKPOINT,
	TRACEE_SYSCALL, /* at the entry or at the end of one */
	TRACEE_STOPPED, /* as asked, or by a signal, which it gets when it goes on */
	TRACEE_SUSPENDED, /* its whole process was, by SIGSTOP or a terminal */
	TRACEE_ENDED,
	TRACEE_TIMEOUT
};

/* Begin to trace a thread. It runs on. 0 or -errno: -EPERM, -ESRCH. */
int tracee_start(pid_t thread, struct tracee *ret);

/* Let go: without breakpoint, with the signals that came. Stops it first if need be. 0, or -ESRCH if it has ended. */
int tracee_leave(struct tracee *t);

/* Stop it when it comes to the first instruction of a function. The breakpoint is one of the kernel's performance events,
 * which is gone with us should we be killed, and which a running thread does not notice being set: 0. Where the kernel does
 * not let us have one: -errno. */
int tracee_arm(struct tracee *t, uint64_t address);
/* The same with a debug register of a stopped thread: if we are killed before it is cleared, the process dies. */
int tracee_arm_stopped(struct tracee *t, uint64_t address);
int tracee_disarm(struct tracee *t);

/* Let it go on (to the next system call, if syscalls) and wait at most so long for something to happen. */
enum tracee_event tracee_run(struct tracee *t, bool syscalls, unsigned ms);
/* The same without letting it go on first, for one that runs. */
enum tracee_event tracee_wait(struct tracee *t, unsigned ms);

/* Stop one that runs. */
enum tracee_event tracee_stop(struct tracee *t, unsigned ms);

/* It stands at a breakpoint, and the signal that stopped it is about to be delivered, which would end the process were we to die
 * now. Have it stand there without one. 0, or -ESRCH. */
int tracee_calm(struct tracee *t);

int tracee_registers(const struct tracee *t, struct user_regs_struct *ret);
int tracee_set_registers(const struct tracee *t, const struct user_regs_struct *registers);

/* Make a system call in its place, with the instructions syscall; ret at this address. It must be stopped outside of one, and goes
 * on where it was. Should we die in between, it makes the call, and then returns to what stands at `sp`.
 * Returns what the kernel returns (-errno included), or -ESRCH if it ended. */
int64_t tracee_syscall(struct tracee *t, uint64_t instructions, uint64_t sp, uint64_t number,
		       const uint64_t arguments[6]);

/* Which signals it blocks: bit n - 1 is signal n. 0 or -errno. */
int tracee_set_blocked(const struct tracee *t, uint64_t blocked);

#endif
