/* target.h - one target: made from a file, asked whether it is alive. For targets.c; everybody else needs targets.h. */
#ifndef HEAPD_TARGET_H
#define HEAPD_TARGET_H

#include <sys/types.h>

#include "targets.h"

/* When a target was last asked what. All zero: never. */
struct target_watch {
	int64_t maps_ms;
};

/* The target of the file `name` in the directory behind `dir`, whose path and owner are given; without an id.
 * Returns 0 and a reference in *ret, or
 *   -EPROTO   it is no segment, not of the process its name says, or from somebody who may not put it there
 *   -EAGAIN   not finished yet
 *   -errno    cannot be told now
 */
int target_new(int dir, const char *dir_path, uid_t owner, const char *name, int64_t now_ms, struct target_watch *w,
	       struct target **ret);

/* Ask whether a living target still is. 1, 0, or -errno: cannot be told now. */
int target_ask_alive(const struct target *t, int64_t now_ms, struct target_watch *w);

#endif
