/* branches.c - 32,768 stacks, which allocate sizes that change from round to round; a round for each byte that comes in. One more
 * stack allocates 8 bytes in the first round and keeps 64 MiB in the third. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEPTH 15

static void *volatile last;
static volatile int returns; /* so that no call becomes a jump */

static void left(unsigned way, int depth, size_t size);
static void right(unsigned way, int depth, size_t size);

static void
branch(unsigned way, int depth, size_t size)
{
	if (depth == 0) {
		last = malloc(size);
		free(last);
	} else if (way & 1) {
		left(way >> 1, depth - 1, size);
	} else {
		right(way >> 1, depth - 1, size);
	}
	returns++;
}

__attribute__((noinline)) static void
left(unsigned way, int depth, size_t size)
{
	branch(way, depth, size);
	returns++;
}

__attribute__((noinline)) static void
right(unsigned way, int depth, size_t size)
{
	branch(way, depth, size);
	returns += 2;
}

__attribute__((noinline)) static void
late_leak(size_t size)
{
	last = malloc(size);
	returns++;
}

int
main(void)
{
	unsigned seed = 1;
	char byte;

	left(0, 0, 1);
	for (unsigned round = 0; read(0, &byte, 1) == 1; round++) {
		for (unsigned i = 0; i < 1u << DEPTH; i++) {
			unsigned way = (i + round * 1000) % (1u << DEPTH);

			seed = seed * 1103515245 + 12345;
			if (round == 0 || (seed >> 16) % 4 == 0)
				branch(way, DEPTH, 16 + way * (round + 1) % 3000);
		}
		late_leak(round == 2 ? (64 << 20) - 24 : 8);
		(void)printf("round %u\n", round);
		(void)fflush(stdout);
	}
	return 0;
}
