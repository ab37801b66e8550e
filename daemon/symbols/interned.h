/* interned.h - strings kept once each, until all of them go.
 *
 * Belongs to one thread at a time.
 */
#ifndef HEAPD_INTERNED_H
#define HEAPD_INTERNED_H

#include <stddef.h>
#include <stdint.h>

struct interned;

/* limit: bytes it may keep in all, strings and allocations. NULL without memory. */
struct interned *interned_new(size_t limit);
void interned_free(struct interned *t);

/* The kept copy of length bytes, terminated; the same pointer for equal bytes. NULL without memory or over the limit. */
const char *interned_add(struct interned *t, const char *bytes, size_t length);
/* Zeroed storage of the same life, aligned for any type of up to 8 bytes alignment. NULL as above. */
void *interned_allocate(struct interned *t, size_t size);
size_t interned_bytes(const struct interned *t);

#endif
