/* snapshot.h - a private, checked copy of one target's segment at one moment.
 *
 * Plain memory: no index or length in it is out of range, every string is terminated, and nothing points back to the
 * file. Sites keep their index in the segment for as long as the target lives, so two snapshots of one segment are
 * subtracted index by index.
 * Threads: a snapshot is written by whoever fills it and may then be read by many.
 */
#ifndef HEAPD_SNAPSHOT_H
#define HEAPD_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "segment.h"

struct snapshot_module {
	uint64_t start, end; /* runtime addresses, start < end */
	uint64_t bias; /* runtime address - ELF address */
	char *path; /* never NULL; may name a file that is gone, or none ("[vdso]"); the bytes it is
					 * opened by: not always UTF-8 */
	uint8_t build_id[HEAPD_BUILD_ID_MAX];
	uint32_t build_id_length; /* 0 to HEAPD_BUILD_ID_MAX */
	uint32_t generation;
	bool main;
	bool present; /* false: a slot that was claimed but not shown; its other fields are zero */
};

struct snapshot_frame {
	uint64_t address; /* 0: slot not shown */
	uint32_t module; /* index of a present module, or HEAPD_NONE */
	uint32_t flags; /* HEAPD_FRAME_* */
};

struct snapshot_totals { /* units as in struct heapd_totals */
	uint64_t samples, objects, bytes, objects_var, bytes_var;
};

struct snapshot_site {
	uint32_t depth; /* 0 to HEAPD_MAX_DEPTH; 0 with flags 0: slot not shown; 0 with others: nothing of
					 * the stack is known, but its totals are */
	uint32_t stack; /* first index in stacks[]; stack + depth <= n_stacks, all of them valid frames */
	uint32_t flags; /* HEAPD_STACK_* */
	struct snapshot_totals alloc, freed; /* freed <= alloc, field by field, unless it is a difference */
};

struct snapshot {
	/* Identity, as the segment states it. */
	uint32_t pid, uid;
	uint64_t start_time, random;
	char name[64]; /* valid UTF-8 */
	char *cmdline; /* arguments each ended by NUL, valid UTF-8; cmdline_length bytes and one more NUL */
	size_t cmdline_length;
	struct heapd_clock clock_start;
	uint64_t ticks_per_second; /* of clock_start and all births; 0: not known */

	int64_t time_ns; /* CLOCK_REALTIME when the copy was finished */
	int64_t duration_ns; /* of a difference, at least 1; 0: totals since the start */
	uint64_t period; /* bytes, in force then */
	uint64_t max_samples; /* a second, for which the period may be longer than was wanted; 0: no such ceiling */
	uint64_t samples;
	uint64_t lost[HEAPD_LOSSES];
	uint64_t lost_bytes;
	uint64_t inconsistent; /* values that had to be clamped or dropped; not 0: the target lies or was damaged */

	struct snapshot_module *modules;
	size_t n_modules;
	struct snapshot_frame *frames;
	size_t n_frames;
	uint32_t *stacks;
	size_t n_stacks;
	struct snapshot_site *sites;
	size_t n_sites;
};

struct snapshot *snapshot_new(void); /* empty; NULL without memory */
void snapshot_free(struct snapshot *s); /* NULL is fine */
size_t snapshot_bytes(const struct snapshot *s); /* of memory, about */

/* later - earlier over alloc and freed of every site, in place in `later`, and over the counters of samples and losses.
 * Both must be of one segment (same pid, start_time and random), neither a difference itself: -EINVAL otherwise. A site
 * that went backwards, or is another one now, counts as 0 and adds to inconsistent. */
int snapshot_subtract(struct snapshot *later, const struct snapshot *earlier);

#endif
