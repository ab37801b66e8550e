/* pprof_check.h - whether an encoded heap profile would be taken by everybody who reads such.
 *
 * The rules are those of google/pprof (CheckValid), Parca, Pyroscope and Alloy, and our own promises: Go's four sample
 * types, a line for every location, a label `bytes` or none.
 */
#ifndef HEAPD_PPROF_CHECK_H
#define HEAPD_PPROF_CHECK_H

#include <stddef.h>

#include "profile.pb-c.h"

/* NULL if all is well, else a sentence; borrowed until the next call of the thread. */
const char *pprof_check(const void *file, size_t size);

/* The message in a gzipped profile, or NULL. Release it with perftools__profiles__profile__free_unpacked(m, NULL). */
Perftools__Profiles__Profile *pprof_decode(const void *file, size_t size);

#endif
