/* unwind.h - the stack of the calling thread as frame indices of the segment.
 *
 * Walks by .eh_frame through rows decoded once per return address and kept in a private table; each row remembers
 * the row of its last caller, so that a warm frame costs one load and a compare off the dependency chain. Reads only
 * [sp, range.high), at most HEAPD_MAX_DEPTH frames, uses under 1 KiB of stack, calls nothing that locks or allocates.
 * Threads: any number at once, also from signal handlers; tables are lock-free.
 */
#ifndef HEAPD_UNWIND_H
#define HEAPD_UNWIND_H

#include <stdint.h>

#include "segment_writer.h"

struct unwinder { /* lives in memory that is wiped on fork; all zero is a valid empty one */
	void *_Atomic rows; /* unwind.c */
	_Atomic uint32_t rows_mask; /* how many of them are in use - 1; 0: not begun */
	_Atomic uint32_t generation; /* of the loaded modules: unwind_forget() moves it on */
	void *_Atomic frames; /* frames.c: index (address, module) -> frame */
	void *_Atomic modules; /* modules.c: index place -> module */
};

struct unwind_start {
	uintptr_t pc; /* return address of the hooked call */
	uintptr_t cfa; /* stack pointer after that return */
	uintptr_t fp; /* frame pointer register as the caller left it */
};

struct stack_range { /* of the thread, low <= sp < high; both 0: unknown, only the leaf is taken */
	uintptr_t low, high;
};

struct stack {
	uint64_t hash; /* of frames[0..depth) */
	uint32_t depth; /* at least 1 unless no frame could be recorded */
	uint32_t flags; /* HEAPD_STACK_* */
	uint32_t frames[HEAPD_MAX_DEPTH]; /* indices in FRAMES, leaf first; HEAPD_NONE never */
	uint32_t cfas[HEAPD_MAX_DEPTH]; /* range.high - CFA of each frame, bytes; 0 if unknown or over 4 GiB */
};

/* Fill *ret, which may be uninitialised: only what is stated above is written. Why a stack is cut is counted in the
 * segment; if FRAMES is full, ret->depth is 0, HEAPD_STACK_OVERFLOW is set and counting is left to the caller. */
void unwind(struct unwinder *u, struct segment *segment, const struct unwind_start *start,
	    const struct stack_range *range, struct stack *ret);

/* A module went away (call it after the real dlclose): its addresses may mean something else from now on. */
void unwind_forget(struct unwinder *u, struct segment *segment);

#endif
