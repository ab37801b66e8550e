/* fake_snapshot.c - see fake_snapshot.h. */
#include "fake_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reader.h"

struct snapshot *
fake_snapshot(struct fake_segment *f)
{
	struct snapshot *s = snapshot_new();
	struct reader *reader = NULL;
	int fd = memfd_create("segment", MFD_CLOEXEC), r;

	fake_write(f, fd);
	r = reader_open(fd, &reader);
	if (r == 0)
		r = reader_copy(reader, s);
	if (r < 0) {
		fprintf(stderr, "fake_snapshot: cannot read what was written: %s, %s\n", strerror(-r), reader_why());
		exit(2);
	}
	reader_free(reader);
	close(fd);
	return s;
}

struct profile *
fake_profile(struct fake_segment *const *f, size_t n)
{
	struct profile_source *sources = calloc(n + 1, sizeof(*sources));
	struct snapshot **snapshots = calloc(n + 1, sizeof(*snapshots));
	struct profile *p = NULL;

	for (size_t i = 0; i < n; i++)
		sources[i].snapshot = snapshots[i] = fake_snapshot(f[i]);
	if (profile_new(sources, n, &p) < 0) {
		fprintf(stderr, "fake_snapshot: no memory\n");
		exit(2);
	}
	for (size_t i = 0; i < n; i++)
		snapshot_free(snapshots[i]);
	free(snapshots);
	free(sources);
	return p;
}

struct fake_segment *
fake_large(uint32_t n_sites, uint32_t depth)
{
	struct fake_segment *f = fake_new(1, 1, 1, "large");
	uint32_t module =
		fake_module(f, "/usr/bin/large", 0x400000, 0x40000000, 0, "00112233445566778899aabbccddeeff00112233");
	uint32_t *stack = calloc(depth, sizeof(*stack)), n_roots = n_sites / 8 + 64;
	uint64_t seed = 1;

	for (uint32_t i = 0; i < n_roots; i++)
		fake_frame(f, 0x401000 + 16 * i, module, 0);
	for (uint32_t i = 0; i < n_sites; i++) {
		stack[0] = fake_frame(f, 0x10000000 + 16 * i, module, 0);
		for (uint32_t k = 1; k < depth; k++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			stack[k] = (uint32_t)(seed >> 33) % (k < depth * 3 / 4 ? n_roots : 32);
		}
		fake_count(f, fake_site(f, stack, depth, 0), 16 + i % 1000 * 24, 1 + i % 7, i % 2);
	}
	free(stack);
	return f;
}
