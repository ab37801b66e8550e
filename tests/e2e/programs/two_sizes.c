/* two_sizes.c - one stack keeps blocks of very different sizes: the case that scaling by the mean size gets wrong.
 *
 * usage: two_sizes COUNT SIZE COUNT SIZE
 */
#include <stdlib.h>

static void *volatile keep;

__attribute__((noinline)) void
keep_both(size_t size)
{
	keep = malloc(size);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2)
		for (unsigned long n = strtoul(argv[i], NULL, 10); n > 0; n--)
			keep_both(strtoul(argv[i + 1], NULL, 10));
	return 0;
}
