/* scratch.h - room for the stack being unwound, outside the host's own stack, of which a hook may use little.
 *
 * A few slots shared by all threads, claimed by one bit each for as long as a sample takes.
 * Threads: lock-free, async-signal-safe.
 */
#ifndef HEAPD_SCRATCH_H
#define HEAPD_SCRATCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "rmw.h"
#include "unwind.h"

#define SCRATCH_SLOTS 64
#define SCRATCH_NONE UINT32_MAX

struct scratch { /* all zero is valid */
	_Atomic uint64_t taken; /* a bit each slot */
	struct stack slots[SCRATCH_SLOTS];
};

/* A free slot, tried first at `hint` to keep threads apart; SCRATCH_NONE if all are taken. */
static inline uint32_t
scratch_take(struct scratch *s, uint32_t hint)
{
	uint64_t taken = atomic_load_explicit(&s->taken, memory_order_relaxed);

	while (taken != UINT64_MAX) {
		uint32_t slot = hint % SCRATCH_SLOTS;

		if (taken >> slot & 1)
			slot = (uint32_t)__builtin_ctzll(~taken);
		if (rmw_cas(&s->taken, &taken, taken | UINT64_C(1) << slot, memory_order_acquire, memory_order_relaxed))
			return slot;
	}
	return SCRATCH_NONE;
}

static inline void
scratch_give(struct scratch *s, uint32_t slot)
{
	rmw_and(&s->taken, ~(UINT64_C(1) << slot), memory_order_release);
}

#endif
