/* overflow.c - a bug for each sanitizer: an int that overflows, then, if asked, a read of a block that was freed. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile keep;

__attribute__((noinline)) static char *
keep_block(size_t size)
{
	return keep = memset(malloc(size), 'x', size);
}

int
main(int argc, char **argv)
{
	int most = INT_MAX - 1 + argc;
	char *volatile last = NULL;

	(void)argv;
	for (int i = 0; i < 100; i++)
		last = keep_block(1000);
	printf("%d\n", most + argc);
	if (argc > 1) {
		free(last);
		printf("%d\n", last[5]);
	}
	return 0;
}
