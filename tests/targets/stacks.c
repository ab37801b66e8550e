/* stacks - so many distinct stacks, and so many live blocks from each.
 *
 *   stacks [STACKS [BLOCKS [EXTRA]]]       EXTRA: frames more in every stack
 *
 * A number's bits choose at which of two places each of 20 frames calls the next.
 */
#include "truth.h"

#define LEVELS 20

SITE_FUNCTION(leaf, malloc(size))

/* Nothing may be made of a call: neither a jump nor one call for both places. */
#define HERE(n) __asm__ volatile("" : : "i"(n) : "memory")

TRUTH_ALONE static void
descend(unsigned level, uint64_t number, uint64_t blocks, uint64_t extra)
{
	if (extra > 0) {
		descend(level, number, blocks, extra - 1);
		HERE(3);
	} else if (level == 0) {
		for (uint64_t i = 0; i < blocks; i++)
			truth_keep(&site_leaf, leaf(16 + number % 64), 16 + number % 64);
		HERE(2);
	} else if (number >> (level - 1) & 1) {
		descend(level - 1, number, blocks, 0);
		HERE(1);
	} else {
		descend(level - 1, number, blocks, 0);
		HERE(0);
	}
}

int
main(int argc, char **argv)
{
	uint64_t values[] = { 1000, 4, 0 };

	truth_begin(argc, argv, values, 3);
	for (uint64_t i = 0; i < values[0] && i < UINT64_C(1) << LEVELS; i++)
		descend(LEVELS, i, values[1], values[2]);
	truth_end();
	return 0;
}
