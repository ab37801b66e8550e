/* pages.h - memory for the sampler's private tables, straight from the kernel.
 *
 * Tables are wiped on fork: a child finds zeros, which every table reads as "empty", and so starts afresh without any
 * code that runs at fork. That may happen at any moment, even to code that is just working on a table: a signal handler
 * forked, and the child returned from it. vfork and CLONE_VM children share the parent's memory and go on with it.
 */
#ifndef HEAPD_PAGES_H
#define HEAPD_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory of at least `size` bytes, aligned to a page, touched lazily, released only by pages_release. NULL if the kernel has (had, just now) none
 * to give or cannot wipe it on fork. Keeps errno. Async-signal-safe. */
void *pages_private(size_t size);

/* The same, but only the first `wiped` bytes are: a multiple of PAGES_LARGEST. */
void *pages_kept(size_t size, size_t wiped);

#define PAGES_LARGEST 65536 /* bytes of a page on any machine */

/* Bytes of a page on this machine, at most so many. */
size_t pages_size(void);

/* For whoever asks the kernel for room that may not be there. Each answer no makes pages_scarce() true for a longer while, up to
 * a thousand questions: a host that is out of memory does not wait for system calls in every sample. */
bool pages_scarce(void);
void pages_answer(bool yes);

/* Give back what nobody else has seen. */
void pages_release(void *p, size_t size);

/* Whoever makes system calls for memory, or others that a sandbox may punish, brackets them: false means that none may be made
 * any more. */
bool pages_begin(void);
void pages_end(void);

/* From here on none may be made: the host is about to lock itself in. Waits a moment for threads that are between begin and
 * end. pages_thaw() takes it back, if the host's attempt failed. */
void pages_freeze(void);
void pages_thaw(void);
bool pages_frozen(void);

#endif
