/* direct_jemalloc.c - jemalloc's own entry points, past malloc. */
#include <jemalloc/jemalloc.h>

#include "allocators.h"

SITE static void
keep_mallocx(void)
{
	void *p = mallocx(1000, 0);
	use(p, 1000);
}

SITE static void
keep_aligned(void)
{
	void *p = mallocx(512, MALLOCX_ALIGN(4096));
	use(p, 512);
}

SITE static void
keep_rallocx(void)
{
	void *p = mallocx(16, 0);
	use(p, 16);
	p = rallocx(p, 3000, 0);
	use(p, 3000);
	if (xallocx(p, 3000, 0, 0) < 3000)
		abort();
}

SITE static void
give_back(void)
{
	void *p = mallocx(700, MALLOCX_ZERO);
	use(p, 700);
	dallocx(p, 0);
	p = mallocx(800, 0);
	use(p, 800);
	sdallocx(p, 800, 0);
}

int
main(void)
{
	for (int i = 0; i < COUNT; i++) {
		keep_mallocx();
		keep_aligned();
		keep_rallocx();
		give_back();
	}
	printf("done\n");
	return 0;
}
