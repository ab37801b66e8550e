/* ended.h - the snapshots of a run's ended processes, taken before their segments are cleared away.
 *
 * A build starts thousands of processes, of which the target room keeps the last few dozen. What --output sums has to have
 * all of them, so each is copied soon after its end, within a budget of memory.
 * Threads: belongs to one.
 */
#ifndef HEAPD_ENDED_H
#define HEAPD_ENDED_H

#include "moment.h"

#define ENDED_BYTES_MAX (256u << 20)

struct ended { /* all zero is empty */
	struct moment moment;
	size_t room; /* places in its arrays */
	size_t bytes; /* about what its snapshots take */
	uint64_t no_room; /* of those that ended_complete() saw: left out, because the budget is used up */
};

/* Copy every target that has ended since the last call. What cannot be read is left out. */
void ended_gather(struct ended *e, struct targets *all);

/* Bring those that are still there, living and ended, up to date. Returns how many others were gathered: their segments
 * are gone, and only the snapshot here is left. */
size_t ended_complete(struct ended *e, struct targets *all);

void ended_done(struct ended *e);

#endif
