/* columns.h - a table of cells, aligned when it is printed. Cells are made printable: names come from anywhere. */
#ifndef HEAPD_COLUMNS_H
#define HEAPD_COLUMNS_H

#include "text.h"

#define COLUMNS_MAX 12

struct columns {
	size_t n; /* cells a row */
	const char *right; /* a letter a column: 'r' aligned to the right, 'l' to the left */
	struct text cells; /* one after the other, each ended by '\n' */
	size_t widths[COLUMNS_MAX]; /* characters */
	size_t at; /* column of the next cell */
};

void columns_init(struct columns *c, const char *alignment);

/* The next cell of the row; at most `most` characters, 0: all. */
void columns_add(struct columns *c, const char *cell, size_t most);

/* All rows, two spaces between columns, nothing at the end of lines. `each_end` stands before every newline: "" or a
 * terminal's erase. Lines are cut at `width` characters, 0: never. Empties the table. */
void columns_print(struct columns *c, const char *each_end, size_t width, struct text *to);

#endif
