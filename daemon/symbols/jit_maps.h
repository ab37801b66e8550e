/* jit_maps.h - the perf maps of the processes that were looked at last.
 *
 * Bounded: 16 processes, 256 MiB; the least recently used one goes first.
 * Threads: belongs to one thread at a time.
 */
#ifndef HEAPD_JIT_MAPS_H
#define HEAPD_JIT_MAPS_H

#include "perfmap.h"
#include "snapshot.h"

struct jit_maps;
struct target_files;

struct jit_maps *jit_maps_new(void); /* NULL without memory */
void jit_maps_free(struct jit_maps *m);

/* The perf map of the process that the snapshot is of, brought up to date. If it has ended (target NULL): with the file it
 * left, else what was read while it lived. Borrowed until the next call; NULL if there is none. */
const struct perfmap *jit_maps_get(struct jit_maps *m, const struct snapshot *snap, struct target_files *target);

#endif
