/* churn - very many random operations on a working set: nothing may drift.
 *
 *   churn [OPERATIONS [BLOCKS]]         default 10000000, 10000
 */
#include "truth.h"

SITE_FUNCTION(churn_malloc, malloc(size))
SITE_FUNCTION(churn_calloc, calloc(1, size))

SITE(churn_realloc)
SITE_CODE(churn_realloc) static void churn_realloc(struct truth_block *b, size_t size)
{
	void *p = realloc(b->p, size);

	if (!p)
		return;
	truth_gone(b->site, b->size);
	truth_made(&site_churn_realloc, p, size);
	*b = (struct truth_block){ p, size, &site_churn_realloc };
}

static struct truth_block set[1 << 20];

int
main(int argc, char **argv)
{
	uint64_t values[] = { 10000000, 10000 }, random = 42;

	truth_begin(argc, argv, values, 2);
	if (values[1] < 1 || values[1] > sizeof(set) / sizeof(*set))
		return 2;
	for (uint64_t i = 0; i < values[0]; i++) {
		uint64_t r = truth_random(&random);
		struct truth_block *b = &set[(r & 0xffffffff) % values[1]];
		size_t size = 1 + (r >> 32) % 512;

		if (r >> 61 == 7 && b->p) {
			churn_realloc(b, size);
			continue;
		}
		truth_free_block(b);
		if (r >> 61 == 0)
			*b = (struct truth_block){ churn_calloc(size), size, &site_churn_calloc };
		else if (r >> 61 < 5)
			*b = (struct truth_block){ churn_malloc(size), size, &site_churn_malloc };
	}
	truth_end();
	return 0;
}
