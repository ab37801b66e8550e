/* frames.c - see frames.h.
 *
 * How a frame is found or made. A slot goes from 0 to frame + 1 once and then never changes.
 *
 *   fill    module, flags          plain
 *   show    frame.address          release      (readers of the segment look at nothing else before)
 *   enter   slot 0 -> frame + 1    cas, release; whoever reads the slot with acquire may read the record
 *
 * A key's slots are always looked at in the same order and the first empty one ends the search, so two makers of one
 * key meet in the same slot and the loser sees the winner's record.
 */
#include "frames.h"

#include "pages.h"

#define LEVELS 6 /* 1024 * (1 + 4 + ... + 1024) slots of 4 bytes: 5.3 MiB of address space, for a million frames */
#define FIRST_LEVEL_BITS 10
#define WINDOW 8 /* two levels' windows are full for 1 key in 100 when they are 60 % full */

/* As many as there may be frames, and a third more. */
static uint32_t
levels_of(const struct segment *segment, uint32_t *ret_slots)
{
	uint32_t level = 0;

	*ret_slots = 0;
	while (level < LEVELS && *ret_slots < segment->capacity[HEAPD_FRAMES] + segment->capacity[HEAPD_FRAMES] / 3)
		*ret_slots += UINT32_C(1) << (FIRST_LEVEL_BITS + 2 * level++);
	return level;
}

static _Atomic uint32_t *
slots_get(void *_Atomic *index, uint32_t n)
{
	void *slots = atomic_load_explicit(index, memory_order_acquire), *none = NULL;

	if (slots)
		return slots;
	slots = pages_private(n * sizeof(uint32_t));
	if (slots &&
	    !atomic_compare_exchange_strong_explicit(index, &none, slots, memory_order_acq_rel, memory_order_acquire)) {
		pages_release(slots, n * sizeof(uint32_t)); /* another thread was first */
		slots = none;
	}
	return slots;
}

/* Make a record nobody knows yet. */
static uint32_t
record_make(struct segment *segment, uintptr_t address, uint32_t module, uint32_t flags)
{
	uint32_t i = segment_claim(segment, HEAPD_FRAMES, 1);

	if (i != HEAPD_NONE) {
		segment->frames[i].module = module;
		segment->frames[i].flags = flags;
		atomic_store_explicit(&segment->frames[i].address, address, memory_order_release);
	}
	return i;
}

uint32_t
frames_intern(void *_Atomic *index, struct segment *segment, uintptr_t address, uint32_t module, uint32_t flags)
{
	uint32_t n, levels = levels_of(segment, &n);
	_Atomic uint32_t *level_slots = slots_get(index, n);
	uint64_t hash = (address ^ ((uint64_t)module << 48) ^ ((uint64_t)flags << 47)) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t made = HEAPD_NONE, found = HEAPD_NONE;

	hash ^= hash >> 29;
	hash *= UINT64_C(0xbf58476d1ce4e5b9);
	hash ^= hash >> 32;
	for (uint32_t level = 0; level_slots && level < levels; level++) {
		uint32_t bits = FIRST_LEVEL_BITS + 2 * level, mask = (UINT32_C(1) << bits) - 1;
		uint32_t first = (uint32_t)(hash >> (7 * level)) & mask;

		for (uint32_t i = 0; i < WINDOW; i++) {
			_Atomic uint32_t *slot = &level_slots[(first + i) & mask];
			uint32_t seen = atomic_load_explicit(slot, memory_order_acquire);
			const struct heapd_frame *frame;

			if (seen == 0) {
				if (made == HEAPD_NONE)
					made = record_make(segment, address, module, flags);
				if (made == HEAPD_NONE ||
				    atomic_compare_exchange_strong_explicit(slot, &seen, made + 1, memory_order_acq_rel,
									    memory_order_acquire))
					return made;
			}
			frame = &segment->frames[seen - 1];
			if (atomic_load_explicit(&frame->address, memory_order_relaxed) == address &&
			    frame->module == module && frame->flags == flags) {
				found = seen - 1;
				goto out;
			}
		}
		level_slots += mask + 1;
	}
out:
	/* Ours was not needed: nothing names it, so a reader may as well skip it. */
	if (made != HEAPD_NONE)
		atomic_store_explicit(&segment->frames[made].address, 0, memory_order_relaxed);
	return found;
}
