/* stripped.c - a library that is stripped, with its allocation in a function nobody can name any more. */
#include <stdlib.h>
#include <string.h>

static void *volatile keep;

__attribute__((noinline)) static void *
nameless(size_t size)
{
	void *p = malloc(size);

	memset(p, 1, size);
	keep = p;
	return p;
}

void
library_fill(unsigned n, size_t size)
{
	while (n-- > 0)
		keep = nameless(size);
}
