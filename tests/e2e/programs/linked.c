/* linked.c - the plain malloc family on whatever allocator is linked or preloaded. */
#include "allocators.h"

SITE static void
keep_malloc(void)
{
	void *p = malloc(1000);
	use(p, 1000);
}

SITE static void
keep_aligned(void)
{
	void *p = NULL;
	if (posix_memalign(&p, 256, 512) != 0)
		abort();
	use(p, 512);
}

SITE static void
keep_realloc(void)
{
	char *p = malloc(10);
	use(p, 10);
	p = realloc(p, 3000);
	use(p, 3000);
}

SITE static void
give_back(void)
{
	void *p = calloc(10, 77);
	use(p, 770);
	free(p);
}

int
main(void)
{
	for (int i = 0; i < COUNT; i++) {
		keep_malloc();
		keep_aligned();
		keep_realloc();
		give_back();
	}
	printf("done\n");
	return 0;
}
