/* life.h - whether the process that a segment speaks of still lives.
 *
 * Only the kernel is believed: /proc for a process that says who it is, a lease on the file for one that cannot be found
 * there (it may live in another pid namespace).
 * Threads: any.
 */
#ifndef HEAPD_LIFE_H
#define HEAPD_LIFE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* When the process began, as in /proc/PID/stat. 1 and *ret; 0 if there is none, or only a zombie; or -errno. */
int life_start_time(uint32_t pid, uint64_t *ret);

/* Whether process `pid` is the one that started at start_time (0: unknown). Cheap. 1, 0, or -errno if that cannot be told. */
int life_started(uint32_t pid, uint64_t start_time);

/* Whether it maps the file with that identity and last path element: an exec keeps pid and start time, but no mapping.
 * 1, 0, or -errno: -EACCES and -EPERM where its maps are not ours to read. */
int life_maps(uint32_t pid, const struct stat *file, const char *name);

/* Whether no process whatsoever maps the file for writing or has it open so. False if that cannot be told; needs the
 * file's owner or root. */
bool life_none(int fd);

#endif
