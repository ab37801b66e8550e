/* sample.c - see sample.h. The slow half: some hundred nanoseconds once per period bytes. */
#include "sample.h"

#include <errno.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "options.h"
#include "process.h"
#include "random.h"
#include "rmw.h"
#include "ticks.h"

/* The period in force. The segment's owner may have asked for another one. */
static uint64_t
period_now(struct process *p)
{
	struct heapd_header *h;
	uint64_t period, wanted;

	if (!p)
		return options_get()->period;
	h = p->segment.header;
	period = atomic_load_explicit(&p->segment.period, memory_order_relaxed);
	wanted = atomic_load_explicit(&h->period_wanted, memory_order_relaxed);
	if (unlikely(wanted < 1 || wanted > HEAPD_PERIOD_MAX))
		return period;
	if (unlikely(atomic_load_explicit(&h->max_samples, memory_order_relaxed) != 0))
		wanted = pace_period(&p->pace, h, period, wanted, ticks_now());
	if (wanted != period) {
		atomic_store_explicit(&p->segment.period, wanted, memory_order_relaxed);
		atomic_store_explicit(&h->period, wanted, memory_order_relaxed);
	}
	return wanted;
}

/* Siblings of a fork must not make the same choices: their estimates are added up. Each child gets a number of its own from
 * its parent, so that HEAPD_SEED repeats whole trees. */
static _Atomic uint64_t lineage;
static _Atomic uint64_t forks;

void
sample_before_fork(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

void
sample_after_fork(void)
{
	uint64_t state = atomic_load_explicit(&lineage, memory_order_relaxed) +
			 atomic_exchange_explicit(&forks, 0, memory_order_relaxed);

	atomic_store_explicit(&lineage, random_next(&state), memory_order_relaxed);
	thread_self.countdown = 0;
	thread_self.period = 0;
}

/* A start for the thread's random numbers that no other thread has. */
static uint64_t
thread_seed(void)
{
	static _Atomic uint64_t threads;
	uint64_t seed = options_get()->seed, n = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
	const uint64_t *kernel = (const uint64_t *)getauxval(AT_RANDOM);

	if (seed == 0)
		seed = (kernel ? kernel[0] ^ kernel[1] : 0) ^ ticks_now() ^ (uintptr_t)&thread_self;
	seed += n * UINT64_C(0xd1342543de82ef95) + atomic_load_explicit(&lineage, memory_order_relaxed);
	return random_next(&seed);
}

static uint64_t
weighted(size_t size, uint64_t weight)
{
	return (uint64_t)(((wide)weight * size) >> HEAPD_WEIGHT_SHIFT);
}

static void
lose(struct process *p, enum heapd_loss what, size_t size, uint64_t weight)
{
	if (!process_is_ours(p))
		return;
	segment_lose(&p->segment, what);
	atomic_fetch_add_explicit(&p->segment.header->lost_bytes, weighted(size, weight), memory_order_relaxed);
}

/* Signal handlers allocated within a count that ran out, so many bytes and one for each block together: one at least. */
static __attribute__((noinline, cold)) void
missed(struct thread *t)
{
	struct process *p = process_peek();
	int64_t left;

	t->below = 0;
	while ((left = (int64_t)__atomic_load_n(&t->countdown, __ATOMIC_RELAXED)) < 0) {
		const uint64_t counted = (uint64_t)-left, size = counted - 1;

		__atomic_fetch_add(&t->countdown, counted, __ATOMIC_RELAXED);
		if (p)
			lose(p, HEAPD_LOST_BUSY, size, random_weight(size, t->period));
	}
}

uint64_t
sample_due(size_t size)
{
	struct thread *t = &thread_self;
	const uint64_t counted = (uint64_t)size + 1;
	uint64_t period;

	if (t->quiet || size > PTRDIFF_MAX)
		return 0; /* the second: no allocator grants it */
	if (unlikely((int64_t)t->countdown < 0))
		missed(t);
	if (t->period == 0) {
		/* The thread's first: its countdown was zero and meant nothing. */
		t->random = thread_seed();
		t->period = period_now(process_peek());
		t->countdown = random_gap(&t->random, t->period);
		if (t->countdown >= counted) {
			t->countdown -= counted;
			return 0;
		}
	}
	period = t->period;
	t->period = period_now(process_peek());
	t->countdown = random_gap(&t->random, t->period);
	return period;
}

#define MARK UINT64_C(0x68656170642d6d6b)

/* Is the sample that the thread is said to be at really under way below us, and we in a signal handler that interrupted
 * it? It left a mark on the stack. If a handler ended it by a jump, we are not deeper than the mark, or it was
 * overwritten since. */
static bool
is_interrupted(const struct thread *t, const volatile uint64_t *here)
{
	struct stack_range range = thread_stack((uintptr_t)here);

	if (t->busy < range.low || t->busy >= range.high)
		return true; /* we are on another stack, a signal's */
	return (uintptr_t)here < t->busy && *(const volatile uint64_t *)t->busy == (MARK ^ t->busy);
}

static uint32_t
thread_id(void)
{
	uint32_t id;

	if (!pages_begin())
		return SCRATCH_UNKNOWN;
	id = (uint32_t)syscall(SYS_gettid);
	pages_end();
	return id;
}

/* Begin a sample in this thread, unless it is at one. `mark` lies in the caller's frame. */
static struct stack *
begin(struct process *p, struct thread *t, volatile uint64_t *mark)
{
	uint32_t slot;

	if (unlikely(t->busy)) {
		if (is_interrupted(t, mark))
			return NULL;
		/* One instruction: a signal handler may find the same, and only one of us may give the slot back. */
		slot = __atomic_exchange_n(&t->scratch, 0, __ATOMIC_RELAXED);
		atomic_signal_fence(memory_order_seq_cst);
		t->busy = 0;
		atomic_signal_fence(memory_order_seq_cst);
		if (slot && t->image == p->image)
			scratch_give(&p->scratch, slot - 1);
	}
	if (unlikely(t->image != p->image)) {
		t->serial = atomic_fetch_add_explicit(&p->segment.header->threads, 1, memory_order_relaxed) + 1;
		t->image = p->image;
		t->tid = thread_id();
	}
	slot = scratch_take(&p->scratch, t->serial, t->tid);
	if (unlikely(slot == SCRATCH_NONE))
		slot = scratch_take_other(&p->scratch, t->tid);
	if (unlikely(slot == SCRATCH_NONE))
		return NULL;
	*mark = MARK ^ (uintptr_t)mark;
	atomic_signal_fence(memory_order_seq_cst);
	t->busy = (uintptr_t)mark;
	atomic_signal_fence(memory_order_seq_cst);
	t->scratch = slot + 1; /* only now: a handler that samples before leaves a slot of its own there */
	return scratch_stack(&p->scratch, slot);
}

static void
end(struct process *p, struct thread *t)
{
	const uint32_t slot = t->scratch; /* as long as busy keeps handlers from it */

	t->scratch = 0;
	atomic_signal_fence(memory_order_seq_cst);
	t->busy = 0;
	atomic_signal_fence(memory_order_seq_cst);
	if (likely(slot))
		scratch_give(&p->scratch, slot - 1);
}

/* The block's site was kept in the segment: anything may stand there if somebody else wrote into our file. */
static void
count_free(struct process *p, const struct live_block *block)
{
	uint32_t site = block->site;

	if (unlikely(site >= atomic_load_explicit(&p->segment.ready[HEAPD_SITES], memory_order_relaxed)))
		site = HEAPD_OVERFLOW_SITE;
	sites_count(&p->segment.sites[site].freed, block->size, block->weight, memory_order_release);
}

/* An address that is handed out again while we hold it was freed where we do not see it. */
static void
forget_stale(struct process *p, uintptr_t address)
{
	struct live_block old;

	if (!live_take(&p->live, &p->segment, address, &old))
		return;
	segment_lose(&p->segment, HEAPD_LOST_FREE);
	count_free(p, &old);
	live_release(&p->live, &p->segment, old.id);
}

void
sample_take(void *block, size_t size, uint64_t period, const struct unwind_start *start)
{
	int saved = errno;
	struct process *p = process_get();
	struct thread *t = &thread_self;
	struct stack_range range;
	struct stack *stack;
	struct heapd_live *record;
	volatile uint64_t mark;
	uint64_t weight, now;
	uint32_t id, site;

	weight = random_weight(size, period);
	if (unlikely(!p)) {
		process_missed(weighted(size, weight));
		goto out;
	}
	if (atomic_load_explicit(&p->segment.header->control, memory_order_relaxed) == HEAPD_CONTROL_PAUSE)
		goto out;
	stack = begin(p, t, &mark);
	if (unlikely(!stack)) {
		lose(p, HEAPD_LOST_BUSY, size, weight);
		goto out;
	}
	if (unlikely(filter_hit(block)))
		forget_stale(p, (uintptr_t)block);

	range = thread_stack(start->cfa);
	unwind(&p->unwinder, &p->segment, start, &range, stack);
	if (unlikely(!process_is_ours(p)))
		goto end;
	id = live_reserve(&p->live, &p->segment, stack->cfas, stack->depth);
	if (unlikely(id == HEAPD_NONE)) {
		lose(p, HEAPD_LOST_NO_LIVE, size, weight);
		goto end;
	}
	site = sites_find(&p->sites, &p->segment, stack);
	if (unlikely(!process_is_ours(p)))
		goto end;
	record = &p->segment.live[id];
	record->size = size;
	record->weight = weight;
	record->period = period;
	record->birth = now = ticks_now();
	__atomic_store_n(&record->site, site, __ATOMIC_RELAXED); /* a free_pop too late may look at it */
	record->thread = t->serial;
	if (unlikely(!live_add(&p->live, &p->segment, id, (uintptr_t)block))) {
		lose(p, HEAPD_LOST_NO_LIVE, size, weight);
		goto end;
	}
	if (unlikely(!process_is_ours(p)))
		goto end;
	/* The block is still ours: its free, which counts after this, cannot have come. */
	sites_count(&p->segment.sites[site].alloc, size, weight, memory_order_relaxed);
	rmw_add(&p->segment.header->samples, 1, memory_order_relaxed);
	segment_tick(&p->segment, now);
end:
	end(p, t);
out:
	errno = saved;
}

#define BELOW_MAX 8

/* See sample_count(). The count may be one that we interrupt, and is put right when that goes on; seen so often, a handler most
 * likely jumped away from it. */
static __attribute__((noinline, cold)) void
found_below(struct thread *t)
{
	if (++t->below < BELOW_MAX)
		return;
	t->below = 0;
	t->countdown = 0;
}

bool
sample_leaving(void *block, struct live_block *ret)
{
	struct process *p = process_peek();

	if (unlikely((int64_t)thread_self.countdown < 0))
		found_below(&thread_self);
	if (!p || !block || !live_take(&p->live, &p->segment, (uintptr_t)block, ret))
		return false;
	ret->image = p->image;
	return true;
}

void
sample_gone(const struct live_block *block)
{
	struct process *p = process_peek();

	if (!p || p->image != block->image) /* forked in between: the numbers are the parent's */
		return;
	count_free(p, block);
	live_release(&p->live, &p->segment, block->id);
}

void
sample_back(const struct live_block *block, void *address)
{
	struct process *p = process_peek();

	if (!p || p->image != block->image)
		return;
	if (!live_add(&p->live, &p->segment, block->id, (uintptr_t)address)) {
		count_free(p, block);
		lose(p, HEAPD_LOST_NO_LIVE, block->size, block->weight);
	}
}

void
sample_forget_modules(void)
{
	int saved = errno;
	struct process *p = process_peek();

	if (p)
		unwind_forget(&p->unwinder, &p->segment);
	errno = saved;
}
