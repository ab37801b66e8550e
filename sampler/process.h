/* process.h - all that the sampler keeps of this process, in memory that a fork child finds empty.
 *
 * The first sample of a process image makes it: segment, tables, everything. A fork child that samples makes its own;
 * until then its frees find empty filters. What is left to an atfork handler is to draw
 * the next sample anew (sample.h).
 */
#ifndef HEAPD_PROCESS_H
#define HEAPD_PROCESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "live.h"
#include "modules.h"
#include "scratch.h"
#include "segment_writer.h"
#include "sites.h"
#include "unwind.h"

struct process {
	_Atomic uint32_t state; /* PROCESS_*; EMPTY is what a fork child finds */
	uint32_t image; /* counts the process images of this line of forks, from 1 */
	struct segment segment;
	struct unwinder unwinder;
	struct sites sites;
	struct live live;
	struct scratch scratch;
};

/* Private to process.c and the look below. The pointer survives a fork, its target is zero then. */
extern struct process *_Atomic process_memory __attribute__((visibility("hidden")));
enum { PROCESS_EMPTY, PROCESS_STARTING, PROCESS_READY, PROCESS_INERT };

/* The process if it has taken samples already, else NULL. Makes nothing. */
static inline struct process *
process_peek(void)
{
	struct process *p = atomic_load_explicit(&process_memory, memory_order_acquire);

	return p && atomic_load_explicit(&p->state, memory_order_acquire) == PROCESS_READY ? p : NULL;
}

/* The process, ready to take samples; made if need be. NULL: not possible (yet): the sample is not taken. */
struct process *process_get(void);

/* Never sample in this process image or its children (a sanitizer watches them already). */
void process_refuse(void);

#endif
