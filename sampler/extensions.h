/* extensions.h - entry points that only some allocators have: C++ operators of their own, mallocx, mi_malloc, tc_malloc. */
#ifndef HEAPD_EXTENSIONS_H
#define HEAPD_EXTENSIONS_H

#include <stdbool.h>

/* Name those that the allocator underneath defines for patching. false: it has none, the C library's has not. */
bool extensions_find(void);

#endif
