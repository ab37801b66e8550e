/* ranking.h - the largest allocating sites of a profile, for people: `heapd top` and /api/v1/targets/ID/top.
 *
 * A row is a source line that allocates: all stacks whose innermost function, leaving out operator new and the plumbing
 * of the C++ allocators, is the same one at the same line.
 * Threads: made by one, then read by any; strings are borrowed from the profile.
 */
#ifndef HEAPD_RANKING_H
#define HEAPD_RANKING_H

#include "profile.h"

struct ranking_row {
	const char *function, *file; /* of the site; file "" if unknown */
	uint32_t line; /* 0 unknown */
	const char *caller; /* of the site in its largest stack; "" if it has none */
	double value[PROFILE_VALUES], variance[PROFILE_VALUES];
	uint64_t samples;
	uint32_t stacks; /* how many distinct ones */
	uint32_t largest; /* sample of the profile with the most of the sorting value */
};

struct ranking {
	struct ranking_row *rows; /* the largest first */
	size_t n;
};

/* 0 or -ENOMEM. */
int ranking_new(const struct profile *p, enum profile_value sort, struct ranking *ret);
void ranking_done(struct ranking *r);

/* "inuse_space" and its like. True and *ret, or false. */
bool ranking_value(const char *name, enum profile_value *ret);

/* Calls each(argument, function, file, line) for the frames of a sample from the leaf on, inlined ones included. */
void ranking_stack(const struct profile *p, uint32_t sample,
		   void (*each)(void *argument, const struct profile_function *f, uint32_t line), void *argument);

#endif
