/* sites.h - from a stack to its site in the segment.
 *
 * Threads: lock-free, async-signal-safe. Two threads that bring the same new stack at once, or while the index grows,
 * may make two sites of it; readers add up sites with equal stacks.
 */
#ifndef HEAPD_SITES_H
#define HEAPD_SITES_H

#include "unwind.h"

struct site_index;

struct sites { /* in memory that is wiped on fork; all zero is a valid empty one */
	struct site_index *_Atomic index;
	_Atomic uint32_t growing;
};

/* The overflow site, in a new segment, which has room for it. */
void sites_start(struct segment *segment);

/* The index in SITES of the stack's site; HEAPD_OVERFLOW_SITE if it is new and there is no room for it (counted). */
uint32_t sites_find(struct sites *s, struct segment *segment, const struct stack *stack);

/* Count `samples` blocks of `size` bytes and weight w (units of 2^-HEAPD_WEIGHT_SHIFT) to totals. */
void sites_count(struct heapd_totals *totals, uint64_t size, uint64_t weight, memory_order order);

#endif
