/* modules.h - which loaded ELF file holds an address, its record in the segment and its unwind tables.
 *
 * Asks the dynamic loader by _dl_find_object, which is lock-free and async-signal-safe. Where the C library has none
 * (glibc before 2.35), the main program is the only module that is found.
 * Threads: lock-free, async-signal-safe, except modules_start().
 */
#ifndef HEAPD_MODULES_H
#define HEAPD_MODULES_H

#include "cfi.h"
#include "segment_writer.h"

struct module {
	uintptr_t start, end; /* mapped */
	uint32_t index; /* in MODULES, or HEAPD_NONE: the table is full */
	struct cfi_tables tables; /* header 0: it has none */
};

/* Record the main program as module 0 of a fresh segment. Call it once per segment, before other threads see it. */
void modules_start(struct segment *segment);

/* The module that holds address now. *known: NULL at first, then private memory of this file (wiped on fork), which
 * remembers records by place and generation (16 bits); a module that came back to its place unchanged keeps its record.
 * Returns 0, -ENOENT: code of no module, or -ENOSYS: cannot know, no _dl_find_object. */
int modules_find(void *_Atomic *known, struct segment *segment, uint32_t generation, uintptr_t address,
		 struct module *ret);

/* Before generations come round: what is remembered of this one long ago must not become true again. */
void modules_forget(void *_Atomic *known);

#endif
