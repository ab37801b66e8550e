/* fake_snapshot.h - snapshots for tests, by way of a file and the reader, and names for their frames. */
#ifndef HEAPD_FAKE_SNAPSHOT_H
#define HEAPD_FAKE_SNAPSHOT_H

#include "fake_segment.h"
#include "profile.h"

/* What the reader makes of the segment. */
struct snapshot *fake_snapshot(struct fake_segment *f);

/* A profile of n segments whose frames have only synthetic names. */
struct profile *fake_profile(struct fake_segment *const *f, size_t n);

/* A segment with that many sites of that depth, sizes and counts all unlike. Stacks share their roots, as real ones do. */
struct fake_segment *fake_large(uint32_t n_sites, uint32_t depth);

#endif
