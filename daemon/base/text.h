/* text.h - a string that grows.
 *
 * Appending never fails visibly: without memory the text remembers that it is incomplete, and text_take() says so. So a
 * writer of many pieces checks once, at the end.
 * Threads: a struct text belongs to one thread.
 */
#ifndef HEAPD_TEXT_H
#define HEAPD_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct text { /* all zero is an empty text */
	char *data; /* terminated whenever it is not NULL */
	size_t size, capacity;
	bool failed;
};

void text_add(struct text *t, const char *s);
void text_add_bytes(struct text *t, const void *bytes, size_t size);
void text_add_char(struct text *t, char c);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *t, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

/* For HTML, in an element or a quoted attribute. */
void text_add_html(struct text *t, const char *s);

/* For a terminal or a log: whatever could move a cursor or start a line (C0, DEL, C1) and whatever is not UTF-8 becomes
 * '?'. At most `columns` characters, the last of them "~" if something was cut off; 0: all. Returns the characters used. */
size_t text_add_printable(struct text *t, const char *s, size_t columns);

/* The bytes of a character at s (1 to 4), or 0 if it is not UTF-8 or the string ends. */
size_t text_character(const char *s, size_t size);

/* Hand the string over: *ret is malloced and terminated. -ENOMEM if a piece is missing; the text is empty either way. */
int text_take(struct text *t, char **ret, size_t *ret_size);

/* The string so far, never NULL; borrowed until the next call. */
const char *text_string(const struct text *t);
void text_done(struct text *t);

#endif
