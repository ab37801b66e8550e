/* ticks.h - the machine's own counter: tells time without a system call, which a sandboxed host may forbid. */
#ifndef HEAPD_TICKS_H
#define HEAPD_TICKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The host has forbidden the instruction (prctl PR_SET_TSC, strict seccomp), which would end it: there is no time, 0. */
extern _Atomic bool ticks_forbidden __attribute__((visibility("hidden")));

static inline uint64_t
ticks_now(void)
{
	if (__builtin_expect(atomic_load_explicit(&ticks_forbidden, memory_order_relaxed), 0))
		return 0;
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
#error "no tick counter known for this machine"
#endif
}

#endif
