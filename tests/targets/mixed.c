/* mixed - very different sizes at one site: what a profile that scales sums by the mean size gets wrong.
 *
 *   mixed [SMALL_BLOCKS]        default 200000
 *
 * few_large: SMALL_BLOCKS of 64 B and 4 of 4 MiB, all kept.   small_freed, large_freed: the same, one kind freed.
 * spread: sizes from 16 B to 256 KiB, each power of two equally likely, a third freed.
 */
#include "truth.h"

SITE_FUNCTION(few_large, malloc(size))
SITE_FUNCTION(small_freed, malloc(size))
SITE_FUNCTION(large_freed, malloc(size))
SITE_FUNCTION(spread, malloc(size))

enum { SMALL = 64, LARGE = 4 << 20 };

/* Large blocks at even distances among the small ones. */
static void
make(void *(*make_one)(size_t size), struct truth_site *site, uint64_t n, bool free_small, bool free_large)
{
	for (uint64_t i = 0; i < n; i++) {
		bool large = i % (n / 4 + 1) == n / 8;

		if (large) {
			truth_keep(site, make_one(LARGE), LARGE);
			if (free_large)
				truth_free_kept(site);
		}
		truth_keep(site, make_one(SMALL), SMALL);
		if (free_small)
			truth_free_kept(site);
	}
}

int
main(int argc, char **argv)
{
	uint64_t n = 200000, random = 1;

	truth_begin(argc, argv, &n, 1);
	make(few_large, &site_few_large, n, false, false);
	make(small_freed, &site_small_freed, n, true, false);
	make(large_freed, &site_large_freed, n, false, true);
	for (uint64_t i = 0; i < n / 100; i++) {
		size_t size = (size_t)16 << (truth_random(&random) >> 32) % 15;

		truth_keep(&site_spread, spread(size), size);
		if (i % 3 == 2)
			truth_free_kept(&site_spread);
	}
	truth_end();
	return 0;
}
