/* aligned - every function that takes an alignment, each a site. What counts is the size that was asked for.
 *
 *   aligned [ROUNDS]            default 500
 */
#include "truth.h"

#include <malloc.h>

static size_t alignment;

static void *
posix_aligned(size_t size)
{
	void *p = NULL;

	return posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}

SITE_FUNCTION(by_memalign, memalign(alignment, size))
SITE_FUNCTION(by_aligned_alloc, aligned_alloc(alignment, size))
SITE_FUNCTION(by_posix_memalign, posix_aligned(size))
SITE_FUNCTION(by_valloc, valloc(size))
SITE_FUNCTION(by_pvalloc, pvalloc(size))
SITE_FUNCTION(bad_alignment, posix_aligned(size))
SITE_FUNCTION(too_large, posix_aligned(size))

static void
keep_or_free(struct truth_site *site, void *p, size_t size, bool keep)
{
	if ((uintptr_t)p % alignment != 0) {
		fprintf(stderr, "aligned: %s gave %p, not aligned to %zu\n", site->name, p, alignment);
		exit(1);
	}
	truth_keep(site, p, size);
	if (!keep)
		truth_free_kept(site);
}

int
main(int argc, char **argv)
{
	uint64_t n = 500;

	truth_begin(argc, argv, &n, 1);
	for (uint64_t i = 0; i < n; i++) {
		size_t size = (1 + i % 9) * 64;

		for (alignment = 16; alignment <= 65536; alignment *= 4) {
			keep_or_free(&site_by_memalign, by_memalign(size + 8), size + 8, i % 2);
			keep_or_free(&site_by_aligned_alloc, by_aligned_alloc(size), size, i % 3);
			keep_or_free(&site_by_posix_memalign, by_posix_memalign(size + 3), size + 3, i % 4);
		}
		alignment = 1;
		keep_or_free(&site_by_valloc, by_valloc(size), size, i % 2);
		keep_or_free(&site_by_pvalloc, by_pvalloc(size * 16), size * 16, i % 2);
		alignment = 24;
		bad_alignment(size);
		alignment = 4096;
		too_large((size_t)PTRDIFF_MAX);
	}
	truth_end();
	return 0;
}
