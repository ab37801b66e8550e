/* rundir.h - the directory of one `heapd run`, where the programs it starts put their segments and no others do.
 *
 * It is called run-PID-RANDOM and lies in the usual directory, where serve and list look as well. It stays after the run,
 * so that the last profiles stay readable; later runs clear away all but the newest few. A lock on the directory, held
 * while the run lasts, tells the living from the dead.
 */
#ifndef HEAPD_RUNDIR_H
#define HEAPD_RUNDIR_H

#include "text.h"

#include <stdbool.h>
#include <sys/types.h>

#define RUNDIR_KEPT 8 /* ended runs whose segments stay */

struct rundir {
	char *path;
	int fd; /* holds the lock; closed on exec */
};

/* In $HEAPD_DIR if that is set, else in the first of /run/heapd, $XDG_RUNTIME_DIR/heapd (not for root) and
 * /dev/shm/heapd-UID that is a tmpfs and may be written. 0, or -errno with a sentence in *why. */
int rundir_new(struct rundir *ret, struct text *why);

/* Note which process the run started: of all in the directory its profile is kept longest. Without room there is no note. */
void rundir_program(const struct rundir *r, pid_t pid);

/* Too little room is left there for a segment to begin. */
bool rundir_full(const struct rundir *r);

/* The run has ended: removed if there is nothing in it. */
void rundir_done(struct rundir *r);

#endif
