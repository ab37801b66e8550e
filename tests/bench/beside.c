/* beside - loops of allocations by the functions of several preloads, side by side in one process.
 *
 *   beside pair|set|realloc LIBRARY...
 *
 * Each library is loaded with dlopen and called by pointer; each has blocks of its own. They run in turns of a tenth of a
 * millisecond or two, forwards and backwards, so that whatever else the machine does meets all of them alike, and a library
 * beside a copy of itself comes out within a few thousandths. Prints, for each, nanoseconds an operation (the least of a tenth of
 * the turns, and the median) and the median of the ratios to the first library, turn by turn.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIBRARIES_MAX = 8, BLOCKS = 100000, WARM_UP = 200, TURNS = 4000 };

struct library {
	const char *path;
	void *(*malloc)(size_t size);
	void *(*realloc)(void *block, size_t size);
	void (*free)(void *block);
	void **blocks;
	uint64_t random;
	double cost[TURNS]; /* ns an operation */
};

/* The compiler must believe that the block is used. */
#define USE(p) __asm__ volatile("" : : "r"(p) : "memory")

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t
random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* A turn of each loop: how many operations it was. */

static uint64_t
pair(struct library *l)
{
	for (int i = 0; i < 20000; i++) {
		void *p = l->malloc(64);

		USE(p);
		l->free(p);
	}
	return 20000;
}

/* Free one of 100,000 blocks of 16 to 512 B, allocate another. */
static uint64_t
set(struct library *l)
{
	for (int i = 0; i < 4000; i++) {
		uint64_t r = random_next(&l->random);
		void **p = &l->blocks[(r & 0xffffffff) % BLOCKS];

		l->free(*p);
		*p = l->malloc(16 + (r >> 32) % 497);
		USE(*p);
	}
	return 4000;
}

/* A block that doubles from 16 B to 64 KiB, nothing written. */
static uint64_t
grow(struct library *l)
{
	uint64_t n = 0;

	for (int i = 0; i < 1500; i++) {
		void *p = NULL;

		for (size_t size = 16; size <= 65536; size *= 2, n++) {
			p = l->realloc(p, size);
			USE(p);
		}
		l->free(p);
	}
	return n;
}

static void *
function_of(void *library, const char *name)
{
	void *function = dlsym(library, name);

	if (!function) {
		fprintf(stderr, "beside: %s\n", dlerror());
		exit(1);
	}
	return function;
}

static void
library_load(struct library *l, const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		fprintf(stderr, "beside: %s\n", dlerror());
		exit(1);
	}
	l->path = path;
	*(void **)&l->malloc = function_of(library, "malloc");
	*(void **)&l->realloc = function_of(library, "realloc");
	*(void **)&l->free = function_of(library, "free");
	l->blocks = calloc(BLOCKS, sizeof(void *));
	if (!l->blocks)
		exit(1);
	l->random = 88172645463325252;
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
report(const struct library *l, const struct library *first)
{
	static double sorted[TURNS];
	double ratio;

	for (int i = 0; i < TURNS; i++)
		sorted[i] = l->cost[i] / first->cost[i];
	qsort(sorted, TURNS, sizeof(sorted[0]), compare);
	ratio = sorted[TURNS / 2];
	memcpy(sorted, l->cost, sizeof(sorted));
	qsort(sorted, TURNS, sizeof(sorted[0]), compare);
	printf("%.2f %.2f %.4f %s\n", sorted[TURNS / 10], sorted[TURNS / 2], ratio, l->path);
}

int
main(int argc, char **argv)
{
	static struct library libraries[LIBRARIES_MAX];
	static const struct {
		const char *name;
		uint64_t (*turn)(struct library *l);
	} loops[] = { { "pair", pair }, { "set", set }, { "realloc", grow } };
	uint64_t (*turn)(struct library * l) = NULL;
	int n = argc - 2;

	for (size_t i = 0; argc > 1 && i < sizeof(loops) / sizeof(loops[0]); i++)
		if (strcmp(argv[1], loops[i].name) == 0)
			turn = loops[i].turn;
	if (!turn || n < 1 || n > LIBRARIES_MAX) {
		fprintf(stderr, "usage: beside pair|set|realloc LIBRARY... (at most %d)\n", LIBRARIES_MAX);
		return 2;
	}
	for (int i = 0; i < n; i++)
		library_load(&libraries[i], argv[2 + i]);
	/* Filled in turns, so that the blocks of all lie mixed. */
	for (int k = 0; k < BLOCKS; k++)
		for (int i = 0; i < n; i++)
			libraries[i].blocks[k] = libraries[i].malloc(16 + random_next(&libraries[i].random) % 497);
	for (int k = -WARM_UP; k < TURNS; k++) {
		for (int i = 0; i < n; i++) {
			struct library *l = &libraries[k % 2 == 0 ? i : n - 1 - i];
			uint64_t start = now_ns(), operations = turn(l), end = now_ns();

			if (k >= 0)
				l->cost[k] = (double)(end - start) / (double)operations;
		}
	}
	for (int i = 0; i < n; i++)
		report(&libraries[i], &libraries[0]);
	return 0;
}
