/* sites.c - see sites.h.
 *
 * The index is a table of words, linear probing, never more than half full, that only ever gains entries:
 *
 *   bits 63..32 upper half of the stack's hash      bits 31..0  site + 1, 0: empty
 *
 * When half full it is copied into one of twice the size, which then takes its place. An entry that is put in the old one
 * after it was copied is lost to the index, which costs a second site of the same stack (see sites.h).
 */
#include "sites.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "pages.h"
#include "random.h"
#include "rmw.h"

#define FIRST_ENTRIES 1024u
/* Half full, a table of half a million entries has no run of more than a hundred; longer ones are in tables that could not grow. */
#define PROBES_MAX 256u
#define VARIANCE_MAX (UINT64_C(1) << 56) /* of one sample, so that some can be added up */

struct site_index {
	uint32_t mask;
	_Atomic uint32_t used;
	_Atomic uint64_t entries[];
};

static struct site_index *
index_new(uint32_t entries)
{
	struct site_index *index = pages_private(sizeof(*index) + (size_t)entries * sizeof(index->entries[0]));

	if (index)
		index->mask = entries - 1;
	return index;
}

static struct site_index *
index_get(struct sites *s)
{
	struct site_index *index = atomic_load_explicit(&s->index, memory_order_acquire), *none = NULL;

	if (index || (index = index_new(FIRST_ENTRIES)) == NULL)
		return index;
	if (atomic_compare_exchange_strong_explicit(&s->index, &none, index, memory_order_acq_rel,
						    memory_order_acquire))
		return index;
	pages_release(index, sizeof(*index) + FIRST_ENTRIES * sizeof(index->entries[0])); /* another thread was first */
	return none;
}

void
sites_start(struct segment *segment)
{
	uint32_t overflow = segment_claim(segment, HEAPD_SITES, 1);

	if (overflow != HEAPD_OVERFLOW_SITE)
		return; /* forked since the segment was made */
	segment->sites[overflow].flags = HEAPD_STACK_OVERFLOW;
	atomic_store_explicit(&segment->sites[overflow].state, HEAPD_SITE_READY, memory_order_release);
}

/* memcmp for a few words: nearly always equal, so that none is a reason to stop early. */
static inline bool
words_equal(const uint32_t *a, const uint32_t *b, uint32_t n)
{
	uint64_t differences = n % 2 ? a[n - 1] ^ b[n - 1] : 0, pair_a, pair_b;

	for (uint32_t i = 0; i + 1 < n; i += 2) {
		memcpy(&pair_a, &a[i], sizeof(pair_a));
		memcpy(&pair_b, &b[i], sizeof(pair_b));
		differences |= pair_a ^ pair_b;
	}
	return differences == 0;
}

static bool
same_stack(const struct segment *segment, uint32_t site, const struct stack *stack)
{
	const struct heapd_site *s = &segment->sites[site];

	return s->depth == stack->depth && s->flags == stack->flags &&
	       (uint64_t)s->stack + stack->depth <= segment->ready[HEAPD_STACKS] &&
	       words_equal(&segment->stacks[s->stack], stack->frames, stack->depth);
}

/* Write the stack and its site, not shown yet. HEAPD_NONE without room. */
static uint32_t
site_new(struct segment *segment, const struct stack *stack)
{
	uint32_t site, words;

	/* Words that no site is left for would be lost, one stack after the other. */
	if (segment_used(segment, HEAPD_SITES) == segment->capacity[HEAPD_SITES])
		return HEAPD_NONE;
	words = segment_claim(segment, HEAPD_STACKS, stack->depth);
	if (words == HEAPD_NONE)
		return HEAPD_NONE;
	site = segment_claim(segment, HEAPD_SITES, 1);
	if (site == HEAPD_NONE)
		return HEAPD_NONE;
	memcpy(&segment->stacks[words], stack->frames, stack->depth * sizeof(stack->frames[0]));
	segment->sites[site].depth = stack->depth;
	segment->sites[site].stack = words;
	segment->sites[site].flags = stack->flags;
	return site;
}

/* Put an entry where its hash belongs. The table always has empty entries. */
static void
index_copy(struct site_index *to, uint32_t mask, uint64_t entry)
{
	uint64_t empty = 0;
	uint32_t i = (uint32_t)(entry >> 32) & mask;

	while (!atomic_compare_exchange_strong_explicit(&to->entries[i], &empty, entry, memory_order_release,
							memory_order_relaxed)) {
		empty = 0;
		i = (i + 1) & mask;
	}
}

/* A failure to grow is no failure: the old table is used on while it has empty entries. */
static void
index_grow(struct sites *s, struct site_index *old)
{
	uint32_t idle = 0;
	const uint32_t mask = old->mask; /* in a fork child all of the tables may become 0, see pages.h */
	struct site_index *larger;

	if (!atomic_compare_exchange_strong_explicit(&s->growing, &idle, 1, memory_order_acquire, memory_order_relaxed))
		return;
	if (atomic_load_explicit(&s->index, memory_order_relaxed) == old &&
	    (larger = index_new(2 * (mask + 1))) != NULL) {
		for (uint32_t i = 0; i <= mask; i++) {
			uint64_t entry = atomic_load_explicit(&old->entries[i], memory_order_acquire);

			if (entry == 0)
				continue;
			index_copy(larger, 2 * mask + 1, entry);
			atomic_fetch_add_explicit(&larger->used, 1, memory_order_relaxed);
		}
		atomic_store_explicit(&s->index, larger, memory_order_release);
	}
	atomic_store_explicit(&s->growing, 0, memory_order_release);
}

uint32_t
sites_find(struct sites *s, struct segment *segment, const struct stack *stack)
{
	struct site_index *index = index_get(s);
	const uint32_t hash = (uint32_t)(stack->hash >> 32);
	uint32_t mine = HEAPD_NONE, mask;
	uint64_t entry;

	if (stack->depth == 0 || !index)
		goto overflow;
	mask = index->mask;
	for (uint32_t i = hash & mask, left = mask < PROBES_MAX ? mask : PROBES_MAX;; i = (i + 1) & mask) {
		entry = atomic_load_explicit(&index->entries[i], memory_order_acquire);
		if (entry == 0) {
			if (mine == HEAPD_NONE && (mine = site_new(segment, stack)) == HEAPD_NONE)
				goto overflow;
			if (atomic_compare_exchange_strong_explicit(&index->entries[i], &entry,
								    (uint64_t)hash << 32 | (mine + 1),
								    memory_order_release, memory_order_acquire))
				break;
		}
		/* Also what another thread just put there instead of ours, which then stays unshown. */
		if (entry >> 32 == hash && same_stack(segment, (uint32_t)entry - 1, stack))
			return (uint32_t)entry - 1;
		if (left-- == 0)
			goto overflow;
	}
	atomic_store_explicit(&segment->sites[mine].state, HEAPD_SITE_READY, memory_order_release);
	if (atomic_fetch_add_explicit(&index->used, 1, memory_order_relaxed) >= mask / 2)
		index_grow(s, index);
	return mine;
overflow:
	segment_lose(segment, HEAPD_LOST_NO_SITE);
	return HEAPD_OVERFLOW_SITE;
}

/* x * y >> shift, rounded. What does not fit, a variance at periods of gigabytes, stays as large as can be: an error that
 * is too large is honest. */
static uint64_t
scaled(uint64_t x, uint64_t y, unsigned shift)
{
	wide product = (((wide)x * y) + ((wide)1 << shift >> 1)) >> shift;

	return product > VARIANCE_MAX ? VARIANCE_MAX : (uint64_t)product;
}

void
sites_count(struct heapd_totals *totals, uint64_t size, uint64_t weight, memory_order order)
{
	const uint64_t one = UINT64_C(1) << HEAPD_WEIGHT_SHIFT;
	uint64_t bytes = scaled(weight, size, HEAPD_WEIGHT_SHIFT);

	rmw_add(&totals->bytes, bytes, order);
	rmw_add(&totals->objects, weight, order);
	if (weight != one) { /* w(w-1), and that times s^2 */
		uint64_t objects_var = scaled(weight, weight - one, 2 * HEAPD_WEIGHT_SHIFT - HEAPD_OBJECTS_VAR_SHIFT);

		rmw_add(&totals->objects_var, objects_var, order);
		rmw_add(&totals->bytes_var, scaled(bytes, bytes - size, HEAPD_BYTES_VAR_SHIFT), order);
	}
	rmw_add(&totals->samples, 1, order);
}
