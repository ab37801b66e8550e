/* unscale.h - numbers for formats whose readers insist on scaling them up.
 *
 * Readers of heap/R and heap_v2/R take n sampled blocks of b bytes in sum for n * a objects and b * a bytes, where
 * a = 1 / (1 - exp(-(b / n) / R)). We have unbiased sums already, so we look for an n and b that a reader turns into
 * them (as jemalloc does since its 5.3). One pair cannot do that for a stack with few samples of unlike sizes; two can.
 */
#ifndef HEAPD_UNSCALE_H
#define HEAPD_UNSCALE_H

#include <stddef.h>
#include <stdint.h>

#include "profile.h"

#define UNSCALE_MAX 2

struct unscaled {
	uint64_t objects, bytes;
};

/* The rate to announce: the profile's period, or less if something in it was sampled at a smaller one. */
uint64_t unscale_rate(const struct profile *p);

/* Pairs that sum up to the estimates after scaling by `rate`, bytes to within rounding. Returns how many: 0 to UNSCALE_MAX. */
size_t unscale(double objects, double bytes, uint64_t rate, struct unscaled ret[UNSCALE_MAX]);

/* What readers do. */
double unscale_factor(double objects, double bytes, uint64_t rate);

#endif
