/* outcome.h - how heapd-inject ends: its exit statuses. */
#ifndef HEAPD_OUTCOME_H
#define HEAPD_OUTCOME_H

enum outcome {
	OUTCOME_DONE = 0, /* check: it could be done */
	OUTCOME_USAGE = 2,
	OUTCOME_REFUSED = 3, /* the process was not touched */
	OUTCOME_TIMED_OUT = 4, /* no safe moment came: nothing was changed */
	OUTCOME_ROLLED_BACK = 5, /* it went wrong on the way: the process is as it was before */
};

#endif
