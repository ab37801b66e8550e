/* cfi.h - one row of a module's call frame information: how to get from a frame to its caller.
 *
 * Reads .eh_frame through the binary search table of .eh_frame_hdr. The tables are not trusted: every read stays in the
 * bytes the caller names, the number of steps is bounded, and whatever is corrupt or not understood yields CFI_NONE.
 * Pure functions of their arguments: no state, no allocation, about 500 bytes of stack.
 */
#ifndef HEAPD_CFI_H
#define HEAPD_CFI_H

#include <stdbool.h>
#include <stdint.h>

struct cfi_tables { /* borrowed: memory of a loaded module */
	uintptr_t low, high; /* readable bytes around header: a PT_LOAD */
	uintptr_t header; /* .eh_frame_hdr; its .eh_frame must lie in the same bytes */
};

enum cfi_kind {
	CFI_PLAIN, /* CFA = base + cfa */
	CFI_DEREF, /* CFA = *(base + cfa) + add: realigned stacks, some assembler */
	CFI_SIGNAL, /* the trampoline a signal handler returns to: the caller is in the ucontext at sp */
	CFI_END, /* the return address is undefined: the first function of the thread */
	CFI_NONE /* no table, or nothing we understand */
};

enum cfi_fp { /* where the caller's frame pointer register is */
	      CFI_FP_SAME, /* still in the register */
	      CFI_FP_AT_CFA, /* *(CFA + fp) */
	      CFI_FP_AT_FP, /* *(frame pointer + fp) */
	      CFI_FP_AT_SP, /* *(stack pointer + fp) */
	      CFI_FP_LOST /* in a register we do not follow */
};

struct cfi_rule {
	uint8_t kind; /* enum cfi_kind; the rest means something for PLAIN and DEREF only */
	uint8_t fp_place; /* enum cfi_fp */
	bool base_is_fp; /* base is the frame pointer, else the stack pointer */
	bool ra_in_register; /* aarch64: the return address is still in x30 */
	int16_t add;
	int16_t ra; /* the return address is at CFA + ra * 8 */
	int32_t cfa; /* multiple of 8 unless DEREF takes it further */
	int32_t fp; /* multiple of 8 */
};

/* The row for the instruction at pc (a return address is looked up at pc - 1). */
void cfi_find(const struct cfi_tables *tables, uintptr_t pc, struct cfi_rule *ret);

#endif
