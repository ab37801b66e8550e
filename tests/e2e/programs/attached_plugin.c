/* A plugin that attached loads: what it allocates is counted, too. */
#include <stdlib.h>

static void *volatile kept;

__attribute__((noinline)) void
keep_in_plugin(void)
{
	for (int i = 0; i < 100; i++)
		kept = malloc(700);
}

void
work(void)
{
	keep_in_plugin();
}
