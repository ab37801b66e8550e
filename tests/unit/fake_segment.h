/* fake_segment.h - segment files for tests, as a sampler would leave them, or as a liar would.
 *
 * Build one in memory, write it to a file, and bend the file afterwards with pwrite at the offsets given here.
 * Every function ends the program if it cannot do its work: a test has no use for half a segment.
 */
#ifndef HEAPD_FAKE_SEGMENT_H
#define HEAPD_FAKE_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "segment.h"

struct fake_segment {
	struct heapd_header
		header; /* may be changed before fake_write(), which computes file_size, sections, checksum */
	uint32_t capacity[HEAPD_SECTIONS]; /* likewise; as large as the sampler's to begin with */
	struct heapd_module *modules;
	char *strings;
	struct heapd_frame *frames;
	uint32_t *stacks;
	struct heapd_site *sites;
	uint32_t used[HEAPD_SECTIONS];
};

/* A segment of the process pid, ready, with an empty overflow site, period HEAPD_PERIOD_DEFAULT. */
struct fake_segment *fake_new(uint32_t pid, uint64_t start_time, uint64_t random, const char *name);
void fake_free(struct fake_segment *f);

/* The first one is the main program. Return the index of the new record. */
uint32_t fake_module(struct fake_segment *f, const char *path, uint64_t start, uint64_t end, uint64_t bias,
		     const char *build_id_hex);
uint32_t fake_frame(struct fake_segment *f, uint64_t address, uint32_t module, uint32_t flags);
uint32_t fake_site(struct fake_segment *f, const uint32_t *frames, uint32_t depth, uint32_t flags);

/* Count n sampled allocations of that size at a site, and that many of them as freed. */
void fake_count(struct fake_segment *f, uint32_t site, uint64_t size, uint64_t n, uint64_t n_freed);

/* Write the file, sparse, over whatever was there. */
void fake_write(struct fake_segment *f, int fd);

/* The name it has to have in a directory of segments. */
void fake_file_name(const struct fake_segment *f, char *ret, size_t size);

/* Where a record lies in a written file. */
uint64_t fake_offset(const struct fake_segment *f, enum heapd_section_id section, uint32_t index);

/* The checksum a header should have, for those who changed a written one. */
uint64_t fake_checksum(const struct heapd_header *h);

/* Field 22 of /proc/PID/stat. */
uint64_t fake_start_time(uint32_t pid);

#endif
