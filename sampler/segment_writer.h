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
	_Atomic uint32_t ready[HEAPD_SECTIONS]; /* records of each section that are backed by memory */
	bool preallocated; /* the whole file is backed */
};

/* Claim n consecutive records of a section. Returns the index of the first, or HEAPD_NONE if there is no room. */
uint32_t segment_claim(struct segment *s, enum heapd_section_id section, uint32_t n);

/* Back some thousand records more than are used of each section, 3 MiB in all: later nothing can be. */
void segment_reserve(struct segment *s);

static inline void
segment_lose(const struct segment *s, enum heapd_loss what)
{
	atomic_fetch_add_explicit(&s->header->lost[what], 1, memory_order_relaxed);
}

/* Create the file, map it and fill the header's fixed part. *s must be zero. 0 or -errno; on failure nothing is left
 * behind. -EAGAIN: the program acts for another user just now, who must not own memory of it; later, perhaps.
 * Called once per process image and fork child, by the thread that won the right to. Makes system calls. */
int segment_create(struct segment *s, uint64_t period);

#endif
