/* secretive.c - a program whose /proc files are root's alone, as that of an agent with keys. Waits for the end of stdin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static void *volatile keep;

__attribute__((noinline)) static void
keep_secret(size_t size)
{
	keep = memset(malloc(size), 'x', size);
}

int
main(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return 1;
	for (int i = 0; i < 100; i++)
		keep_secret(3000);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return prctl(PR_GET_DUMPABLE);
}
