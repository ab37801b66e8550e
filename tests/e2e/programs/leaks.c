/* leaks.c - what valgrind reports: blocks lost, and a read behind one of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile char seen;

__attribute__((noinline)) static void
lose(size_t size)
{
	char *volatile block = memset(malloc(size), 'x', size);

	if (size == 33)
		seen = block[size + 1];
}

int
main(void)
{
	for (size_t size = 1; size < 200; size++)
		lose(size);
	printf("%d\n", seen == 'x');
	return 6;
}
