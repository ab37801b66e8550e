/* stub.h - what a stopped thread of the target executes: load the library, start it, go on as if nothing had been.
 *
 * It is a few instructions and a block of words behind them, copied into memory that the target got for it. From its first
 * instruction on it needs nobody: whoever put it there may die, and the thread still comes back to where it was. It runs with
 * all signals blocked on a stack of its own, and keeps errno. Before it leaves, it waits a moment for what came of it to be read.
 *
 * It comes back in one of two ways. To the first instruction of a function of one argument: there the calling convention
 * leaves every register free but that argument and those that a called function preserves, so a return into instructions of
 * the C library can remove the stub's memory under its feet. Or to anywhere, with all registers as they were; its memory then
 * stays, unless a tracer takes the thread from there while it waits.
 */
#ifndef HEAPD_STUB_H
#define HEAPD_STUB_H

#include <stddef.h>
#include <stdint.h>

#define STUB_PAGE 4096u
#define STUB_STATE (16u << 10) /* for what XSAVE writes */
#define STUB_STACK (256u << 10)
#define STUB_SIZE \
	(STUB_PAGE + sizeof(struct stub_words) + STUB_STATE + STUB_STACK) /* bytes that the target has to map */

#define STUB_WAIT_MS 500u
#define STUB_PATH 4096u
#define STUB_OPTIONS 4096u

/* Of a thread, as they shall be when it goes on. */
struct stub_registers {
	uint64_t ax, bx, cx, dx, si, di, bp, sp, r8, r9, r10, r11, r12, r13, r14, r15, ip, flags;
};

/* Addresses are the target's. */
struct stub_words {
	/* Written by the injector. */
	uint64_t dlopen, dlsym, dlerror, errno_location;
	uint64_t pop_rdi; /* of the instructions pop %rdi; ret */
	uint64_t syscall; /* of the instructions syscall; ret */
	uint64_t region, region_size; /* all of it: code, words, state and stack */
	uint64_t all_signals; /* a mask with each bit set */
	uint64_t whole; /* not 0: come back with all registers; 0: to the first instruction of a function */
	struct stub_registers registers;
	/* Written by the stub. */
	uint64_t signals; /* that the thread had blocked */
	uint64_t handle; /* what dlopen returned */
	uint64_t error; /* what dlerror returned where that was NULL; an address */
	uint64_t entry; /* of heapd_attach in the library */
	int64_t result; /* what that returned */
	uint64_t done; /* 1: all of this is written */
	uint64_t nap_s, nap_ns; /* what is left of one */
	/* Written by the injector. */
	uint64_t seen; /* 1: it was read. Else the stub leaves after STUB_WAIT_MS. */
	char symbol[32];
	char path[STUB_PATH];
	char options[STUB_OPTIONS];
	char padding[STUB_PAGE - 37 * 8 - 32];
};
_Static_assert(sizeof(struct stub_words) == 3 * STUB_PAGE,
	       "whole pages, so that the state is aligned and the stack begins at one");

/* The instructions, at most STUB_PAGE bytes; the words follow at STUB_PAGE, then state and stack. */
extern const char stub_start[] __attribute__((visibility("hidden"))), stub_end[] __attribute__((visibility("hidden")));
#endif
