/* realloc - chains of realloc. A realloc that succeeds is a free of the old block and an allocation of the new size by the
 * function that called it, moved or not; one that fails changes nothing.
 *
 *   realloc [CHAINS]            default 2000
 */
#include "truth.h"

static struct truth_block *moved; /* the block the next function resizes */

static void
resized(struct truth_site *site, void *p, size_t size)
{
	if (!p)
		return;
	if (moved->p)
		truth_gone(moved->site, moved->size);
	truth_made(site, p, size);
	*moved = (struct truth_block){ p, size, site };
}

#define RESIZE_FUNCTION(name, call)                   \
	SITE(name)                                    \
	SITE_CODE(name) static void name(size_t size) \
	{                                             \
		resized(&site_##name, call, size);    \
	}

SITE_FUNCTION(first, malloc(size))
SITE_FUNCTION(fence, malloc(size)) /* sits behind a block so that it cannot grow in place */
RESIZE_FUNCTION(grow, realloc(moved->p, size))
RESIZE_FUNCTION(grow_moving, realloc(moved->p, size))
RESIZE_FUNCTION(grow_large, realloc(moved->p, size))
RESIZE_FUNCTION(shrink, realloc(moved->p, size))
RESIZE_FUNCTION(same_size, realloc(moved->p, size))
RESIZE_FUNCTION(from_null, realloc(moved->p, size))
RESIZE_FUNCTION(fail, realloc(moved->p, size))
RESIZE_FUNCTION(array, reallocarray(moved->p, size / 8, 8))
RESIZE_FUNCTION(array_overflow, reallocarray(moved->p, size, 16))

/* glibc frees and returns NULL; an allocator that gives a block of size 0 instead is right as well. */
SITE(to_zero)
SITE_CODE(to_zero) static void to_zero(size_t size)
{
	void *p = realloc(moved->p, size);

	truth_gone(moved->site, moved->size);
	truth_made(&site_to_zero, p, size);
	*moved = (struct truth_block){ p, size, &site_to_zero };
}

static struct truth_block *
begin(struct truth_block *b, size_t size)
{
	*b = (struct truth_block){ first(size), size, &site_first };
	moved = b;
	return b;
}

static void
chain(uint64_t i, struct truth_block *keep)
{
	struct truth_block b;

	begin(&b, 16);
	for (size_t size = 32; size <= 4096; size *= 2)
		grow(size);
	truth_free_block(&b);

	begin(keep, 24);
	for (size_t size = 64; size <= 8192; size *= 2) {
		truth_keep(&site_fence, fence(48), 48);
		grow_moving(size);
	}
	for (size_t size = 4096; size >= 512; size /= 2)
		shrink(size);
	same_size(512);
	fail(i % 2 ? (size_t)PTRDIFF_MAX + 5 : (size_t)PTRDIFF_MAX / 2);
	array_overflow(SIZE_MAX / 8);
	array(1024 + i % 7 * 8);
	if (i % 5 == 0)
		to_zero(0);

	memset(&b, 0, sizeof(b));
	moved = &b;
	from_null(100);
	to_zero(0);
	from_null(40);
	if (i % 2)
		truth_free_block(&b);
}

int
main(int argc, char **argv)
{
	static struct truth_block keep[100000], large[4];
	uint64_t n = 2000;

	truth_begin(argc, argv, &n, 1);
	if (n > sizeof(keep) / sizeof(*keep))
		return 2;
	for (uint64_t i = 0; i < n; i++)
		chain(i, &keep[i]);
	for (size_t i = 0; i < 4; i++) { /* by mremap: beyond the mmap threshold */
		begin(&large[i], 200000);
		for (size_t size = 400000; size <= 100000000; size = size * 3 / 2)
			grow_large(size);
	}
	truth_end();
	return 0;
}
