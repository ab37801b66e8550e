/* ranges.h - which of many address ranges holds an address.
 *
 * Ranges may nest and overlap, as functions and compilation units of a broken or folded program do; the answer is the
 * one that starts last, which is the innermost when they nest.
 * Filled once, sorted once, then only asked. Belongs to one thread.
 */
#ifndef HEAPD_RANGES_H
#define HEAPD_RANGES_H

#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t start, end; /* end is one past the last byte */
	uint64_t reach; /* largest end of this and all earlier ranges, once sorted */
	uint32_t value; /* the caller's */
};

struct ranges { /* zeroed is empty */
	struct range *items;
	size_t n, room;
};

/* Empty ranges are dropped silently. 0 or -ENOMEM. */
int ranges_add(struct ranges *r, uint64_t start, uint64_t end, uint32_t value);
void ranges_sort(struct ranges *r);
/* NULL if none holds the address. Borrowed. Of equal ranges the one with the smaller value. */
const struct range *ranges_find(const struct ranges *r, uint64_t address);
void ranges_done(struct ranges *r);

#endif
