/* sandbox.c - hosts that lock themselves in.
 *
 * A seccomp filter may kill the process for any system call that it does not list, and the sampler makes some when its tables
 * grow. So the moment before the host installs one, the tables grow ahead, and from then on nothing of ours enters the kernel:
 * what finds no room is dropped and counted. Strict mode, and prctl by itself, also forbid to read the machine's counter.
 * Filters are installed through prctl or, by libseccomp for instance, through syscall. A program that does it by an instruction
 * of its own is not noticed, nor is a filter that was there before exec.
 *
 * No header: these stand in for the C library's functions, whose prototypes are variadic. Theirs and ours take their
 * arguments in the same places; a fixed list lets all other calls go on by a jump, so that they find the stack as it was. What
 * is passed on the stack (see real.h) stays there untouched: the caller may not have put it there, and whose word it then is
 * nobody knows.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "own.h"
#include "pages.h"
#include "process.h"
#include "real.h"
#include "sample.h"
#include "ticks.h"

#define HOOK __attribute__((visibility("default")))

HOOK int sandbox_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) __asm__("prctl");
HOOK long sandbox_syscall(SYSCALL_PARAMETERS) __asm__("syscall");

/* One walk makes what walks keep. */
static __attribute__((noinline)) void
walk_once(struct process *p)
{
	struct unwind_start start = SAMPLE_START();
	struct stack_range range = thread_stack(start.cfa);
	uint32_t slot = scratch_take(&p->scratch, 0, SCRATCH_UNKNOWN);

	if (slot == SCRATCH_NONE)
		return;
	unwind(&p->unwinder, &p->segment, &start, &range, scratch_stack(&p->scratch, slot));
	scratch_give(&p->scratch, slot);
}

static _Atomic bool closed; /* a filter is in force */
static _Atomic uint32_t attempts; /* calls under way that may install one */

/* A vfork child that locks itself in before it execs borrows our memory, and is none of our business. */
static bool
is_somebody_else(const struct process *p)
{
	return p && p->segment.header->pid != (uint32_t)getpid();
}

/* Make room while that is allowed. false: not our business. */
static bool
close_ahead(void)
{
	int saved = errno;
	struct process *p = process_peek();

	if (!pages_frozen() && is_somebody_else(p))
		return false;
	atomic_fetch_add_explicit(&attempts, 1, memory_order_seq_cst);
	if (!pages_frozen()) {
		/* Without a sample so far there is no segment, and will be none. */
		if (p) {
			segment_reserve(&p->segment);
			live_prepare(&p->live);
			walk_once(p);
		}
		pages_freeze();
	}
	errno = saved;
	return true;
}

/* After the attempt. Opens again if none of those under way at once has succeeded, nor one before. */
static void
close_or_open(bool success)
{
	if (success)
		atomic_store_explicit(&closed, true, memory_order_seq_cst);
	if (atomic_fetch_sub_explicit(&attempts, 1, memory_order_seq_cst) == 1 &&
	    !atomic_load_explicit(&closed, memory_order_seq_cst))
		pages_thaw();
}

/* Asking what the kernel can, as libseccomp does with no filter at all, closes nothing. */
static bool
concerns_us(int option, unsigned long mode, unsigned long filter)
{
	return (option == PR_SET_SECCOMP && (mode == SECCOMP_MODE_STRICT || filter != 0)) || option == PR_SET_TSC;
}

/* What was done before a call that concerns us, to be taken back if it fails. */
struct closing {
	bool pages, ticks;
};

static struct closing
before(int option, unsigned long mode)
{
	bool no_ticks = option == PR_SET_TSC ? mode == PR_TSC_SIGSEGV : mode == SECCOMP_MODE_STRICT;
	struct closing done = { .pages = option == PR_SET_SECCOMP && close_ahead() };

	if (no_ticks)
		done.ticks = !atomic_exchange_explicit(&ticks_forbidden, true, memory_order_relaxed);
	return done;
}

static void
after(const struct closing *done, int option, unsigned long mode, long result)
{
	if (done->pages)
		close_or_open(result >= 0);
	if ((result < 0 && done->ticks) || (result == 0 && option == PR_SET_TSC && mode == PR_TSC_ENABLE))
		atomic_store_explicit(&ticks_forbidden, false, memory_order_relaxed);
}

static __attribute__((noinline, cold)) int
prctl_closing(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	struct closing done = before(option, a);
	int r = real.prctl(option, a, b, c, d);

	after(&done, option, a, r);
	return r;
}

static __attribute__((noinline, cold)) long
syscall_closing(SYSCALL_PARAMETERS)
{
	int option = number == SYS_seccomp ? PR_SET_SECCOMP : (int)a;
	unsigned long mode = number == SYS_prctl            ? (unsigned long)b
			     : a == SECCOMP_SET_MODE_STRICT ? SECCOMP_MODE_STRICT
							    : SECCOMP_MODE_FILTER;
	struct closing done = before(option, mode);
	long r = real.syscall(SYSCALL_ARGUMENTS);

	after(&done, option, mode, r);
	return r;
}

int
sandbox_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	if (unlikely(concerns_us(option, a, b)))
		return prctl_closing(option, a, b, c, d);
	return real.prctl(option, a, b, c, d);
}

long
sandbox_syscall(SYSCALL_PARAMETERS)
{
	bool closing =
		(number == SYS_seccomp && (a == SECCOMP_SET_MODE_STRICT || (a == SECCOMP_SET_MODE_FILTER && c))) ||
		(number == SYS_prctl && concerns_us((int)a, (unsigned long)b, (unsigned long)c));

	if (unlikely(closing))
		return syscall_closing(SYSCALL_ARGUMENTS);
	return real.syscall(SYSCALL_ARGUMENTS);
}

/* For late.c. */
OWN(prctl);
OWN(syscall);
