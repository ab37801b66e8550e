/* utf8.h - strings from a target made fit for readers that refuse anything but text. */
#ifndef HEAPD_UTF8_H
#define HEAPD_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the bytes are UTF-8 without control characters. */
bool utf8_clean(const char *s, size_t size);

/* Make it so in place: every other byte becomes '?', so the length stays. Returns the number of bytes replaced. */
size_t utf8_make_clean(char *s, size_t size);

/* The longest part of a clean string that fits in `size` bytes without cutting a character. */
size_t utf8_cut(const char *s, size_t length, size_t size);

#endif
