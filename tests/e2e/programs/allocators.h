/* allocators.h - what the allocator programs share: named functions that keep exactly COUNT blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 1000

static void *volatile kept;

#define SITE __attribute__((noinline))

static void
use(void *p, size_t size)
{
	if (!p)
		abort();
	memset(p, 7, size);
	kept = p;
}
