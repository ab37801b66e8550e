/* totals.h - the sums of one snapshot, for lists of targets; no names needed. */
#ifndef HEAPD_TOTALS_H
#define HEAPD_TOTALS_H

#include "profile.h"

struct totals {
	double value[PROFILE_VALUES], variance[PROFILE_VALUES];
	uint64_t samples, sites; /* raw sampled allocations; distinct stacks */
};

void totals_of(const struct snapshot *s, struct totals *ret);

/* What was lost, one after the other: a name for programs and a sentence for people. */
extern const struct loss_text {
	const char *name, *sentence;
} loss_texts[HEAPD_LOSSES];

/* Samples that are not where they belong: skipped, or on the overflow site. Cut stacks do not count. */
uint64_t totals_dropped(const struct snapshot *s);

#endif
