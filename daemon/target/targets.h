/* targets.h - which processes are being sampled, and which were.
 *
 * A target is one segment file. It is alive while a process with its pid and start time maps that very file; after that
 * it is dead and its last profile stays readable until the file goes. Discovery looks at the known directories at the
 * start and follows them by inotify; in the roots of containers, chroots and other mount namespaces, too, as far as
 * /proc/PID/root of their processes is open to us, where it takes some ten seconds to notice a new one. A process of
 * another pid namespace is looked for by the pid it has there, and goes by the one it has here from then on. Where that is not
 * ours to know it reads as dead, but its file is kept for as long as anybody maps it. Files of the dead are removed after
 * an hour, or earlier where there are more than 64 of them, if they are ours to remove: of a directory the program that
 * `heapd run` started goes last, before it the 16 newest, and of the others first what ended first, or allocated least
 * of those that ended together.
 * Threads: all functions may be called from any thread; a struct target is reference-counted and its fixed fields
 * never change.
 */
#ifndef HEAPD_TARGETS_H
#define HEAPD_TARGETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "snapshot.h"

struct targets;

#define TARGETS_PROGRAM "program" /* in the directory of a run: a link that holds the pid of the program it started */

struct target {
	_Atomic unsigned refs;
	char *id; /* stable for the life of the segment, made of [a-z0-9-]: PID and part of the random number */
	char *path; /* of the segment file */
	char *exe; /* of the program; "" if unknown */
	char name[64]; /* the service it belongs to: valid UTF-8, not empty */
	uint32_t pid,
		uid; /* as we see them; the pid of one that ended in another pid namespace unseen is the one it had there */
	uint64_t random, start_time;
	uint32_t inner_pid; /* as its segment has it */
	uint64_t inner_start_time;
	int64_t since_ns; /* CLOCK_REALTIME of the first sample */
	dev_t dev; /* with ino: the file itself, whatever is at its path now */
	ino_t ino;
	_Atomic bool alive;
};

/* Where segments are looked for, in this order: `dirs` if not NULL (NULL-terminated), else $HEAPD_DIR if set, else
 * /run/heapd, $XDG_RUNTIME_DIR/heapd and /dev/shm/heapd-UID; as root those of every user. Directories that do not exist
 * yet are watched for through their parents. All are looked for in every root. A subdirectory called run-* of any of them counts as well: `heapd run` gives
 * each of its runs one. Returns 0 or -errno. */
int targets_new(const char *const *dirs, struct targets **ret);
void targets_free(struct targets *t);

/* An fd that polls readable when targets_poll() has work, and targets_poll() itself: take in new segments, notice the
 * dead. It also has to be called at least every few seconds, because a death makes no event. 0 or -errno. */
int targets_fd(const struct targets *t);
int targets_poll(struct targets *t);

/* All targets, the oldest first, as a NULL-terminated array. Release it with targets_list_free. NULL without memory. */
struct target **targets_list(struct targets *t);
void targets_list_free(struct target **list);

/* The target that `what` means: an id, a pid, or a name if only one live target (else one dead) has it.
 * Returns 0 and a reference in *ret, -ENOENT, or -ENOTUNIQ if several fit. */
int targets_find(struct targets *t, const char *what, struct target **ret);
struct target *target_ref(struct target *t);
void target_unref(struct target *t); /* NULL is fine */

/* A fresh snapshot of the target, dead or alive, with the target's pid and start time as we see them. 0, or -errno as reader_open and reader_copy; -ESTALE if the file was
 * replaced. */
int target_snapshot(struct target *t, struct snapshot **ret);

/* Ask for another period. 0, -EINVAL, -ESRCH if the target is dead, -EACCES if it is neither ours nor are we root,
 * -ESTALE as above. */
int target_set_period(struct target *t, uint64_t period);

/* The same for the ceiling on samples a second; 0 lifts it. */
int target_set_max_samples(struct target *t, uint64_t max_samples);

/* Files that were not taken in as targets, and why, since the start: counted for /metrics and `heapd list -v`. */
uint64_t targets_refused(struct targets *t);

/* Files of dead targets that were removed, since the start. */
uint64_t targets_removed(struct targets *t);

#endif
