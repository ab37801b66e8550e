/* profile_bench.c - what it costs to read, build and encode large profiles: time of each step and memory at the peak.
 *
 *   profile_bench [SITES [DEPTH]]       default: 10,000 and 100,000 sites of 20 frames
 *
 * Names are synthetic, one a frame, which is the most strings there can be. Peak memory is that of a child process that
 * does nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_snapshot.h"
#include "reader.h"

#define ROUNDS 5

static double
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static double
peak_mib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_maxrss / 1024;
}

/* The best of a few rounds: what the work takes when nothing disturbs it. */
struct times {
	double copy, build, pprof, text, legacy;
};

static void
take_least(double *least, double value)
{
	if (*least == 0 || value < *least)
		*least = value;
}

static void
measure(uint32_t n_sites, uint32_t depth)
{
	struct fake_segment *f = fake_large(n_sites, depth);
	struct times t = { 0 };
	size_t pprof_size = 0, text_size = 0, n_samples = 0, size;
	int fd = memfd_create("segment", MFD_CLOEXEC);
	double before, start;

	fake_write(f, fd);
	fake_free(f);
	before = peak_mib();
	for (int i = 0; i < ROUNDS; i++) {
		struct snapshot *s = snapshot_new();
		struct reader *reader = NULL;
		struct profile *p = NULL;
		uint8_t *packed = NULL;
		char *text = NULL;

		start = now_ms();
		if (reader_open(fd, &reader) < 0 || reader_copy(reader, s) < 0)
			exit(1);
		take_least(&t.copy, now_ms() - start);
		start = now_ms();
		if (profile_new(&(struct profile_source){ s, NULL }, 1, &p) < 0)
			exit(1);
		take_least(&t.build, now_ms() - start);
		start = now_ms();
		if (profile_encode_pprof(p, NULL, PROFILE_INUSE_SPACE, false, &packed, &pprof_size) < 0)
			exit(1);
		take_least(&t.pprof, now_ms() - start);
		free(packed);
		start = now_ms();
		if (profile_encode_text(p, &text, &text_size) < 0)
			exit(1);
		take_least(&t.text, now_ms() - start);
		free(text);
		start = now_ms();
		if (profile_encode_legacy(p, false, false, &text, &size) < 0)
			exit(1);
		take_least(&t.legacy, now_ms() - start);
		free(text);
		n_samples = p->n_samples;
		profile_free(p);
		reader_free(reader);
		snapshot_free(s);
	}
	printf("%7u sites x %u: copy %5.1f ms, build %6.1f ms, pprof %6.1f ms (%zu KiB), text %6.1f ms (%zu KiB), "
	       "gperftools "
	       "%5.1f ms; %zu samples; peak %.0f MiB, %.0f of them the input\n",
	       n_sites, depth, t.copy, t.build, t.pprof, pprof_size >> 10, t.text, text_size >> 10, t.legacy, n_samples,
	       peak_mib(), before);
	exit(0);
}

static int
measure_apart(uint32_t n_sites, uint32_t depth)
{
	int status = 1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		measure(n_sites, depth);
	waitpid(child, &status, 0);
	return status != 0;
}

int
main(int argc, char **argv)
{
	uint32_t depth = argc > 2 ? (uint32_t)atoi(argv[2]) : 20;

	if (argc > 1)
		return measure_apart((uint32_t)atoi(argv[1]), depth);
	return measure_apart(10000, depth) | measure_apart(100000, depth);
}
