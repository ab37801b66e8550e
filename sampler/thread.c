/* thread.c - see thread.h.
 *
 * pthread_getattr_np() would tell the stack of a thread, but it allocates and takes a lock of the thread, and so
 * deadlocks inside a hook that it reached itself. The same numbers stand in the C library's thread descriptor, which the
 * thread pointer names: the stack block's base and size side by side, followed by the size of its guard. Where in the
 * descriptor differs between versions, so the pair is found by what must hold for it, and for nothing else in there: it
 * is aligned, contains the stack pointer, and ends just above the descriptor, which lies at the block's top.
 */
#include "thread.h"

#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread struct thread thread_self;

extern void *__libc_stack_end; /* the loader's: near the first byte the kernel put on the main stack */

static struct stack_range main_stack;

#define PAGE 4096u
#define MAIN_STACK_MAX (UINT64_C(1) << 30)
#define DESCRIPTOR_WORDS 288 /* 2304 bytes: struct pthread of glibc 2.36; searched no further than its page's end */
#define ABOVE_DESCRIPTOR 65536u /* descriptor, static TLS alignment and rounding at the top of the block */

void
thread_start(void)
{
	struct rlimit limit = { 0, 0 };
	uint64_t size = MAIN_STACK_MAX;

	if (main_stack.high)
		return;
	/* The kernel keeps at least the limit at exec free below the main stack, and grows it no further. */
	if (syscall(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &limit) == 0 && limit.rlim_cur < size)
		size = limit.rlim_cur;
	main_stack.low = ((uintptr_t)__libc_stack_end - size) & ~(uintptr_t)(PAGE - 1);
	main_stack.high = (uintptr_t)__libc_stack_end & ~(uintptr_t)7;
}

static struct stack_range
descriptor_stack(uintptr_t sp)
{
	const uintptr_t self = (uintptr_t)__builtin_thread_pointer();
	const uintptr_t *word = (const uintptr_t *)self;
	struct stack_range range = { 0, 0 };

#ifndef __x86_64__
	/* The descriptor lies below the thread pointer there. */
	word -= DESCRIPTOR_WORDS;
	if (self < DESCRIPTOR_WORDS * sizeof(*word))
		return range;
#endif
	if (sp >= self || self % sizeof(*word) != 0)
		return range;
	for (size_t i = 0; i + 2 < DESCRIPTOR_WORDS; i++) {
		uintptr_t base = word[i], size = word[i + 1], guard = word[i + 2];

		/* A stack that the program brought itself has no guard and need not be aligned to pages. */
		if (base == 0 || base % (guard ? PAGE : 16) != 0 || guard % PAGE != 0 || guard >= size)
			continue;
		if (base + guard > sp || base + size <= self || base + size - self > ABOVE_DESCRIPTOR)
			continue;
		range.low = base + guard;
		range.high = (uintptr_t)word < self ? (uintptr_t)word : self;
		break;
	}
	return range;
}

struct stack_range
thread_stack(uintptr_t sp)
{
	struct thread *t = &thread_self;

	if (sp >= t->stack.low && sp < t->stack.high)
		return t->stack;
	if (sp >= main_stack.low && sp < main_stack.high)
		return t->stack = main_stack;

	struct stack_range range = descriptor_stack(sp);
	if (range.high)
		t->stack = range;
	return range;
}
