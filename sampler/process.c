/* process.c - see process.h. */
#include "process.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "options.h"
#include "pages.h"
#include "thread.h"

struct process *_Atomic process_memory;
static _Atomic uint32_t images;
static _Atomic int refused;

void
process_refuse(void)
{
	atomic_store_explicit(&refused, 1, memory_order_relaxed);
}

/* The memory of it, which the first thread to get here makes, in a fork child anew. */
static struct process *
memory_get(void)
{
	struct process *p = atomic_load_explicit(&process_memory, memory_order_acquire), *mine;

	if (p && process_is_ours(p))
		return p;
	mine = pages_kept(sizeof(*mine), sizeof(mine->wiped));
	if (!mine)
		return NULL;
	atomic_store_explicit(&mine->state, PROCESS_FRESH, memory_order_relaxed);
	if (atomic_compare_exchange_strong_explicit(&process_memory, &p, mine, memory_order_acq_rel,
						    memory_order_acquire))
		return mine;
	pages_release(mine, sizeof(*mine));
	return p;
}

static uint32_t
process_start(struct process *p)
{
	const struct options *o = options_get();
	int r;

	if (!o->enabled || atomic_load_explicit(&refused, memory_order_relaxed))
		return PROCESS_INERT;
	thread_start();
	p->image = atomic_fetch_add_explicit(&images, 1, memory_order_relaxed) + 1;
	p->segment.state = &p->state;
	/* The file last: one that stays empty would say that nothing was allocated. */
	if (live_start(&p->live) < 0)
		return PROCESS_INERT;
	r = segment_create(&p->segment, o->period);
	if (r < 0)
		return r == -EAGAIN ? PROCESS_FRESH : PROCESS_INERT;
	sites_start(&p->segment);
	modules_start(&p->segment);
	return PROCESS_READY;
}

/* Into the segment with what process_missed() counted. By whoever made the process ready, and by those who counted too late
 * for that. */
static void
count_early(struct process *p)
{
	uint64_t n = atomic_exchange_explicit(&p->early, 0, memory_order_acq_rel);
	uint64_t bytes = atomic_exchange_explicit(&p->early_bytes, 0, memory_order_relaxed);

	atomic_fetch_add_explicit(&p->segment.header->lost[HEAPD_LOST_BUSY], n, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->segment.header->lost_bytes, bytes, memory_order_relaxed);
}

void
process_missed(uint64_t bytes)
{
	struct process *p = atomic_load_explicit(&process_memory, memory_order_acquire);

	if (!p || atomic_load_explicit(&p->state, memory_order_relaxed) < PROCESS_STARTING)
		return;
	atomic_fetch_add_explicit(&p->early_bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->early, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&p->state, memory_order_seq_cst) == PROCESS_READY)
		count_early(p);
}

struct process *
process_get(void)
{
	struct process *p = process_peek();
	uint32_t state = PROCESS_FRESH, next = PROCESS_INERT;

	if (p)
		return p;
	p = memory_get();
	if (!p || !atomic_compare_exchange_strong_explicit(&p->state, &state, PROCESS_STARTING, memory_order_acquire,
							   memory_order_acquire))
		return p && state == PROCESS_READY ? p : NULL;
	if (pages_begin()) {
		next = process_start(p);
		pages_end();
	}
	state = PROCESS_STARTING;
	if (!atomic_compare_exchange_strong_explicit(&p->state, &state, next, memory_order_seq_cst,
						     memory_order_relaxed))
		return NULL; /* forked in between */
	if (next != PROCESS_READY)
		return NULL;
	if (atomic_load_explicit(&p->early, memory_order_seq_cst))
		count_early(p);
	return p;
}

void
process_retry(void)
{
	struct process *p = atomic_load_explicit(&process_memory, memory_order_acquire);
	uint32_t state = PROCESS_INERT;

	if (p)
		atomic_compare_exchange_strong_explicit(&p->state, &state, PROCESS_FRESH, memory_order_acq_rel,
							memory_order_relaxed);
}
