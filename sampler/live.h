/* live.h - the sampled blocks that are in use: is this pointer one of them, and what was it?
 *
 * The question "is it sampled?" is asked at every free and answered "no" nearly always, so it has three stages: a byte
 * of a small filter that stays in the first-level cache (filter_hit, inlined into the hooks), an exact index of
 * addresses, and the record in the segment. Nothing in a block or its address tells it apart.
 *
 * A pointer belongs to whoever may free it, so no two threads add or remove the same address at once unless the program
 * is broken; it then gets a wrong count, not a crash. All else is lock-free and async-signal-safe.
 */
#ifndef HEAPD_LIVE_H
#define HEAPD_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "segment_writer.h"

#define FILTER_BITS_MAX 20
#define FILTER_GENERATIONS 5 /* 4 KiB, 16 KiB, ... 1 MiB */

struct filter {
	uint64_t mask; /* cells - 1 */
	uint32_t generation; /* from 1 */
	uint32_t unused;
	/* The cells follow: how many live addresses fall there; 255: that or more, for good. */
};

/* What free looks at. Not wiped on fork, but what it points to is: a child's frees miss until it samples itself. */
extern const struct filter *_Atomic filter_current __attribute__((visibility("hidden")));

/* By the lower half of the address: its upper one tells few blocks apart. At most 2^FILTER_BITS_MAX cells. */
static inline const _Atomic uint8_t *
filter_cell(const struct filter *f, uintptr_t address)
{
	return (const _Atomic uint8_t *)(f + 1) +
	       (((uint32_t)address * 0x9e3779b1u) >> (32 - FILTER_BITS_MAX) & f->mask);
}

static inline bool
filter_hit(const void *p)
{
	/* consume: every later load goes through the pointer */
	const struct filter *f = atomic_load_explicit(&filter_current, memory_order_relaxed);

	return atomic_load_explicit(filter_cell(f, (uintptr_t)p), memory_order_relaxed) != 0;
}

struct live_table;

struct live { /* in memory that is wiped on fork; all zero is a valid empty one */
	struct live_table *_Atomic tables; /* newest first */
	struct filter *_Atomic filters[FILTER_GENERATIONS];
	_Atomic uint32_t filter_newest; /* generation that takes new addresses; 0: none yet */
	_Atomic uint32_t growing;
	_Atomic uint32_t count; /* live blocks */
	_Atomic uint64_t free_live; /* stack of free records: change count << 32 | index + 1 */
	_Atomic uint64_t free_cfas[4]; /* of free CFA groups, by 1, 2, 4, 8 groups together */
};

/* What a live block was registered with. */
struct live_block {
	uint32_t id; /* in LIVE, or HEAPD_NONE */
	uint32_t site;
	uint64_t size, weight;
	uint32_t image; /* of the process, see process.h; set by whoever keeps it across calls of the host's */
};

/* Before the first live_reserve; again does nothing. 0 or -ENOMEM. */
int live_start(struct live *l);

/* Room for some ten thousand more addresses: later it cannot be made. */
void live_prepare(struct live *l);

/* A record with room for the stack's CFAs, which are copied in; not shown yet. HEAPD_NONE without room. The array may be read
 * up to the end of a CFA group. */
uint32_t live_reserve(struct live *l, struct segment *segment, const uint32_t *cfas, uint32_t depth);

/* Show the reserved record, whose size to thread fields the caller has filled, as the block at `address`. Before the
 * address is handed to the program. false without room, and the record is free again. */
bool live_add(struct live *l, struct segment *segment, uint32_t id, uintptr_t address);

/* Take a block that is about to be freed or reallocated out of index and filter, but keep its record.
 * false if it is not a live sample. */
bool live_take(struct live *l, struct segment *segment, uintptr_t address, struct live_block *ret);

/* After live_take: the block is gone; its record may be used again. */
void live_release(struct live *l, struct segment *segment, uint32_t id);

#endif
