/* worker_sandbox.h - what the symbol worker takes from itself before it looks at a foreign file.
 */
#ifndef HEAPD_WORKER_SANDBOX_H
#define HEAPD_WORKER_SANDBOX_H

/* Limits on memory, processor time, core files and descriptors, and no new privileges; the first to go when memory runs
 * out. 0 or -errno. */
int sandbox_limits(void);

/* From now on only the system calls that reading already open files needs; all others fail with EPERM. 0, or -errno where
 * the kernel or an outer sandbox has no seccomp filters: the worker then works without. */
int sandbox_close(void);

#endif
