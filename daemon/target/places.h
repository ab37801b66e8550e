/* places.h - the directories that may hold segments, watched by inotify.
 *
 * A place is named by a path, or by a pattern with '*' for those of every user, and is meant in every root (roots.h), ours
 * first. It may come and go; its number stays until it has been gone for a while.
 * Threads: a struct places belongs to one thread at a time.
 */
#ifndef HEAPD_PLACES_H
#define HEAPD_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct places;

struct place {
	char *path; /* in another root through /proc: /proc/PID/root/... */
	bool present; /* it was there at the last places_update() */
	bool changed; /* files may have come or gone since places_open(); cleared by it */
	bool refused; /* its owner is neither root nor us, nor are we root */
};

/* `dirs` as in targets_new(). 0 or -errno. */
int places_new(const char *const *dirs, struct places **ret);
void places_free(struct places *p);

/* Readable when places_update() has work. */
int places_fd(const struct places *p);

/* Take in what happened. all: look everywhere again, whether or not something was noticed; new roots are found so, too. 0 or
 * -errno. */
int places_update(struct places *p, bool all);

size_t places_count(const struct places *p);
struct place *places_get(struct places *p, size_t i);

/* Open a place for reading. Returns an fd and its owner, -EACCES if that owner is not to be trusted, -ESTALE if in another
 * root its path means something else by now, or -errno. */
int places_open(struct places *p, size_t i, uid_t *ret_owner);

#endif
