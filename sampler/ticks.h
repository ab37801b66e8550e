/* ticks.h - the machine's own counter: tells time without a system call, which a sandboxed host may forbid. */
#ifndef HEAPD_TICKS_H
#define HEAPD_TICKS_H

#include <stdint.h>

static inline uint64_t
ticks_now(void)
{
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
