/* symbols_inline.c - functions inlined into each other, at lines that carry a mark.
 *
 * Prints the address of each mark it passes, as the return address of a call made there, then "ready", and waits for its
 * input to end. symbols_test looks for the marks in this file to know the lines.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "symbols_inline.h"

extern char __executable_start[];
volatile int symbols_sink;

/* The address this call returns to, relative to where the program was loaded. */
__attribute__((noinline)) static void
mark(const char *name)
{
	printf("%s %" PRIxPTR "\n", name, (uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start);
	symbols_sink++;
}

static inline __attribute__((always_inline)) void
innermost(void)
{
	mark("deep"); /* MARK deep 0 */
	symbols_sink++;
}

static inline __attribute__((always_inline)) void
middle(void)
{
	symbols_sink++;
	innermost(); /* MARK deep 1 */
}

__attribute__((noinline)) static void
outer(void)
{
	middle(); /* MARK deep 2 */
	symbols_sink++;
}

__attribute__((noinline)) void
symbols_plain(void)
{
	mark("plain"); /* MARK plain 0 */
	symbols_sink++;
}

int
main(void)
{
	char byte;

	outer();
	symbols_plain();
	header_inline(mark);
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
