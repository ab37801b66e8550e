/* reader.h - consistent copies of one target's segment.
 *
 * The target is not trusted: it may die half-way through a write or hand us nonsense. So the file is copied with pread,
 * never mapped, and nothing in the copy is used as an index or a length before it was checked.
 * Threads: a struct reader belongs to one thread at a time; two readers never share state.
 */
#ifndef HEAPD_READER_H
#define HEAPD_READER_H

#include "snapshot.h"

struct reader;

/* Check the header of the segment behind fd. The reader keeps a duplicate, so the caller may close fd at once.
 * Returns 0 and stores a reader in *ret (release it with reader_free), or leaves *ret alone and returns
 *   -EAGAIN   the sampler has not finished starting; worth trying again
 *   -EPROTO   not a heapd segment, truncated, damaged, or a version this daemon does not speak; reader_why() tells
 *   -errno    from fstat, dup or pread
 */
int reader_open(int fd, struct reader **ret);

/* One sentence for the user about the last -EPROTO of this thread ("not a heapd segment: bad magic"). Borrowed. */
const char *reader_why(void);

/* Replace the contents of *snap with every published site. Never waits for the target.
 * Returns 0; -ENOMEM, -EPROTO or -errno from pread leave *snap unchanged. */
int reader_copy(struct reader *r, struct snapshot *snap);

/* Write the control words of the segment behind fd (opened O_RDWR by its owner or root). 0, -EINVAL or -errno. */
int reader_set_period(int fd, uint64_t period);
int reader_set_max_samples(int fd, uint64_t max_samples);

void reader_free(struct reader *r); /* NULL is fine */

#endif
