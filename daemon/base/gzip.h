/* gzip.h - whole buffers in and out of gzip's format. The only place that knows libdeflate. */
#ifndef HEAPD_GZIP_H
#define HEAPD_GZIP_H

#include <stddef.h>
#include <stdint.h>

/* Level 1 (fast) to 12. Equal input gives equal output: no time and no name is stored.
 * 0 and a malloced *ret, or -ENOMEM. */
int gzip_pack(const void *bytes, size_t size, int level, uint8_t **ret, size_t *ret_size);

/* The content of one gzip member. 0 and a malloced *ret; -EPROTO if it is damaged or something else, -EFBIG if it holds
 * more than max bytes, -ENOMEM. */
int gzip_unpack(const void *bytes, size_t size, size_t max, uint8_t **ret, size_t *ret_size);

#endif
