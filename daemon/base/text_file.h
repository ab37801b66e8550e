/* text_file.h - a small file that the user names on the command line: a token, a certificate, a key. */
#ifndef HEAPD_TEXT_FILE_H
#define HEAPD_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* The whole file in *ret, malloced and terminated. 0, or
 *   -EPERM   `secret`, and others than its owner have rights to it. A file of root's may be readable for its group, which
 *            is how secrets are handed to a service that is not root.
 *   -EFBIG   more than `most` bytes
 *   -EINVAL  it holds NUL
 *   -errno   from open or read; -ENOMEM
 */
int text_file_read(const char *path, bool secret, size_t most, char **ret);

#endif
