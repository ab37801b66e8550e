/* profile.h - a heap profile with names and unbiased estimates, ready to be written in any format.
 *
 * Built from one or more snapshots (a service is the sum of its processes). Equal stacks are merged, where equal means
 * the same functions and lines at the same place in the same build of the same file; everything else stays apart.
 * Threads: a profile is built by one thread and then only read.
 */
#ifndef HEAPD_PROFILE_H
#define HEAPD_PROFILE_H

#include "snapshot.h"
#include "symbols.h"

enum profile_value { /* Go's sample types in Go's order */
		     PROFILE_ALLOC_OBJECTS,
		     PROFILE_ALLOC_SPACE,
		     PROFILE_INUSE_OBJECTS,
		     PROFILE_INUSE_SPACE,
		     PROFILE_VALUES
};

extern const struct profile_value_type {
	const char *name, *unit;
} profile_value_types[PROFILE_VALUES];

struct profile_mapping { /* [0] is the main program */
	uint64_t start, limit;
	const char *path; /* valid UTF-8 */
	char build_id[2 * HEAPD_BUILD_ID_MAX + 1]; /* hexadecimal, "" if none */
	bool has_functions, has_filenames, has_lines, has_inlines;
};

struct profile_function {
	const char *name, *system_name, *file;
	uint32_t start_line;
};

struct profile_line {
	uint32_t function; /* index in functions */
	uint32_t line;
};

struct profile_location {
	uint64_t address; /* distinct and not 0; return address - 1 for callers, in the first target's address space */
	uint32_t mapping; /* index, or HEAPD_NONE */
	uint32_t first_line; /* in lines */
	uint32_t n_lines; /* at least 1; innermost inlined function first */
};

struct profile_sample {
	uint32_t first_location; /* in stack */
	uint32_t depth; /* at least 1; leaf first */
	uint64_t samples; /* raw allocations behind it */
	uint64_t live_samples; /* raw blocks still in use */
	uint32_t flags; /* HEAPD_STACK_* */
	double value[PROFILE_VALUES]; /* unbiased; negative only in a difference */
	double variance[PROFILE_VALUES]; /* of a difference's inuse values: an upper bound, see profile.c */
};

struct profile {
	struct profile_mapping *mappings;
	size_t n_mappings;
	struct profile_function *functions;
	size_t n_functions;
	struct profile_line *lines;
	size_t n_lines;
	struct profile_location *locations;
	size_t n_locations;
	uint32_t *stack;
	size_t n_stack;
	struct profile_sample *samples; /* by value[PROFILE_INUSE_SPACE], the largest first */
	size_t n_samples;
	double total[PROFILE_VALUES], total_variance[PROFILE_VALUES];

	int64_t time_ns;
	int64_t duration_ns; /* 0 unless it is a difference */
	uint64_t period;
	uint64_t lost[HEAPD_LOSSES], lost_bytes;
	uint64_t inconsistent; /* values of the snapshots that made no sense */
	struct strings *strings; /* owns every string above */
};

/* What is to be summed: snapshots with the names of their frames, as symbols_resolve() gives them. */
struct profile_source {
	const struct snapshot *snapshot;
	const struct symbol *symbols; /* one a frame of snapshot; NULL: "libfoo.so+0x1234" for all of them */
};

/* Copies all it needs; the sources may go at once. 0 or -ENOMEM. n may be 0: an empty profile. */
int profile_new(const struct profile_source *sources, size_t n, struct profile **ret);
void profile_free(struct profile *p);

/* Standard error of a value, for showing "312 MB +/- 18 MB": sqrt of the variance. */
double profile_error(double variance);

/* The nearest whole number that there is. */
int64_t profile_whole(double value);

struct shown; /* shown.h */

/* Encoders. Each appends to nothing: *ret is malloced, *ret_size its bytes. 0 or -ENOMEM. `shown`: what was served of this target
 * before, brought up to date; NULL where nobody compares. */
int profile_encode_pprof(const struct profile *p, struct shown *shown, enum profile_value preferred, bool set_preferred,
			 uint8_t **ret, size_t *ret_size); /* gzip */
int profile_encode_text(const struct profile *p, char **ret, size_t *ret_size); /* Go's debug=1 form */

/* gperftools' forms for /pprof/heap and /pprof/growth, unscaled ("@ heapprofile", "@ growth"), or raw counts with
 * "@ heap_v2/PERIOD" when raw; maps is the tail of MAPPED_LIBRARIES made of the mappings. */
int profile_encode_legacy(const struct profile *p, bool growth, bool raw, char **ret, size_t *ret_size);

#endif
