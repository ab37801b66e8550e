/* process.h - all that the sampler keeps of this process.
 *
 * The first sample of a process image makes it: segment, tables, everything. A fork child finds its state and its tables wiped
 * and makes one of its own when it samples; until then its frees find empty filters. What is left to an atfork handler is
 * to draw the next sample anew (sample.h).
 *
 * The rest is not wiped, and the child leaves it alone: it may have been forked by a signal handler that interrupted a sample, and
 * returns from the handler into it. All that sample points to is still there, tables that are empty now included, but the
 * segment is the parent's. So it looks at the state before each thing it is about to do to that, and gives up. A fork between
 * such a look and the deed that follows costs the parent one number that is wrong.
 */
#ifndef HEAPD_PROCESS_H
#define HEAPD_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "live.h"
#include "modules.h"
#include "pace.h"
#include "pages.h"
#include "scratch.h"
#include "segment_writer.h"
#include "sites.h"
#include "unwind.h"

struct process {
	union {
		_Atomic uint32_t state; /* PROCESS_* */
		char wiped[PAGES_LARGEST]; /* on fork */
	};
	uint32_t image; /* counts the process images of this line of forks, from 1 */
	struct segment segment;
	struct unwinder unwinder;
	struct sites sites;
	struct live live;
	struct scratch scratch;
	struct pace pace;
	_Atomic uint64_t early, early_bytes; /* see process_missed() */
};

/* Private to process.c and the looks below. */
extern struct process *_Atomic process_memory __attribute__((visibility("hidden")));
enum { PROCESS_WIPED, PROCESS_FRESH, PROCESS_STARTING, PROCESS_READY, PROCESS_INERT };

/* The process if it has taken samples already, else NULL. Makes nothing. */
static inline struct process *
process_peek(void)
{
	struct process *p = atomic_load_explicit(&process_memory, memory_order_acquire);

	return p && atomic_load_explicit(&p->state, memory_order_acquire) == PROCESS_READY ? p : NULL;
}

/* Is what process_peek or process_get gave still this process, or did we become another one in between, a fork child? */
static inline bool
process_is_ours(const struct process *p)
{
	return atomic_load_explicit(&p->state, memory_order_relaxed) != PROCESS_WIPED;
}

/* The process, ready to take samples; made if need be. NULL: not possible (yet): the sample is not taken. */
struct process *process_get(void);

/* A sample of about so many bytes was not taken because the process is only being made: to be counted as lost in its segment. */
void process_missed(uint64_t bytes);

/* Where it was not possible: look again. Before anybody is led here. */
void process_retry(void);

/* Never sample in this process image or its children (a sanitizer watches them already). */
void process_refuse(void);

#endif
