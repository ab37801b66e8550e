/* moment.h - which targets a question is about, and what they looked like at one moment.
 *
 * A selection names targets; a moment holds a snapshot of each. Two moments of one selection subtract to what happened
 * in between, and a moment becomes a profile once its addresses have names.
 * Threads: a selection or a moment belongs to one thread.
 */
#ifndef HEAPD_MOMENT_H
#define HEAPD_MOMENT_H

#include "profile.h"
#include "reader.h"
#include "symbols.h"
#include "targets.h"

struct selection {
	struct target **targets; /* a reference each */
	size_t n;
};

/* What targets_find() means by `what`. 0, -ENOENT, -ENOTUNIQ or -ENOMEM. */
int selection_target(struct targets *all, const char *what, struct selection *ret);

/* The live targets of this name; if none is alive, the dead ones. 0, -ENOENT or -ENOMEM. */
int selection_service(struct targets *all, const char *name, struct selection *ret);

/* The only target, or the only one alive. 0, -ENOENT (there is none), -ENOTUNIQ or -ENOMEM. */
int selection_only(struct targets *all, struct selection *ret);

/* All of them; may be empty. 0 or -ENOMEM. */
int selection_all(struct targets *all, struct selection *ret);
void selection_done(struct selection *s);

struct moment {
	struct snapshot **snapshots;
	uint32_t *pids; /* of the living, for their files; 0 for the dead */
	size_t n;
	char why[160]; /* a sentence about the last target that could not be read, "" if all could */
};

/* Snapshots of all that can be read; with one readable target at least, the others are left out. 0, or the error of the
 * last one as target_snapshot() gives it. why[] is filled in either case. */
int moment_take(const struct selection *s, struct moment *ret);

/* The snapshot in a segment file, whatever became of its process. 0, or as reader_open() and reader_copy(). */
int moment_read(int fd, struct moment *ret);

/* later -= earlier, for every target that is in both; one that is new counts from zero. 0 or -ENOMEM. */
int moment_subtract(struct moment *later, const struct moment *earlier);

/* 0 or -ENOMEM. */
int moment_profile(const struct moment *m, struct symbols *symbols, struct profile **ret);
size_t moment_bytes(const struct moment *m); /* that it takes, about */
void moment_done(struct moment *m);

/* A sentence for the user about an error of moment_take() or moment_read(). */
const char *moment_error(int error, const struct moment *m);

#endif
