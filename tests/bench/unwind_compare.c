/* unwind_compare.c - preload this into a program to hold heapd's walk against libunwind's, frame by frame.
 *
 * Every UNWIND_COMPARE_EVERY-th allocation (1 if unset) is walked by both. At exit the counts and the first stacks that
 * differ are appended to the file UNWIND_COMPARE_OUT (standard error if unset). libunwind locks and reads what it likes,
 * so this is for tests only.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "modules.h"
#include "thread.h"
#include "unit/unwind_segment.h"

#define SHOWN 12

enum verdict { EQUAL, SHORTER, LONGER, DIFFERENT, VERDICTS };
static const char *const verdict_names[VERDICTS] = { "equal", "ours shorter", "ours longer", "different" };

struct pair {
	uint32_t depth, flags, their_depth;
	uint64_t ours[HEAPD_MAX_DEPTH], theirs[HEAPD_MAX_DEPTH];
};

static struct unwinder unwinder;
static _Atomic uint64_t calls, counts[VERDICTS], by_flag[5];
static uint64_t every = 1;
static struct pair shown[SHOWN];
static _Atomic uint32_t shown_count;
static __thread bool busy __attribute__((tls_model("initial-exec")));
static bool ready;

static uint32_t
theirs_walk(uint64_t first, uint64_t *ret)
{
	unw_context_t context;
	unw_cursor_t cursor;
	unw_word_t pc;
	uint32_t n = 0;

	unw_getcontext(&context);
	unw_init_local(&cursor, &context);
	do {
		if (unw_get_reg(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0)
			break;
		if (n > 0 || pc == first)
			ret[n++] = pc;
	} while (n < HEAPD_MAX_DEPTH && unw_step(&cursor) > 0);
	return n;
}

static enum verdict
judge(const struct pair *p)
{
	uint32_t n = p->depth < p->their_depth ? p->depth : p->their_depth;

	if (memcmp(p->ours, p->theirs, n * sizeof(p->ours[0])) != 0)
		return DIFFERENT;
	return p->depth == p->their_depth ? EQUAL : p->depth < p->their_depth ? SHORTER : LONGER;
}

__attribute__((noinline)) static void
compare(const struct unwind_start *start)
{
	struct stack_range range = thread_stack(start->cfa);
	struct stack stack;
	struct pair p;
	enum verdict v;

	unwind(&unwinder, &fake_segment, start, &range, &stack);
	p.depth = stack.depth;
	p.flags = stack.flags;
	for (uint32_t i = 0; i < stack.depth; i++)
		p.ours[i] = atomic_load(&fake_frames[stack.frames[i]].address);
	p.their_depth = theirs_walk(start->pc, p.theirs);
	v = judge(&p);
	counts[v]++;
	for (uint32_t i = 0; i < 5; i++)
		by_flag[i] += stack.flags >> i & 1;
	if (v != EQUAL) {
		uint32_t i = shown_count++;

		if (i < SHOWN)
			shown[i] = p;
	}
}

#define COMPARE_HERE()                                                                    \
	do {                                                                              \
		struct unwind_start start = { (uintptr_t)__builtin_return_address(0),     \
					      (uintptr_t)__builtin_dwarf_cfa(),           \
					      *(uintptr_t *)__builtin_frame_address(0) }; \
		if (ready && !busy && calls++ % every == 0) {                             \
			busy = true;                                                      \
			compare(&start);                                                  \
			busy = false;                                                     \
		}                                                                         \
	} while (0)

#define REAL(name)                     \
	static __typeof__(name) *real; \
	if (!real)                     \
	*(void **)&real = dlsym(RTLD_NEXT, #name)

__attribute__((visibility("default"), noinline)) void *
malloc(size_t size)
{
	REAL(malloc);
	COMPARE_HERE();
	return real(size);
}

__attribute__((visibility("default"), noinline)) void *
calloc(size_t n, size_t size)
{
	REAL(calloc);
	COMPARE_HERE();
	return real(n, size);
}

__attribute__((visibility("default"), noinline)) void *
realloc(void *p, size_t size)
{
	REAL(realloc);
	COMPARE_HERE();
	return real(p, size);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *text = getenv("UNWIND_COMPARE_EVERY");

	if (text && atoi(text) > 0)
		every = (uint64_t)atoi(text);
	fake_segment_reset(FAKE_MODULES, FAKE_FRAMES);
	modules_start(&fake_segment);
	thread_start();
	ready = true;
}

static void
print_address(FILE *out, uint64_t pc)
{
	struct module m;

	if (modules_find(&unwinder.modules, &fake_segment, 0, pc, &m) == 0 && m.index != HEAPD_NONE)
		fprintf(out, "%.*s+0x%lx", (int)fake_modules[m.index].path_length,
			fake_strings + fake_modules[m.index].path, (unsigned long)(pc - fake_modules[m.index].bias));
	else
		fprintf(out, "0x%lx", (unsigned long)pc);
}

__attribute__((destructor)) static void
finish(void)
{
	const char *path = getenv("UNWIND_COMPARE_OUT");
	uint64_t all = counts[EQUAL] + counts[SHORTER] + counts[LONGER] + counts[DIFFERENT];
	FILE *out;

	ready = false;
	if (all == 0)
		return;
	out = path ? fopen(path, "a") : stderr;
	if (!out)
		return;
	fprintf(out, "pid %d %.*s: %lu stacks, equal %lu (%.3f %%), ours shorter %lu, longer %lu, different %lu; ",
		(int)getpid(), (int)fake_modules[0].path_length, fake_strings + fake_modules[0].path,
		(unsigned long)all, (unsigned long)counts[EQUAL], 100.0 * (double)counts[EQUAL] / (double)all,
		(unsigned long)counts[SHORTER], (unsigned long)counts[LONGER], (unsigned long)counts[DIFFERENT]);
	fprintf(out, "deep %lu no_cfi %lu bad %lu foreign %lu; frames %u\n", (unsigned long)by_flag[0],
		(unsigned long)by_flag[1], (unsigned long)by_flag[2], (unsigned long)by_flag[3],
		atomic_load(&fake_header.sections[HEAPD_FRAMES].used));
	for (uint32_t i = 0; i < shown_count && i < SHOWN; i++) {
		const struct pair *p = &shown[i];
		uint32_t n = p->depth > p->their_depth ? p->depth : p->their_depth;

		fprintf(out, "  %s, flags %u\n", verdict_names[judge(p)], p->flags);
		for (uint32_t k = 0; k < n; k++) {
			bool both = k < p->depth && k < p->their_depth;

			fputs(both && p->ours[k] == p->theirs[k] ? "    = " : "    ! ", out);
			if (k < p->depth)
				print_address(out, p->ours[k]);
			if (!both || p->ours[k] != p->theirs[k]) {
				fputs("  |  ", out);
				if (k < p->their_depth)
					print_address(out, p->theirs[k]);
			}
			fputc('\n', out);
		}
	}
	if (out != stderr)
		fclose(out);
}
