/* extensions.h - entry points that only some allocators have: C++ operators of their own, mallocx, mi_malloc, tc_malloc. */
#ifndef HEAPD_EXTENSIONS_H
#define HEAPD_EXTENSIONS_H

/* Hook those that the allocator underneath defines, wherever the loaded modules refer to them. From the constructor. */
void extensions_start(void);

#endif
