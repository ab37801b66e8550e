/* cfi_program.h - running the programs that call frame tables are made of.
 *
 * Only three columns matter to a stack walk: the CFA, the frame pointer register and the return address. Everything
 * said about other registers is parsed and dropped. Expressions are run on symbols instead of values ("sp + 8",
 * "*(fp - 8)"), which is enough for what compilers emit: the PLT's, gcc's realigned stacks, OpenSSL's assembler.
 *
 * Private to cfi.c.
 */
#ifndef HEAPD_CFI_PROGRAM_H
#define HEAPD_CFI_PROGRAM_H

#include "cfi_bytes.h"

#if defined(__x86_64__)
enum { REG_FRAME = 6, REG_STACK = 7, REG_RETURN = 16 };
#elif defined(__aarch64__)
enum { REG_FRAME = 29, REG_STACK = 31, REG_RETURN = 30 };
#else
#error "heapd knows the registers of x86-64 and aarch64"
#endif

#define REMEMBER_MAX 2 /* nothing seen nests deeper than one */

enum { CFA_UNKNOWN, CFA_PLAIN, CFA_DEREF };
enum { RA_UNKNOWN, RA_AT_CFA, RA_IN_REGISTER, RA_UNDEFINED };

struct columns {
	uint8_t cfa_kind, ra_kind; /* CFA_*, RA_* */
	uint8_t fp_place; /* enum cfi_fp */
	bool base_is_fp, base_is_sp;
	bool sp_odd; /* the caller's sp is not the CFA */
	int32_t cfa, add, fp, ra;
};

struct machine {
	struct columns now;
	struct columns initial; /* after the CIE's program: what DW_CFA_restore goes back to */
	uintptr_t location, pc; /* run while location <= pc */
	unsigned remembered;
	struct columns stack[REMEMBER_MAX];
	/* As the CIE has it. */
	uint32_t code_align;
	int32_t data_align;
	uint8_t pointer_encoding;
};

/* Run a program on top of what is in m->now. False: it is corrupt, too long, or says something we do not understand. */
bool program_run(struct machine *m, struct bytes program);

#endif
