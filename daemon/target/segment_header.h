/* segment_header.h - is it a segment? The reader's first half: everything that is checked once, before any record. */
#ifndef HEAPD_SEGMENT_HEADER_H
#define HEAPD_SEGMENT_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "segment.h"

/* Read the header behind fd and check it against the size of the file. On success the name and the command line end
 * inside their fields and every section lies inside the file, with records of the right size and no more of them than we
 * are willing to copy. 0, or as reader_open(). *ret is garbage on failure. */
int header_read(int fd, uint64_t file_size, struct heapd_header *ret);

/* All of the bytes; -EPROTO if the file ends first, or -errno. */
int header_read_at(int fd, void *to, size_t size, uint64_t offset);

/* Note why a file is refused, for header_why() of this thread. Returns -EPROTO. */
int header_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *header_why(void);

#endif
