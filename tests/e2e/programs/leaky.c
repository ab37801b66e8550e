/* leaky.c - a service in small: keeps some of what it allocates, from named functions, until stdin closes.
 *
 * usage: leaky [ROUNDS [BYTES]]   first allocates ROUNDS times, says "ready", then one round per line read from stdin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile keep;

/* A compiler that looks through this would drop the allocations. */
static void
use(void *p)
{
	keep = p;
}

__attribute__((noinline)) void *
keep_blob(size_t size)
{
	void *p = malloc(size);

	memset(p, 'x', size);
	use(p);
	return p;
}

static inline __attribute__((always_inline)) void *
inlined_inner(size_t size)
{
	void *p = calloc(1, size);

	use(p);
	return p;
}

__attribute__((noinline)) void *
outer_with_inline(size_t size)
{
	void *p = inlined_inner(size);

	use(p);
	return p;
}

__attribute__((noinline)) void
churn_scratch(size_t size)
{
	void *p = malloc(size);

	use(p);
	free(p);
}

static void
rounds(unsigned long n, size_t size)
{
	while (n-- > 0) {
		keep_blob(size);
		outer_with_inline(size / 2 + 1);
		churn_scratch(size * 2);
	}
}

int
main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 4096;
	char line[64];

	rounds(n, size);
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		rounds(n, size);
	return 0;
}
