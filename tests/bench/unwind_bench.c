/* unwind_bench.c - what a frame costs: heapd's walk, libunwind's unw_backtrace and libgcc's _Unwind_Backtrace, in turns.
 *
 * libgcc is loaded by hand from its own file, because libunwind exports a _Unwind_Backtrace of its own. Prints the best
 * of several rounds; arguments: rounds (default 30).
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "modules.h"
#include "thread.h"
#include "unit/unwind_segment.h"

enum walker { HEAPD, LIBUNWIND, LIBGCC, WALKERS };
static const char *const names[WALKERS] = { "heapd", "unw_backtrace", "_Unwind_Backtrace" };

static struct unwinder unwinder;
static struct stack stack;
static enum walker walker;
static unsigned turns;
static double best[WALKERS];
static unsigned depth_seen;

/* As in gcc's <unwind.h>, whose place in the include path our own unwind.h takes. */
static int (*libgcc_backtrace)(int (*trace)(void *context, void *arg), void *arg);
static uintptr_t (*libgcc_ip)(void *context);

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct trace {
	unsigned n;
	void *pc[256];
};

static int
trace_one(void *c, void *arg)
{
	struct trace *t = arg;

	if (t->n < 256)
		t->pc[t->n++] = (void *)libgcc_ip(c);
	return 0;
}

__attribute__((noinline)) static void
walk_once(void)
{
	struct unwind_start start = { (uintptr_t)__builtin_return_address(0), (uintptr_t)__builtin_dwarf_cfa(),
				      *(uintptr_t *)__builtin_frame_address(0) };
	struct trace trace;
	struct stack_range range;

	trace.n = 0;
	switch (walker) {
	case HEAPD:
		range = thread_stack(start.cfa);
		unwind(&unwinder, &fake_segment, &start, &range, &stack);
		depth_seen = stack.depth;
		break;
	case LIBUNWIND:
		unw_backtrace(trace.pc, 256);
		break;
	default:
		libgcc_backtrace(trace_one, &trace);
	}
	__asm__ volatile("" ::"r"(&trace) : "memory");
}

static volatile bool cold;

__attribute__((noinline)) static void
leaf(void)
{
	double begin, took;

	if (!cold)
		walk_once();
	begin = now_ns();
	for (unsigned i = 0; i < turns; i++) {
		if (cold) /* as after dlclose: every row is stale */
			atomic_fetch_add(&unwinder.generation, 1);
		walk_once();
	}
	took = (now_ns() - begin) / turns;
	if (best[walker] == 0 || took < best[walker])
		best[walker] = took;
}

/* A chain of distinct functions with frames of different sizes, entered where the wanted depth remains. */
#define LINK(i, next)                                       \
	__attribute__((noinline)) static int link##i(int n) \
	{                                                   \
		volatile char room[(i) % 7 * 16 + 8];       \
		room[0] = (char)n;                          \
		return next(n + (i)) + room[0];             \
	}
__attribute__((noinline)) static int
link_end(int n)
{
	leaf();
	return n;
}
#define LINKS(i, before)       \
	LINK(i##0, before)     \
	LINK(i##1, link##i##0) \
	LINK(i##2, link##i##1) \
	LINK(i##3, link##i##2) \
	LINK(i##4, link##i##3) \
	LINK(i##5, link##i##4) \
	LINK(i##6, link##i##5) \
	LINK(i##7, link##i##6) \
	LINK(i##8, link##i##7) \
	LINK(i##9, link##i##8)
LINKS(1, link_end)
LINKS(2, link19)
LINKS(3, link29)
LINKS(4, link39)
LINKS(5, link49)
LINKS(6, link59)
LINKS(7, link69)
LINKS(8, link79)
LINKS(9, link89)

/* One function that calls itself: the same return address has two callers, so that each walk misses twice. */
__attribute__((noinline)) static int
recursion(int n)
{
	volatile int more = n;

	if (n == 0)
		leaf();
	else
		recursion(n - 1);
	return more;
}

static void
measure(const char *what, unsigned rounds, int (*enter)(int), int n)
{
	for (walker = 0; walker < WALKERS; walker++)
		best[walker] = 0;
	for (unsigned i = 0; i < rounds; i++)
		for (walker = 0; walker < (cold ? LIBUNWIND : WALKERS); walker++) {
			turns = walker == LIBGCC ? 100 : cold ? 500 : 2000;
			enter(n);
		}
	for (walker = 0; walker < WALKERS; walker++)
		if (best[walker] > 0)
			printf("%-9s %3u frames: %-18s %8.1f ns a walk %7.2f ns a frame\n", what, depth_seen,
			       names[walker], best[walker], best[walker] / depth_seen);
}

int
main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 30;
	void *libgcc = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!libgcc)
		return 1;
	*(void **)&libgcc_backtrace = dlsym(libgcc, "_Unwind_Backtrace");
	*(void **)&libgcc_ip = dlsym(libgcc, "_Unwind_GetIP");
	fake_segment_reset(FAKE_MODULES, FAKE_FRAMES);
	modules_start(&fake_segment);
	thread_start();
	measure("warm", rounds, link_end, 0);
	measure("warm", rounds, link31, 0);
	measure("warm", rounds, link99, 0);
	measure("recursion", rounds, recursion, 94);
	cold = true;
	measure("cold", rounds, link31, 0);
	return 0;
}
