/* file.h - writing results where the user wants them. */
#ifndef HEAPD_FILE_H
#define HEAPD_FILE_H

#include <stddef.h>

/* All of data to the file (replaced only once everything is written, if it is a regular file), or to standard output
 * for "-" and NULL. 0, or -errno and a line for the user. */
int file_write(const char *path, const void *data, size_t size);

#endif
