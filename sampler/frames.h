/* frames.h - records of the segment's FRAMES, each distinct (address, module, flags) once.
 *
 * The index over them is private memory (wiped on fork) in levels, each four times the one before: a key that finds no
 * room in one level goes to the next, so that a small program touches a page or two and nothing is ever moved.
 * Threads: lock-free, async-signal-safe. Two threads that race for the same new frame agree on one record; the other's
 * record stays unused.
 */
#ifndef HEAPD_FRAMES_H
#define HEAPD_FRAMES_H

#include <stdint.h>

#include "segment_writer.h"

/* *index: NULL at first, then the memory this file made of it. Returns the frame's index, or HEAPD_NONE: no room. */
uint32_t frames_intern(void *_Atomic *index, struct segment *segment, uintptr_t address, uint32_t module,
		       uint32_t flags);

#endif
