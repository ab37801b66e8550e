/* direct_mimalloc.c - mimalloc's own entry points, past malloc. */
#include <mimalloc.h>

#include "allocators.h"

SITE static void
keep_malloc(void)
{
	void *p = mi_malloc(1000);
	use(p, 1000);
}

SITE static void
keep_aligned(void)
{
	void *p = mi_malloc_aligned(512, 256);
	use(p, 512);
}

SITE static void
keep_realloc(void)
{
	void *p = mi_malloc(16);
	use(p, 16);
	p = mi_realloc(p, 3000);
	use(p, 3000);
}

SITE static void
give_back(void)
{
	void *p = mi_calloc(7, 100);
	use(p, 700);
	mi_free(p);
	p = mi_zalloc(800);
	use(p, 800);
	mi_free_size(p, 800);
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
