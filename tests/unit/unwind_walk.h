/* unwind_walk.h - for tests of the unwinder: walk from here by heapd and by libunwind (libgcc where there is none).
 *
 * Include it in one file of a program.
 */
#ifndef HEAPD_UNWIND_WALK_H
#define HEAPD_UNWIND_WALK_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#endif

#include "modules.h"
#include "pages.h"
#include "unwind.h"
#include "unwind_segment.h"

struct walked {
	struct stack stack;
	uint64_t pcs[HEAPD_MAX_DEPTH];
	uint32_t reference_depth;
	uint64_t reference[HEAPD_MAX_DEPTH];
	uintptr_t cfa;
};

static struct unwinder *unwinder;
static __thread struct stack_range range;
static __thread struct walked walked;
static __thread int walks, walks_wrong;

#ifdef HAVE_LIBUNWIND
/* It keeps what it knew of libraries that were unloaded. */
static inline void
reference_forget(void)
{
	unw_flush_cache(unw_local_addr_space, 0, 0);
}

static void
reference_walk(struct walked *w, uint64_t first)
{
	unw_context_t context;
	unw_cursor_t cursor;
	unw_word_t pc;

	w->reference_depth = 0;
	unw_getcontext(&context);
	unw_init_local(&cursor, &context);
	do {
		if (unw_get_reg(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0)
			break;
		if (w->reference_depth > 0 || pc == first)
			w->reference[w->reference_depth++] = pc;
	} while (w->reference_depth < HEAPD_MAX_DEPTH && unw_step(&cursor) > 0);
}
#else
/* As in gcc's <unwind.h>, whose place in the include path our own unwind.h takes. */
int _Unwind_Backtrace(int (*trace)(void *frame, void *arg), void *arg);
uintptr_t _Unwind_GetIP(void *frame);

static inline void
reference_forget(void)
{
}

static int
reference_frame(void *frame, void *arg)
{
	struct walked *w = arg;
	uintptr_t pc = _Unwind_GetIP(frame);

	if (pc != 0 && w->reference_depth < HEAPD_MAX_DEPTH && (w->reference_depth > 0 || pc == w->reference[0]))
		w->reference[w->reference_depth++] = pc;
	return 0;
}

static void
reference_walk(struct walked *w, uint64_t first)
{
	w->reference[0] = first;
	w->reference_depth = 0;
	_Unwind_Backtrace(reference_frame, w);
}
#endif

#define START_HERE()                                                                                      \
	((struct unwind_start){ (uintptr_t)__builtin_return_address(0), (uintptr_t)__builtin_dwarf_cfa(), \
				*(uintptr_t *)__builtin_frame_address(0) })

static void
walk(const struct unwind_start *start)
{
	memset(&walked.stack, 0xee, sizeof(walked.stack));
	unwind(unwinder, &fake_segment, start, &range, &walked.stack);
	walked.cfa = start->cfa;
	walks++;
	for (uint32_t i = 0; i < walked.stack.depth; i++)
		walked.pcs[i] = atomic_load(&fake_frames[walked.stack.frames[i]].address);
}

/* Only ours. Where the compiler may not follow: a call from code without tables. */
__attribute__((noinline)) void walk_here(void);
void
walk_here(void)
{
	struct unwind_start start = START_HERE();

	walk(&start);
	__asm__ volatile("" ::: "memory");
}

static inline bool
same(const struct walked *w)
{
	return w->stack.depth == w->reference_depth &&
	       memcmp(w->pcs, w->reference, w->reference_depth * sizeof(w->pcs[0])) == 0;
}

/* Both, and they must agree. */
__attribute__((noinline, unused)) static void
walk_both(void)
{
	struct unwind_start start = START_HERE();

	reference_walk(&walked, start.pc);
	for (int again = 0; again < 2; again++) { /* cold, then by hints */
		walk(&start);
		if (same(&walked) && walked.stack.flags == 0)
			continue;
		walks_wrong++;
		printf("# flags %u\n", walked.stack.flags);
		for (uint32_t i = 0; i < walked.stack.depth || i < walked.reference_depth; i++)
			printf("# %2u: %#lx %#lx\n", i, i < walked.stack.depth ? (unsigned long)walked.pcs[i] : 0,
			       i < walked.reference_depth ? (unsigned long)walked.reference[i] : 0);
	}
}

static inline struct stack_range
own_range(void)
{
	pthread_attr_t attr;
	void *base;
	size_t size;

	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &base, &size);
	pthread_attr_destroy(&attr);
	return (struct stack_range){ (uintptr_t)base, (uintptr_t)base + size };
}

static inline void
begin_with(uint32_t modules, uint32_t frames)
{
	fake_segment_reset(modules, frames);
	unwinder = pages_private(sizeof(*unwinder));
	modules_start(&fake_segment);
	range = own_range();
	walks = walks_wrong = 0;
}

static inline void
begin(void)
{
	begin_with(FAKE_MODULES, FAKE_FRAMES);
}

/* Under qemu's user mode emulation: it does some system calls differently. */
static inline bool
emulated(void)
{
#if defined(__x86_64__)
	return false;
#else
	return getenv("EMULATED") != NULL;
#endif
}

static inline const struct heapd_frame *
frame(uint32_t i)
{
	return &fake_frames[walked.stack.frames[i]];
}

/* Two frames whose CFAs are known. */
static uintptr_t cfa_seen[2];

__attribute__((noinline, unused)) static void
inner(void)
{
	cfa_seen[0] = (uintptr_t)__builtin_dwarf_cfa();
	walk_here();
	__asm__ volatile("");
}

__attribute__((noinline, unused)) static void
outer(void)
{
	cfa_seen[1] = (uintptr_t)__builtin_dwarf_cfa();
	inner();
	__asm__ volatile("");
}

#endif
