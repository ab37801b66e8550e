/* pace.h - a ceiling on samples a second: how much longer than wanted the period has to be for that.
 *
 * What is drawn with one period keeps that period's weight, and the next one follows from samples of the past alone: so
 * estimates stay unbiased however it moves.
 * Threads: lock-free, async-signal-safe.
 */
#ifndef HEAPD_PACE_H
#define HEAPD_PACE_H

#include <stdint.h>

#include "segment.h"

struct pace { /* any value is a valid one */
	_Atomic uint64_t
		since; /* the period was last looked at: ticks >> PACE_SHIFT in the upper half, samples by then in the lower */
};

/* The period for samples from now on, `ticks` being the time (0: there is none, then nothing changes), where `period`
 * is in force and the segment asks for at most h->max_samples a second, not 0, and for `wanted` bytes or more. At the start of a flood it brings up to a second's samples more before the period has followed. */
uint64_t pace_period(struct pace *p, const struct heapd_header *h, uint64_t period, uint64_t wanted, uint64_t ticks);

#endif
