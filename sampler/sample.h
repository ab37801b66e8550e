/* sample.h - which allocations are sampled, and what is done with those.
 *
 * Poisson sampling over bytes: each thread counts down an exponentially distributed number of bytes and samples the
 * allocation in which it runs out. The inline half runs in every allocation and touches one word of TLS.
 */
#ifndef HEAPD_SAMPLE_H
#define HEAPD_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "live.h"
#include "thread.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Count an allocation of size bytes down: by size + 1, so that one of no bytes counts, too. true: the count ran out in it; it
 * is then as before, and sample_due has to follow with the same size. (SIZE_MAX, which no allocator grants, counts as nothing.)
 *
 * On x86-64 one instruction, so that a signal handler comes before it or after it, and five in a malloc with all that
 * belongs to it: in a loop that waits for memory each costs 0.4 ns. Between the two instructions of a count that ran out it is
 * below zero and looks far too large: what a handler allocates just there is not sampled, which sample_due counts, and after
 * one that jumps away sample_leaving puts it right. */
static inline bool
sample_count(size_t size)
{
#if defined(__x86_64__)
	__asm__ goto("subq %1, %0\n\tjb %l[ran_out]"
		     :
		     : "m"(thread_self.countdown), "r"(size + 1)
		     : "memory", "cc"
		     : ran_out);
	return false;
ran_out:
	__asm__ volatile("addq %1, %0" : "+m"(thread_self.countdown) : "r"(size + 1) : "cc");
	return true;
#else
	uint64_t left = __atomic_load_n(&thread_self.countdown, __ATOMIC_RELAXED);

	if (size + 1 > left)
		return true;
	__atomic_store_n(&thread_self.countdown, left - (size + 1), __ATOMIC_RELAXED);
	return false;
#endif
}

/* After sample_count said so: is this allocation to be sampled? Returns the period its weight follows from, and
 * starts the next countdown; or 0. */
uint64_t sample_due(size_t size);

/* The program is about to get `block` of `size` bytes, which sample_due(size) chose. Keeps errno. */
void sample_take(void *block, size_t size, uint64_t period, const struct unwind_start *start);

/* The block is about to be freed or reallocated; filter_hit said that it may be a sample. true if it is one: then either
 * sample_gone or sample_back has to follow. Keeps errno. */
bool sample_leaving(void *block, struct live_block *ret);
void sample_gone(const struct live_block *block);
void sample_back(const struct live_block *block, void *address);

/* Around a fork, in the parent and in the child: the child draws anew. It would otherwise take its first sample where its
 * parent and all its siblings do. (What else a child needs is done by wiping, see process.h.) */
void sample_before_fork(void);
void sample_after_fork(void);

/* A library was unloaded. */
void sample_forget_modules(void);

/* Where the hook that this stands in was called from. The hook must not have been inlined. */
#define SAMPLE_START()                                                        \
	((struct unwind_start){ .pc = (uintptr_t)__builtin_return_address(0), \
				.cfa = (uintptr_t)__builtin_dwarf_cfa(),      \
				.fp = *(uintptr_t *)__builtin_frame_address(0) })

#endif
