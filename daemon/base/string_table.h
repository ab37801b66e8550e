/* string_table.h - one copy of every distinct string, numbered from 0 in the order they came; number 0 is "".
 *
 * What is kept is clean text (see utf8.h), and cut at STRINGS_MAX bytes.
 * Threads: written by one thread, then read by any.
 */
#ifndef HEAPD_STRING_TABLE_H
#define HEAPD_STRING_TABLE_H

#include <stdint.h>

#define STRINGS_MAX 16384 /* bytes; readers of profiles refuse more than 65,535, and no name worth reading is longer */

struct strings;

struct strings *strings_new(void); /* NULL without memory */
void strings_free(struct strings *s); /* NULL is fine */

/* The one copy of the string, valid until strings_free; NULL without memory. Equal strings give equal pointers. */
const char *strings_add(struct strings *s, const char *string);

/* The number of a string that strings_add() returned. */
uint32_t strings_number(const char *string);
uint32_t strings_count(const struct strings *s);
const char *strings_get(const struct strings *s, uint32_t number);

#endif
