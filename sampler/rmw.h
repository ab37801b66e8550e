/* rmw.h - read-modify-write of words that many threads share, without the price of that while there is only one.
 *
 * A locked instruction takes some 20 cycles, and a sample makes more than a dozen of them. While the C library knows of one
 * thread only, the same instruction without its lock prefix does: it is one instruction still, so that a signal handler
 * that changes the same word comes before it or after it, and alone, x86 keeps all accesses in the order of the program.
 * The C library's malloc goes by the same sign. Threads that were made behind its back, or the first one by a signal handler
 * just between the look at the sign and the instruction, may spoil the profile, nothing else:
 * what is read back from shared words is checked before it is used as an index.
 *
 * Each function is the one of stdatomic.h of that name; `order` is for the case of several threads.
 */
#ifndef HEAPD_RMW_H
#define HEAPD_RMW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 and later */

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define RMW_UNLOCKED 1
#else
#define RMW_UNLOCKED 0
#endif

static inline bool
rmw_alone(void)
{
	return RMW_UNLOCKED && &__libc_single_threaded != NULL && __libc_single_threaded;
}

#if RMW_UNLOCKED
#define RMW_CAS(suffix, word, expected, desired)                                    \
	__extension__({                                                             \
		bool done_;                                                         \
		__asm__ volatile("cmpxchg" suffix " %3, %0"                         \
				 : "+m"(*(word)), "+a"(*(expected)), "=@ccz"(done_) \
				 : "r"(desired)                                     \
				 : "memory");                                       \
		done_;                                                              \
	})
#endif

static inline void
rmw_add(_Atomic uint64_t *sum, uint64_t n, memory_order order)
{
#if RMW_UNLOCKED
	if (rmw_alone()) {
		__asm__ volatile("addq %1, %0" : "+m"(*sum) : "er"(n) : "memory", "cc");
		return;
	}
#endif
	atomic_fetch_add_explicit(sum, n, order);
}

/* What the sum is afterwards, about. */
static inline uint32_t
rmw_add32(_Atomic uint32_t *sum, uint32_t n)
{
#if RMW_UNLOCKED
	if (rmw_alone()) {
		__asm__ volatile("addl %1, %0" : "+m"(*sum) : "er"(n) : "memory", "cc");
		return atomic_load_explicit(sum, memory_order_relaxed);
	}
#endif
	return atomic_fetch_add_explicit(sum, n, memory_order_relaxed) + n;
}

static inline void
rmw_and(_Atomic uint64_t *word, uint64_t mask, memory_order order)
{
#if RMW_UNLOCKED
	if (rmw_alone()) {
		__asm__ volatile("andq %1, %0" : "+m"(*word) : "r"(mask) : "memory", "cc");
		return;
	}
#endif
	atomic_fetch_and_explicit(word, mask, order);
}

static inline bool
rmw_cas(_Atomic uint64_t *word, uint64_t *expected, uint64_t desired, memory_order order, memory_order otherwise)
{
#if RMW_UNLOCKED
	if (rmw_alone())
		return RMW_CAS("q", word, expected, desired);
#endif
	return atomic_compare_exchange_strong_explicit(word, expected, desired, order, otherwise);
}

static inline bool
rmw_cas32(_Atomic uint32_t *word, uint32_t *expected, uint32_t desired, memory_order order, memory_order otherwise)
{
#if RMW_UNLOCKED
	if (rmw_alone())
		return RMW_CAS("l", word, expected, desired);
#endif
	return atomic_compare_exchange_strong_explicit(word, expected, desired, order, otherwise);
}

static inline bool
rmw_cas8(_Atomic uint8_t *word, uint8_t *expected, uint8_t desired)
{
#if RMW_UNLOCKED
	if (rmw_alone())
		return RMW_CAS("b", word, expected, desired);
#endif
	return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_relaxed,
						       memory_order_relaxed);
}

/* A sequentially consistent store. */
static inline void
rmw_store(_Atomic uint64_t *word, uint64_t value)
{
	if (rmw_alone())
		atomic_store_explicit(word, value, memory_order_release);
	else
		atomic_store_explicit(word, value, memory_order_seq_cst);
}

#endif
