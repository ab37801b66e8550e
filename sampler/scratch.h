/* scratch.h - room for the stack being unwound, outside the host's own stack, of which a hook may use little.
 *
 * Slots shared by all threads, claimed for as long as a sample takes by writing the thread's name there: that of one which was
 * ended inside a sample (cancelled, or a handler jumped out of it and it took no other) tells that its slot is free. A few serve
 * as many threads as there are processors; more are needed when threads by the thousand wait for one inside a sample.
 * Threads: lock-free, async-signal-safe.
 */
#ifndef HEAPD_SCRATCH_H
#define HEAPD_SCRATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rmw.h"
#include "unwind.h"

#define SCRATCH_FEW 64
#define SCRATCH_SLOTS 1024
#define SCRATCH_NONE UINT32_MAX
#define SCRATCH_UNKNOWN UINT32_MAX /* name of a thread that has no other: its slot is never taken back */

struct scratch { /* all zero is valid */
	_Atomic uint32_t owners[SCRATCH_SLOTS]; /* the kernel's thread ids; 0: free */
	_Atomic uint32_t patience; /* how often not to look whose they are, see scratch_reclaim() */
	struct stack few[SCRATCH_FEW];
	struct stack *_Atomic others; /* made when they are needed */
};

/* The first of the few that is free, from `hint` on to keep threads apart, for thread `tid`; SCRATCH_NONE if all are taken. */
static inline uint32_t
scratch_take(struct scratch *s, uint32_t hint, uint32_t tid)
{
	for (uint32_t i = 0; i < SCRATCH_FEW; i++) {
		uint32_t slot = (hint + i) % SCRATCH_FEW;
		uint32_t owner = atomic_load_explicit(&s->owners[slot], memory_order_relaxed);

		if (owner == 0 && rmw_cas32(&s->owners[slot], &owner, tid, memory_order_acquire, memory_order_relaxed))
			return slot;
	}
	return SCRATCH_NONE;
}

/* When that has none: one that a thread which is no more left behind, or of the others. SCRATCH_NONE if there is none at all.
 * Keeps errno. */
uint32_t scratch_take_other(struct scratch *s, uint32_t tid);

static inline struct stack *
scratch_stack(struct scratch *s, uint32_t slot)
{
	return slot < SCRATCH_FEW ? &s->few[slot]
				  : &atomic_load_explicit(&s->others, memory_order_relaxed)[slot - SCRATCH_FEW];
}

static inline void
scratch_give(struct scratch *s, uint32_t slot)
{
	atomic_store_explicit(&s->owners[slot], 0, memory_order_release);
}

#endif
