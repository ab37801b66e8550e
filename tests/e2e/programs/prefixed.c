/* prefixed.c - a program with an allocator of its own under names that nobody interposes, beside the C library's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *je_malloc(size_t size);

static char arena[1 << 20];
static size_t used;

__attribute__((noinline)) void *
je_malloc(size_t size)
{
	void *block = arena + used;

	used += (size + 15) & ~(size_t)15;
	return block;
}

static void *volatile keep;

__attribute__((noinline)) static void
keep_in_libc(size_t size)
{
	keep = memset(malloc(size), 'x', size);
}

int
main(void)
{
	for (int i = 0; i < 100; i++) {
		keep = memset(je_malloc(1000), 'x', 1000);
		keep_in_libc(2000);
	}
	printf("%zu bytes\n", used);
	return 0;
}
