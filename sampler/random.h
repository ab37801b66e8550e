/* random.h - when the next sample is due, and what it stands for. Integers only: the host's floating-point flags and
 * rounding mode are its own. */
#ifndef HEAPD_RANDOM_H
#define HEAPD_RANDOM_H

#include <stdint.h>

__extension__ typedef unsigned __int128 wide; /* products and quotients of 64-bit numbers */

/* The next of a sequence of uniform 64-bit numbers (splitmix64: Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Bytes that pass before the next sampled one: exponential with mean `period`, rounded down, so that
 * P(gap < s) = 1 - exp(-s/period) for whole s. Period 1 means every allocation: always 0. */
uint64_t random_gap(uint64_t *state, uint64_t period);

/* How many allocations of `size` bytes one sampled at `period` stands for: 1/(1 - exp(-(size + 1)/period)) in units of
 * 2^-HEAPD_WEIGHT_SHIFT. Relative error under 1e-5 and two units of the result; sizes up to PTRDIFF_MAX. */
uint64_t random_weight(uint64_t size, uint64_t period);

#endif
