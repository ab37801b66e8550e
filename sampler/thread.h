/* thread.h - what the sampler keeps of a thread: a few words of initial-exec TLS, all zero at birth, no destructor.
 *
 * A signal handler may run at any point between two of these accesses and come in through the same hooks; nothing here
 * has an invariant whose break could do more than skew a count.
 */
#ifndef HEAPD_THREAD_H
#define HEAPD_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "unwind.h"

struct thread {
	uint64_t countdown; /* bytes until the next sample, each allocation counting one more; hot: see sample.h */
	uint64_t period; /* with which countdown was drawn; 0: none was drawn yet */
	uint64_t random; /* state of random_next */
	uintptr_t busy; /* where the sample being taken left its mark; 0 if none */
	struct stack_range stack; /* the thread's own stack; 0, 0 until known */
	uint32_t serial; /* number in the segment, from 1 */
	uint32_t image; /* of the process the serial belongs to: process_image() */
	uint32_t scratch; /* slot + 1 that a sample in progress holds, see scratch.h; 0: none */
	uint32_t tid; /* the kernel's name of it in that process, see scratch.h */
	uint32_t below; /* how often countdown was found below zero, see sample_count() */
	uint32_t quiet; /* what is allocated now is ours, not the program's: dlsym does */
};
_Static_assert(sizeof(struct thread) <= 128, "static TLS is scarce where we are loaded late");

extern __thread struct thread thread_self __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The stack of the calling thread that `sp` lies on, from the thread's own record, without a system call or a lock.
 * 0, 0 when sp is elsewhere: a signal stack, a fibre, or a thread that was not made by the C library. */
struct stack_range thread_stack(uintptr_t sp);

/* Before the first thread_stack(), and as early as can be, since a program may raise its limit later: learn where the
 * main thread's stack is. Only the first call counts. */
void thread_start(void);

#endif
