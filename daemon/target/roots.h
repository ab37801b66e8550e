/* roots.h - the other file systems of this machine: what containers, chroots and services with a /dev/shm of their own see.
 *
 * A root is reached through one of the processes that have it. Only those whose /proc/PID/root is open to us count: for root
 * all, for others at most their own. Nothing in them is trusted: paths are looked up below the root, and no link is followed.
 * Threads: any.
 */
#ifndef HEAPD_ROOTS_H
#define HEAPD_ROOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct root {
	uint32_t pid; /* of the process through which it is reached, the lowest */
	uint64_t mounts; /* what tells it from others: inode number of the mount namespace */
	dev_t dev; /* with ino: its directory */
	ino_t ino;
};

/* Every root but our own, once. 0 and a malloced array in *ret and its length, or -errno. */
int roots_find(struct root **ret, size_t *ret_n);

/* Whether the process still leads there. */
bool root_is_there(const struct root *root);

/* Called with the path of a directory in its root and an O_PATH descriptor of it; both borrowed. Other values than 0 end the
 * search. */
typedef int roots_visit(void *argument, const char *path, int fd);

/* Visit every directory that the absolute path means in that root, where '*' stands for any part of a name. Nothing but a
 * tmpfs is looked into, and links are not followed. 0 or what visit returned; -ESRCH if the process is gone. */
int roots_visit_directories(const struct root *root, const char *path, roots_visit *visit, void *argument);

#endif
