/* perfmap.h - names of code that a runtime compiled by itself, from the file it leaves for perf.
 *
 * Lines are "START SIZE NAME" with hexadecimal numbers; what is not such a line is skipped. Later lines win over earlier
 * ones for the same code. Read once, and again when the file has changed.
 * Threads: a struct perfmap belongs to one thread at a time.
 */
#ifndef HEAPD_PERFMAP_H
#define HEAPD_PERFMAP_H

#include <stddef.h>
#include <stdint.h>

#define PERFMAP_FILE_MAX (64u << 20)

struct perfmap;
struct snapshot;
struct target_files;

struct perfmap *perfmap_new(void);
void perfmap_free(struct perfmap *p);

/* Bring it up to date with /tmp/perf-PID.map as the target sees it. The file must be a regular one and belong to the
 * target's user or to root. On failure what was read before stays. 0, -ENOENT, -EPERM for a foreign file, -EFBIG, -ENOMEM
 * or another -errno. */
int perfmap_update(struct perfmap *p, struct target_files *target);

/* The same for a process that has ended: from the file of its pid in this machine's /tmp, the only one left to see. It must
 * belong to the process's user or to root, and not be older than the process: -ESTALE if it is, or if another process has
 * the pid by now. */
int perfmap_update_ended(struct perfmap *p, const struct snapshot *ended);

/* The name at an address, not terminated, valid until the next update; NULL if there is none. */
const char *perfmap_find(const struct perfmap *p, uint64_t address, size_t *ret_length);
size_t perfmap_bytes(const struct perfmap *p);

#endif
