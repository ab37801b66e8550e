/* segment_writer.h - the sampler's side of the segment: create it, claim records in it, count losses.
 *
 * Claimed records are zeroed pages that are already backed by memory: writing them cannot raise SIGBUS, because the
 * growth that needs it asks the kernel first (MADV_POPULATE_WRITE) and turns a full tmpfs into "no room".
 * Threads: everything here is lock-free and async-signal-safe. Keeps errno.
 */
#ifndef HEAPD_SEGMENT_WRITER_H
#define HEAPD_SEGMENT_WRITER_H

#include <stdbool.h>

#include "segment.h"

struct segment { /* plain pointers into one shared mapping; fixed once created */
	struct heapd_header *header; /* NULL: none */
	struct heapd_module *modules;
	char *strings;
	struct heapd_frame *frames;
	uint32_t *stacks;
	struct heapd_site *sites;
	struct heapd_live *live;
	uint32_t (*cfas)[HEAPD_CFA_GROUP];
	/* What we go by. The header tells the same to readers; but its file may be written by all of the user's processes. */
	uint64_t offset[HEAPD_SECTIONS];
	uint32_t capacity[HEAPD_SECTIONS]; /* records */
	_Atomic uint32_t ready[HEAPD_SECTIONS]; /* records of each section that are backed by memory */
	bool preallocated; /* the whole file is backed */
	const _Atomic uint32_t *state; /* of our process; 0 in a fork child of it: not our segment. NULL: no matter */
	_Alignas(64) _Atomic uint32_t used[HEAPD_SECTIONS]; /* claimed */
	_Atomic uint64_t period; /* bytes, in force */
	struct heapd_clock clock_start;
	uint64_t asleep_ns; /* how long the machine had been suspended at clock_start */
	_Atomic uint64_t clock_due; /* ticks when their rate is to be measured next */
};

static inline bool
segment_is_ours(const struct segment *s)
{
	return !s->state || atomic_load_explicit(s->state, memory_order_relaxed) != 0;
}

/* Claim n consecutive records of a section. Returns the index of the first, or HEAPD_NONE if there is no room,
 * or if the segment is not ours. */
uint32_t segment_claim(struct segment *s, enum heapd_section_id section, uint32_t n);

/* Back some thousand records more than are used of each section, 3 MiB in all: later nothing can be. */
void segment_reserve(struct segment *s);

static inline void
segment_lose(const struct segment *s, enum heapd_loss what)
{
	if (segment_is_ours(s))
		atomic_fetch_add_explicit(&s->header->lost[what], 1, memory_order_relaxed);
}

/* How many records at the start of a section may have been claimed; all of them can be read. */
static inline uint32_t
segment_used(const struct segment *s, enum heapd_section_id section)
{
	uint32_t used = atomic_load_explicit(&s->used[section], memory_order_seq_cst);
	uint32_t ready = atomic_load_explicit(&s->ready[section], memory_order_relaxed);

	return used < ready ? used : ready;
}

/* Measure the rate of the ticks, now being at so many, if it is time to. Seldom makes system calls. */
void segment_measure_ticks(struct segment *s, uint64_t ticks);

static inline void
segment_tick(struct segment *s, uint64_t ticks)
{
	if (__builtin_expect(ticks >= atomic_load_explicit(&s->clock_due, memory_order_relaxed), 0))
		segment_measure_ticks(s, ticks);
}

/* Create the file, map it and fill the header's fixed part. *s must be zero but for `state`. 0 or -errno; on failure nothing is left
 * behind but s->state. -EAGAIN: the program acts for another user just now, who must not own memory of it; later, perhaps.
 * Called once per process image and fork child, by the thread that won the right to. Makes system calls. */
int segment_create(struct segment *s, uint64_t period);

#endif
