/* inner_pids.h - the processes of other pid namespaces by the pids they have there, which are all that their segments know.
 *
 * Threads: a struct inner_pids belongs to one thread at a time.
 */
#ifndef HEAPD_INNER_PIDS_H
#define HEAPD_INNER_PIDS_H

#include <stdint.h>
#include <sys/stat.h>

struct inner_pids;

/* NULL without memory. */
struct inner_pids *inner_pids_new(void);
void inner_pids_free(struct inner_pids *p);

/* The process that is inner_pid to itself and maps the file of that identity and name; where its maps are not ours to read,
 * its start time (0: unknown) has to do. 1 and the pid and start time it has here; 0; or -errno, cannot be told now. */
int inner_pids_find(struct inner_pids *p, uint32_t inner_pid, uint64_t start_time, const struct stat *file,
		    const char *name, uint32_t *ret_pid, uint64_t *ret_start_time);

#endif
