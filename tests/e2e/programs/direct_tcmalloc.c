/* direct_tcmalloc.c - tcmalloc's own entry points, past malloc. */
#include <gperftools/tcmalloc.h>

#include "allocators.h"

SITE static void
keep_malloc(void)
{
	void *p = tc_malloc(1000);
	use(p, 1000);
}

SITE static void
keep_aligned(void)
{
	void *p = tc_memalign(4096, 512);
	use(p, 512);
}

SITE static void
keep_realloc(void)
{
	void *p = tc_malloc(16);
	use(p, 16);
	p = tc_realloc(p, 3000);
	use(p, 3000);
}

SITE static void
give_back(void)
{
	void *p = tc_calloc(7, 100);
	use(p, 700);
	tc_free(p);
	p = tc_malloc(800);
	use(p, 800);
	tc_free_sized(p, 800);
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
