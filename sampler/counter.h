/* counter.h - sums that many threads add to, without the price of that while there is only one.
 *
 * A locked addition takes some 20 cycles, and a sample makes more than a dozen of them. While the C library knows of one
 * thread only, an ordinary addition does: on x86-64 it is one instruction, so that a signal handler that adds to the same sum
 * comes before it or after it. Threads that were made behind the C library's back may lose counts, nothing else.
 */
#ifndef HEAPD_COUNTER_H
#define HEAPD_COUNTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 and later */

static inline bool
counter_alone(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	return &__libc_single_threaded != NULL && __libc_single_threaded;
#else
	return false;
#endif
}

/* order is for the case of several threads; alone, x86 keeps additions in the order of the program. */
static inline void
counter_add(_Atomic uint64_t *sum, uint64_t n, memory_order order)
{
#if defined(__x86_64__)
	if (counter_alone()) {
		__asm__ volatile("addq %1, %0" : "+m"(*sum) : "er"(n) : "memory", "cc");
		return;
	}
#endif
	atomic_fetch_add_explicit(sum, n, order);
}

/* The same for 32 bits; what the sum is afterwards, about. */
static inline uint32_t
counter_add32(_Atomic uint32_t *sum, uint32_t n)
{
#if defined(__x86_64__)
	if (counter_alone()) {
		__asm__ volatile("addl %1, %0" : "+m"(*sum) : "er"(n) : "memory", "cc");
		return atomic_load_explicit(sum, memory_order_relaxed);
	}
#endif
	return atomic_fetch_add_explicit(sum, n, memory_order_relaxed) + n;
}

#endif
