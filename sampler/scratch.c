/* scratch.c - see scratch.h. */
#include "scratch.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pages.h"

#define PATIENCE 255 /* questions without an answer between two looks at the owners */

/* Is there no such thread in this process any more? */
static bool
is_gone(uint32_t tid)
{
	return tid != 0 && tid != SCRATCH_UNKNOWN && syscall(SYS_tgkill, syscall(SYS_getpid), (long)tid, 0L) != 0 &&
	       errno == ESRCH;
}

/* Give back what threads left that are no more. */
static bool
reclaim(struct scratch *s)
{
	uint32_t patience = atomic_load_explicit(&s->patience, memory_order_relaxed);
	bool found = false;

	if (patience > 0) /* threads may count one for two */
		atomic_store_explicit(&s->patience, patience - 1, memory_order_relaxed);
	if (patience > 0 || !pages_begin())
		return false;
	for (uint32_t slot = 0; slot < SCRATCH_SLOTS; slot++) {
		uint32_t owner = atomic_load_explicit(&s->owners[slot], memory_order_relaxed);

		/* Another who finds this may give it back, and a third take it. */
		if (is_gone(owner))
			found |= atomic_compare_exchange_strong_explicit(&s->owners[slot], &owner, 0,
									 memory_order_acq_rel, memory_order_relaxed);
	}
	pages_end();
	if (!found)
		atomic_store_explicit(&s->patience, PATIENCE, memory_order_relaxed);
	return found;
}

/* Make the others, unless they are there. */
static bool
others_get(struct scratch *s)
{
	const size_t size = (SCRATCH_SLOTS - SCRATCH_FEW) * sizeof(struct stack);
	struct stack *others = atomic_load_explicit(&s->others, memory_order_acquire), *none = NULL;

	if (others || (others = pages_kept(size, 0)) == NULL)
		return others != NULL;
	if (!atomic_compare_exchange_strong_explicit(&s->others, &none, others, memory_order_acq_rel,
						     memory_order_acquire))
		pages_release(others, size); /* another thread was first */
	return true;
}

uint32_t
scratch_take_other(struct scratch *s, uint32_t tid)
{
	int saved = errno;
	uint32_t slot = reclaim(s) ? scratch_take(s, 0, tid) : SCRATCH_NONE;

	errno = saved;
	if (slot != SCRATCH_NONE || !others_get(s))
		return slot;
	for (slot = SCRATCH_FEW; slot < SCRATCH_SLOTS; slot++) {
		uint32_t owner = atomic_load_explicit(&s->owners[slot], memory_order_relaxed);

		if (owner == 0 && rmw_cas32(&s->owners[slot], &owner, tid, memory_order_acquire, memory_order_relaxed))
			return slot;
	}
	return SCRATCH_NONE;
}
