/* partial - sites that free nothing, all, or some of what they allocated, in different orders.
 *
 *   partial [BLOCKS]            default 20000
 */
#include "truth.h"

SITE_FUNCTION(free_none, malloc(size))
SITE_FUNCTION(free_all, malloc(size))
SITE_FUNCTION(free_half, malloc(size))
SITE_FUNCTION(free_tenth, malloc(size))
SITE_FUNCTION(free_oldest, malloc(size))
SITE_FUNCTION(reuse, malloc(size))

enum { WINDOW = 500 };

static struct truth_block window[WINDOW];

/* A queue: the oldest goes when a new one comes, so WINDOW blocks stay. */
static void
make_queue(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		size_t size = 32 + i % 300;

		truth_free_block(&window[i % WINDOW]);
		window[i % WINDOW] = (struct truth_block){ free_oldest(size), size, &site_free_oldest };
	}
}

int
main(int argc, char **argv)
{
	uint64_t n = 20000, random = 7;

	truth_begin(argc, argv, &n, 1);
	for (uint64_t i = 0; i < n; i++) {
		size_t size = 16 + (size_t)(truth_random(&random) >> 32) % 2000;

		truth_keep(&site_free_none, free_none(size), size);
		truth_keep(&site_free_all, free_all(size), size);
		truth_keep(&site_free_half, free_half(size), size);
		truth_keep(&site_free_tenth, free_tenth(size), size);
		if (truth_random(&random) >> 63)
			truth_free_kept(&site_free_half);
		if (i % 10 == 9)
			truth_free_kept(&site_free_tenth);
		/* The same address over and over, nearly always. */
		truth_keep(&site_reuse, reuse(777), 777);
		if (i != n - 1)
			truth_free_kept(&site_reuse);
	}
	while (site_free_all.kept)
		truth_free_kept(&site_free_all);
	make_queue(n);
	truth_end();
	return 0;
}
