/* heap_mimalloc.c - mimalloc's entry points that take a heap, and those that copy or resize in their own ways. */
#include <mimalloc.h>
#include <string.h>

#include "allocators.h"

static mi_heap_t *heap;
static volatile size_t too_much = (size_t)1 << 62;

SITE static void
keep_heap_calloc(void)
{
	use(mi_heap_calloc(heap, 10, 100), 1000);
}

SITE static void
keep_heap_realloc(void)
{
	void *p = mi_heap_malloc(heap, 16);

	use(p, 16);
	use(mi_heap_realloc(heap, p, 3000), 3000);
}

SITE static void
keep_aligned_at(void)
{
	use(mi_heap_calloc_aligned_at(heap, 2, 300, 64, 0), 600);
}

SITE static void
keep_text(void)
{
	static char text[501];

	memset(text, 'x', 500);
	use(mi_strdup(text), 501);
	use(mi_heap_strndup(heap, text, 98), 99);
}

SITE static void
keep_expanded(void)
{
	void *p = mi_malloc(100);

	use(p, 100);
	if (!mi_expand(p, 90) || mi_expand(p, too_much))
		exit(1);
}

/* Freed by a resize that fails, by one to a heap, and by free. */
SITE static void
give_back(void)
{
	void *p = mi_malloc(700);

	use(p, 700);
	if (mi_reallocf(p, too_much))
		exit(1);
	p = mi_heap_zalloc_aligned(heap, 800, 64);
	use(p, 800);
	mi_free(p);
}

int
main(void)
{
	heap = mi_heap_new();
	for (int i = 0; i < COUNT; i++) {
		keep_heap_calloc();
		keep_heap_realloc();
		keep_aligned_at();
		keep_text();
		keep_expanded();
		give_back();
	}
	printf("done\n");
	return 0;
}
