/* columns.c - see columns.h. */
#include "columns.h"

#include <assert.h>
#include <string.h>

void
columns_init(struct columns *c, const char *alignment)
{
	*c = (struct columns){ .n = strlen(alignment), .right = alignment };
	assert(c->n <= COLUMNS_MAX);
}

void
columns_add(struct columns *c, const char *cell, size_t most)
{
	size_t used = text_add_printable(&c->cells, cell, most);

	text_add_char(&c->cells, '\n');
	if (used > c->widths[c->at])
		c->widths[c->at] = used;
	c->at = (c->at + 1) % c->n;
}

/* Characters, which are taken for columns: names in wide scripts are rare enough. */
static size_t
characters(const char *s, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

void
columns_print(struct columns *c, const char *each_end, size_t width, struct text *to)
{
	const char *cell = text_string(&c->cells);

	while (*cell) {
		struct text line = { 0 };

		for (size_t i = 0; i < c->n; i++) {
			size_t length = strcspn(cell, "\n"), blank = c->widths[i] - characters(cell, length);

			if (i > 0)
				text_add(&line, "  ");
			if (c->right[i] == 'r')
				text_printf(&line, "%*s", (int)blank, "");
			text_add_bytes(&line, cell, length);
			if (c->right[i] == 'l' && i + 1 < c->n)
				text_printf(&line, "%*s", (int)blank, "");
			cell += length + (cell[length] == '\n');
		}
		while (line.size > 0 && line.data[line.size - 1] == ' ')
			line.data[--line.size] = '\0';
		(void)text_add_printable(to, text_string(&line), width);
		text_add(to, each_end);
		text_add_char(to, '\n');
		text_done(&line);
	}
	text_done(&c->cells);
	memset(c->widths, 0, sizeof(c->widths));
}
