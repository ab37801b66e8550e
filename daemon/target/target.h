/* target.h - one target: made from a file, asked whether it is alive. For targets.c; everybody else needs targets.h. */
#ifndef HEAPD_TARGET_H
#define HEAPD_TARGET_H

#include <sys/types.h>

#include "targets.h"

struct inner_pids;

/* When a target was last asked what. All zero: never. */
struct target_watch {
	int64_t maps_ms;
};

/* Where a target's file is. All borrowed. */
struct target_source {
	int dir; /* of an open directory */
	uid_t owner; /* of the directory */
	const char *dir_path, *name;
	struct inner_pids *inner_pids;
};

/* The target of a file, without an id.
 * Returns 0 and a reference in *ret, or
 *   -EPROTO   it is no segment, not of the process its name says, or from somebody who may not put it there
 *   -EAGAIN   not finished yet
 *   -errno    cannot be told now
 */
int target_new(const struct target_source *from, int64_t now_ms, struct target_watch *w, struct target **ret);

/* Ask whether a living target still is. 1, 0, or -errno: cannot be told now. */
int target_ask_alive(const struct target *t, int64_t now_ms, struct target_watch *w);

#endif
