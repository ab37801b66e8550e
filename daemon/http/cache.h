/* cache.h - replies that several clients ask for at once are built once.
 *
 * A reply stays good for ten times what it took to build, at most a second: cheap ones are always fresh, dear ones cost
 * at most a tenth of a core however often they are fetched. Whoever asks while it is being built waits for that one.
 * Threads: any.
 */
#ifndef HEAPD_CACHE_H
#define HEAPD_CACHE_H

#include "reply.h"

#define CACHE_ENTRIES 64 /* keys; beyond them the oldest goes */
#define CACHE_BUILDERS 4 /* replies built at the same time; each holds a snapshot and a profile in memory */
#define CACHE_LONGEST_MS 1000
#define CACHE_FACTOR 10

struct cache;

int cache_new(struct cache **ret);
void cache_free(struct cache *c);

/* The reply for `key`, built by build(argument, to) if there is no good one. Errors are replies as well. */
void cache_answer(struct cache *c, const char *key, void (*build)(void *argument, struct reply *to), void *argument,
		  struct reply *to);

/* Let go of the bytes of replies that are no longer good. To be called now and then. true: there were some. */
bool cache_sweep(struct cache *c);

#endif
