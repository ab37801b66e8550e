/* attach.h - bring the library into a process that runs, at a moment when that harms nobody.
 *
 * The moment is the entry of malloc: there a thread holds no lock of the allocator and keeps nothing in registers. A hardware
 * breakpoint waits for it in one thread at a time; nobody else is stopped and no instruction of the process is changed. From
 * there on the thread does everything by itself (stub.h).
 *
 * The breakpoint is the kernel's where that is allowed, and vanishes with us. Else it is the thread's own, and dying while it
 * is in force would kill the process: then it is set in short slices that add up to less than ARMED_MS.
 */
#ifndef HEAPD_ATTACH_H
#define HEAPD_ATTACH_H

#include "outcome.h"
#include "preflight.h"

#define ARMED_MS 90u

struct attach_options {
	const char *library; /* absolute path, as the process sees it */
	const char *settings; /* for the library: NAME=VALUE strings, each ended by NUL, one more at the end */
	size_t settings_size;
	unsigned timeout_ms; /* to wait for the moment */
};

/* OUTCOME_DONE, or why not in *why. */
enum outcome attach(pid_t pid, const struct preflight *target, const struct attach_options *options, struct text *why);

#endif
