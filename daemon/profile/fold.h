/* fold.h - which samples of a profile matter, for formats that cannot take them all. */
#ifndef HEAPD_FOLD_H
#define HEAPD_FOLD_H

#include <stdint.h>

#include "profile.h"

/* Sample numbers by their largest share of any of the four totals, if some have to go; else as they are. Malloced; NULL
 * without memory. */
uint32_t *fold_order(const struct profile *p, bool some_go);

#endif
