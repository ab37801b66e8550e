/* births - are the times in a segment right? Allocates marked blocks at times that it knows, then reads its own segment.
 *
 *   births [BLOCKS]
 *
 * To be run at period 1. A block's birth, as its ticks and the stated rate give it, must lie between the readings of
 * CLOCK_MONOTONIC before and after its allocation, give or take one per cent of the time since the segment's start. Prints "right"
 * or what is wrong.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <time.h>

#include "segment.h"
#include "truth.h"

#define BLOCKS_MAX 64
#define SIZE 123457 /* nobody else's */

static struct block {
	void *p;
	double before, after; /* seconds */
} blocks[BLOCKS_MAX];

static double
seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
give_up(const char *why)
{
	printf("wrong: %s\n", why);
	exit(1);
}

/* The segment of this process. */
static int
open_segment(void)
{
	const char *path = getenv("HEAPD_DIR");
	DIR *dir = path ? opendir(path) : NULL;
	char prefix[16];
	int fd = -1;

	snprintf(prefix, sizeof(prefix), "%d-", (int)getpid());
	for (struct dirent *e; dir && fd < 0 && (e = readdir(dir)) != NULL;) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
			fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		give_up("no segment");
	return fd;
}

/* The live record of a block. */
static struct heapd_live
find(int fd, const struct heapd_section *live, uint32_t n, const void *p)
{
	struct heapd_live record;

	for (uint32_t i = 0; i < n; i++) {
		if (pread(fd, &record, sizeof(record), (off_t)(live->offset + i * sizeof(record))) == sizeof(record) &&
		    record.address == (uintptr_t)p && record.size == SIZE)
			return record;
	}
	give_up("a block has no record");
	return record;
}

int
main(int argc, char **argv)
{
	uint64_t n = 20;
	struct heapd_header h;
	double start, rate;
	bool right = true;
	int fd;

	truth_begin(argc, argv, &n, 1);
	if (n > BLOCKS_MAX)
		n = BLOCKS_MAX;
	for (uint64_t i = 0; i < n; i++) {
		struct timespec pause = { .tv_nsec = (long)i * 500000 };

		blocks[i].before = seconds_now();
		blocks[i].p = malloc(SIZE);
		blocks[i].after = seconds_now();
		nanosleep(&pause, NULL);
	}
	fd = open_segment();
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		give_up("a short header");
	rate = (double)h.ticks_per_second;
	if (rate == 0)
		give_up("the rate of the ticks is not known");
	start = (double)h.clock_start.monotonic_ns * 1e-9;
	for (uint64_t i = 0; i < n; i++) {
		struct heapd_live record = find(fd, &h.sections[HEAPD_LIVE], h.sections[HEAPD_LIVE].used, blocks[i].p);
		/* The first sample of all may be older than the start, which it makes. */
		double age = (double)(int64_t)(record.birth - h.clock_start.ticks) / rate, slack = 1e-5 + 0.01 * age;

		if (start + age < blocks[i].before - slack || start + age > blocks[i].after + slack) {
			printf("wrong: block %" PRIu64 " was born %.6f s after the start, not from %.6f to %.6f\n", i,
			       age, blocks[i].before - start, blocks[i].after - start);
			right = false;
		}
	}
	if (right)
		puts("right");
	close(fd);
	return right ? 0 : 1;
}
