/* debugdata.h - .gnu_debugdata: an ELF file compressed by xz, with the symbols that stripping took from the one around it.
 */
#ifndef HEAPD_DEBUGDATA_H
#define HEAPD_DEBUGDATA_H

#include <stddef.h>

/* Unpack it to *ret, which is malloced. 0; -EINVAL for what is no xz file or unpacks to more than any symbol table would;
 * -ENOMEM. */
int debugdata_unpack(const void *packed, size_t size, void **ret, size_t *ret_size);

#endif
