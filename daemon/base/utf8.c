/* utf8.c - see utf8.h. Byte for byte, so that fixed fields such as a target's name can be cleaned where they stand. */
#include "utf8.h"

#include "text.h"

/* The bytes of a character that may stay, or 0. */
static size_t
clean_character(const char *s, size_t size)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t length;

	if (u[0] < 0x80)
		return u[0] >= 0x20 && u[0] != 0x7f;
	length = text_character(s, size);
	/* C1 controls move a terminal's cursor just as C0 do. */
	return length == 2 && u[0] == 0xc2 && u[1] < 0xa0 ? 0 : length;
}

bool
utf8_clean(const char *s, size_t size)
{
	for (size_t i = 0, n; i < size; i += n) {
		n = clean_character(s + i, size - i);
		if (n == 0)
			return false;
	}
	return true;
}

size_t
utf8_make_clean(char *s, size_t size)
{
	size_t replaced = 0;

	for (size_t i = 0, n; i < size; i += n) {
		n = clean_character(s + i, size - i);
		if (n == 0) {
			s[i] = '?';
			replaced++;
			n = 1;
		}
	}
	return replaced;
}

size_t
utf8_cut(const char *s, size_t length, size_t size)
{
	if (length <= size)
		return length;
	while (size > 0 && ((unsigned char)s[size] & 0xc0) == 0x80)
		size--;
	return size;
}
