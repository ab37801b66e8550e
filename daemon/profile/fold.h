/* fold.h - which samples of a profile matter, for formats that cannot take them all. */
#ifndef HEAPD_FOLD_H
#define HEAPD_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include "profile.h"

/* Sample numbers by their largest share of any of the four totals, if some have to go; else as they are. Malloced; NULL
 * without memory. */
uint32_t *fold_order(const struct profile *p, bool some_go);

/* The text forms have no limit of their own, but a stack takes a line for each of its frames: of a hundred thousand deep
 * ones that is a gigabyte. */
#define FOLD_FRAMES_MAX (1u << 18)
#define FOLD_ADDRESS 3 /* of [other]; those below are [overflow] and [unknown] */

struct fold {
	uint32_t *order; /* sample numbers; malloced */
	size_t n; /* of order: to be written one by one */
	struct profile_sample rest; /* the sum of all others, without stack; all zero if there are none */
	size_t n_rest;
};

/* All samples as they are, or those that matter most, with FOLD_FRAMES_MAX frames together. 0 or -ENOMEM. */
int fold_for_text(const struct profile *p, struct fold *ret);
void fold_done(struct fold *f);

#endif
