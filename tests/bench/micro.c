/* micro - loops of allocations and nothing else, to be run under different preloads.
 *
 *   micro pair OPERATIONS [THREADS]     malloc and free of 64 B, by each thread
 *   micro set OPERATIONS                free one of 100,000 blocks of 16 to 512 B, allocate another
 *   micro deep OPERATIONS               pair under 60 frames, always the same
 *   micro varied OPERATIONS             pair under 60 frames, one of 4,096 stacks, changed every 8 operations
 *   micro realloc OPERATIONS            a block that doubles from 16 B to 64 KiB, and nothing is written into it
 *   micro grow OPERATIONS               the same, and what is new of it is written: a buffer as programs grow them
 *   micro stack OPERATIONS DEPTH        pair under DEPTH frames
 *   micro start 1                       the first 32 MiB of a process, in blocks of 16 KiB: what comes before all others
 *   micro memory BLOCKS                 keep BLOCKS of 64 B, print the bytes of private memory and of the segment
 *   micro flood OPERATIONS BYTES        malloc and free of BYTES
 *   micro crowd THREADS                 so many threads at once, each with 100 blocks; print nanoseconds of CPU a thread, and bytes
 *                                       as above
 *
 * Prints nanoseconds an operation of one thread: CPU time, which other programs on the machine disturb little, and wall
 * time, in which waiting shows.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __clang__
#define ALONE __attribute__((noinline))
#else
#define ALONE __attribute__((noinline, noclone))
#endif

/* The compiler must believe that the block is used. */
#define USE(p) __asm__ volatile("" : : "r"(p) : "memory")

static uint64_t
now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
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

static ALONE void
pair(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		void *p = malloc(64);

		USE(p);
		free(p);
	}
}

static void *
pair_thread(void *n)
{
	pair(*(uint64_t *)n);
	return NULL;
}

static void
run_pair(uint64_t n, uint64_t n_threads)
{
	pthread_t threads[64];

	if (n_threads <= 1) {
		pair(n);
		return;
	}
	for (uint64_t i = 0; i < n_threads; i++)
		if (pthread_create(&threads[i], NULL, pair_thread, &n) != 0)
			exit(1);
	for (uint64_t i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
}

enum { SET_BLOCKS = 100000 };

static void *set[SET_BLOCKS];

static void
fill_set(uint64_t *random)
{
	for (int i = 0; i < SET_BLOCKS; i++)
		set[i] = malloc(16 + random_next(random) % 497);
}

static ALONE void
run_set(uint64_t n, uint64_t *random)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t r = random_next(random);
		void **p = &set[(r & 0xffffffff) % SET_BLOCKS];

		free(*p);
		*p = malloc(16 + (r >> 32) % 497);
		USE(*p);
	}
}

/* Recursion that no compiler unrolls: each level is one of two functions, chosen by a bit of `path`. */
static void descend(unsigned depth, uint64_t path, uint64_t n);

static ALONE void
descend_left(unsigned depth, uint64_t path, uint64_t n)
{
	descend(depth - 1, path >> 1, n);
	__asm__ volatile("");
}

static ALONE void
descend_right(unsigned depth, uint64_t path, uint64_t n)
{
	volatile char room[64];

	room[0] = (char)n;
	descend(depth - 1, path >> 1, n);
	room[1] = room[0];
}

static ALONE void
descend(unsigned depth, uint64_t path, uint64_t n)
{
	if (depth < 2)
		pair(n);
	else if (path & 1)
		descend_right(depth - 1, path, n);
	else
		descend_left(depth - 1, path, n);
	__asm__ volatile("");
}

/* What a profiler does once a process; and tcmalloc looks at its sample parameter for the first time after 16 MiB. */
static ALONE void
warm_up(void)
{
	for (int i = 0; i < 2000; i++) {
		void *p = malloc(16384);

		USE(p);
		free(p);
	}
}

/* `depth` frames in all, with pair(), main and the three that start it: at least those five. */
static inline __attribute__((always_inline)) void
run_deep(uint64_t n, unsigned depth)
{
	if (depth <= 5)
		pair(n);
	else
		descend(depth - 5, 0x5555555555555555, n);
}

static inline __attribute__((always_inline)) void
run_varied(uint64_t n, uint64_t *random)
{
	for (uint64_t i = 0; i < n; i += 8)
		descend(55, random_next(random) & 4095, 8);
}

static ALONE void
run_realloc(uint64_t n, bool write)
{
	uint64_t i = 0;

	while (i < n) {
		void *p = NULL;

		for (size_t size = 16; size <= 65536; size *= 2, i++) {
			p = realloc(p, size);
			if (write)
				memset((char *)p + size / 2, 1, size / 2);
			USE(p);
		}
		free(p);
	}
}

/* What of this process's memory nobody shares, and apart from it what a segment (a shared mapping that only we have, and so
 * "private" to the kernel) takes. */
static void
print_memory(void)
{
	char line[4096];
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long kib, sum[2] = { 0, 0 };
	bool segment = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (strchr("0123456789abcdef", line[0]))
			segment = strstr(line, ".heapd") != NULL;
		else if (sscanf(line, "Private_%*[^:]: %lu kB", &kib) == 1)
			sum[segment] += kib * 1024;
	}
	if (f)
		fclose(f);
	printf("%lu %lu\n", sum[0], sum[1]);
}

static void
run_memory(uint64_t n)
{
	void *last = NULL;

	for (uint64_t i = 0; i < n; i++) {
		void **p = malloc(64);

		*p = last;
		last = p;
	}
	USE(last);
	print_memory();
}

static pthread_barrier_t crowd_there, crowd_counted;

static void *
crowd_thread(void *unused)
{
	void *blocks[100];

	(void)unused;
	for (int i = 0; i < 100; i++) {
		blocks[i] = malloc(64);
		USE(blocks[i]);
	}
	pthread_barrier_wait(&crowd_there);
	pthread_barrier_wait(&crowd_counted);
	for (int i = 0; i < 100; i++)
		free(blocks[i]);
	return NULL;
}

static int
run_crowd(uint64_t n)
{
	pthread_t *threads = malloc(n * sizeof(*threads));
	pthread_attr_t attributes;
	uint64_t cpu;

	if (!threads || pthread_attr_init(&attributes) != 0 || pthread_attr_setstacksize(&attributes, 65536) != 0)
		return 1;
	pthread_barrier_init(&crowd_there, NULL, (unsigned)n + 1);
	pthread_barrier_init(&crowd_counted, NULL, (unsigned)n + 1);
	for (uint64_t i = 0; i < n; i++) {
		if (pthread_create(&threads[i], &attributes, crowd_thread, NULL) != 0) {
			fprintf(stderr, "micro: no more than %llu threads here\n", (unsigned long long)i);
			return 1;
		}
	}
	pthread_barrier_wait(&crowd_there);
	print_memory();
	pthread_barrier_wait(&crowd_counted);
	for (uint64_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	printf("%.1f\n", (double)cpu / (double)n);
	free(threads);
	return 0;
}

static void
run_flood(uint64_t n, size_t size)
{
	for (uint64_t i = 0; i < n; i++) {
		void *p = malloc(size);

		USE(p);
		free(p);
	}
}

int
main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 0, extra = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	uint64_t random = 88172645463325252, wall, cpu;
	const char *what = argc > 1 ? argv[1] : "";

	if (n == 0 || (extra > 64 && strcmp(what, "flood") != 0)) {
		fprintf(stderr,
			"usage: micro pair|set|deep|varied|realloc|grow|stack|start|memory|flood|crowd OPERATIONS "
			"[THREADS|DEPTH|BYTES]\n");
		return 2;
	}
	if (strcmp(what, "memory") == 0) {
		run_memory(n);
		return 0;
	}
	if (strcmp(what, "crowd") == 0)
		return run_crowd(n);
	if (strcmp(what, "set") == 0)
		fill_set(&random);
	if (strcmp(what, "start") != 0)
		warm_up();
	if (strcmp(what, "stack") == 0)
		run_deep(n / 10, (unsigned)extra);
	wall = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (strcmp(what, "pair") == 0)
		run_pair(n, extra);
	else if (strcmp(what, "set") == 0)
		run_set(n, &random);
	else if (strcmp(what, "deep") == 0)
		run_deep(n, 60);
	else if (strcmp(what, "start") == 0)
		warm_up();
	else if (strcmp(what, "varied") == 0)
		run_varied(n, &random);
	else if (strcmp(what, "realloc") == 0 || strcmp(what, "grow") == 0)
		run_realloc(n, *what == 'g');
	else if (strcmp(what, "stack") == 0)
		run_deep(n, (unsigned)extra);
	else if (strcmp(what, "flood") == 0)
		run_flood(n, extra);
	else
		return 2;
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	if (strcmp(what, "pair") == 0 && extra > 1)
		cpu /= extra;
	printf("%.4f %.4f\n", (double)cpu / (double)n, (double)wall / (double)n);
	return 0;
}
