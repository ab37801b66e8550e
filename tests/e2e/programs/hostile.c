/* hostile.c - keeps memory in functions whose names a test overwrites with bytes that mean something to whoever shows them.
 *
 * Prints "ready" and waits for the end of stdin.
 */
#include <stdio.h>
#include <stdlib.h>

#define KEEPER(name)                                \
	__attribute__((noinline)) void *name(void); \
	void *name(void)                            \
	{                                           \
		void *volatile p = malloc(10000);   \
		return p;                           \
	}

KEEPER(NAME_A_23456789_123456789_12345)
KEEPER(NAME_B_23456789_123456789_12345)
KEEPER(NAME_C_23456789_123456789_12345)
KEEPER(NAME_D_23456789_123456789_12345)

int
main(void)
{
	for (int i = 0; i < 50; i++) {
		(void)NAME_A_23456789_123456789_12345();
		(void)NAME_B_23456789_123456789_12345();
		(void)NAME_C_23456789_123456789_12345();
		(void)NAME_D_23456789_123456789_12345();
	}
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF) {
	}
	return 0;
}
