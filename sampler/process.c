/* process.c - see process.h. */
#include "process.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "options.h"
#include "pages.h"
#include "thread.h"

enum { EMPTY, STARTING, READY, INERT }; /* EMPTY is what a fork child finds */

static struct process *_Atomic process; /* the pointer survives a fork, its target is zero then */
static _Atomic uint32_t images;
static _Atomic int refused;

void
process_refuse(void)
{
	atomic_store_explicit(&refused, 1, memory_order_relaxed);
}

/* The memory of it, which the first thread to get here makes. */
static struct process *
process_memory(void)
{
	struct process *p = atomic_load_explicit(&process, memory_order_acquire), *mine;

	if (p || (mine = pages_private(sizeof(*mine))) == NULL)
		return p;
	if (atomic_compare_exchange_strong_explicit(&process, &p, mine, memory_order_acq_rel, memory_order_acquire))
		return mine;
	pages_release(mine, sizeof(*mine));
	return p;
}

static int
process_start(struct process *p)
{
	const struct options *o = options_get();
	int r;

	if (!o->enabled || atomic_load_explicit(&refused, memory_order_relaxed))
		return INERT;
	thread_start();
	p->image = atomic_fetch_add_explicit(&images, 1, memory_order_relaxed) + 1;
	r = segment_create(&p->segment, o->period);
	if (r == -EAGAIN)
		return EMPTY;
	if (r < 0 || sites_start(&p->sites, &p->segment) < 0)
		return INERT;
	modules_start(&p->segment);
	return live_start(&p->live) < 0 ? INERT : READY;
}

struct process *
process_get(void)
{
	struct process *p = process_memory();
	uint32_t state;

	if (!p)
		return NULL;
	state = atomic_load_explicit(&p->state, memory_order_acquire);
	if (state == READY)
		return p;
	if (state != EMPTY || !atomic_compare_exchange_strong_explicit(&p->state, &state, STARTING,
								       memory_order_acquire, memory_order_relaxed))
		return NULL;
	state = (uint32_t)process_start(p);
	atomic_store_explicit(&p->state, state, memory_order_release);
	return state == READY ? p : NULL;
}

struct process *
process_peek(void)
{
	struct process *p = atomic_load_explicit(&process, memory_order_acquire);

	return p && atomic_load_explicit(&p->state, memory_order_acquire) == READY ? p : NULL;
}
