/* text.c - growing strings, and the escapes that hostile names need on their way to a page or a terminal. */
#include "text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
text_reserve(struct text *t, size_t more)
{
	size_t capacity = t->capacity ? t->capacity : 256;
	char *data;

	if (t->failed)
		return false;
	if (more >= SIZE_MAX / 2 - t->size) {
		t->failed = true;
		return false;
	}
	if (t->size + more < t->capacity) /* one byte stays for the terminator */
		return true;
	while (capacity <= t->size + more)
		capacity *= 2;
	data = realloc(t->data, capacity);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->capacity = capacity;
	return true;
}

void
text_add_bytes(struct text *t, const void *bytes, size_t size)
{
	if (!text_reserve(t, size))
		return;
	if (size > 0)
		memcpy(t->data + t->size, bytes, size);
	t->size += size;
	t->data[t->size] = '\0';
}

void
text_add(struct text *t, const char *s)
{
	text_add_bytes(t, s, strlen(s));
}

void
text_add_char(struct text *t, char c)
{
	text_add_bytes(t, &c, 1);
}

void
text_vprintf(struct text *t, const char *format, va_list arguments)
{
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0) {
		t->failed = true;
		return;
	}
	if (!text_reserve(t, (size_t)length))
		return;
	(void)vsnprintf(t->data + t->size, (size_t)length + 1, format, arguments);
	t->size += (size_t)length;
}

void
text_printf(struct text *t, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_vprintf(t, format, arguments);
	va_end(arguments);
}

void
text_add_html(struct text *t, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			text_add(t, "&amp;");
			break;
		case '<':
			text_add(t, "&lt;");
			break;
		case '>':
			text_add(t, "&gt;");
			break;
		case '"':
			text_add(t, "&quot;");
			break;
		case '\'':
			text_add(t, "&#39;");
			break;
		default:
			/* Control bytes have no meaning in a page, and a NUL cannot come here. */
			text_add_char(t, (unsigned char)*s < 0x20 ? ' ' : *s);
		}
	}
}

size_t
text_character(const char *s, size_t size)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t length;
	uint32_t code, least;

	if (size == 0 || u[0] == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if ((u[0] & 0xe0) == 0xc0) {
		length = 2, code = u[0] & 0x1f, least = 0x80;
	} else if ((u[0] & 0xf0) == 0xe0) {
		length = 3, code = u[0] & 0x0f, least = 0x800;
	} else if ((u[0] & 0xf8) == 0xf0) {
		length = 4, code = u[0] & 0x07, least = 0x10000;
	} else {
		return 0;
	}
	if (length > size)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (u[i] & 0x3f);
	}
	if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return length;
}

size_t
text_add_printable(struct text *t, const char *s, size_t columns)
{
	size_t left = strlen(s), used = 0, before_last = t->size;

	while (left > 0) {
		size_t length = text_character(s, left);
		bool control = length == 0 || (unsigned char)*s < 0x20 || (unsigned char)*s == 0x7f ||
			       (length == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0);

		if (columns > 0 && used == columns) {
			if (!t->failed)
				t->size = before_last;
			text_add_char(t, '~');
			return used;
		}
		before_last = t->size;
		if (control)
			text_add_char(t, '?');
		else
			text_add_bytes(t, s, length);
		s += length ? length : 1;
		left -= length ? length : 1;
		used++;
	}
	return used;
}

int
text_take(struct text *t, char **ret, size_t *ret_size)
{
	if (!t->data)
		text_add_bytes(t, "", 0);
	if (t->failed) {
		text_done(t);
		return -ENOMEM;
	}
	*ret = t->data;
	if (ret_size)
		*ret_size = t->size;
	*t = (struct text){ 0 };
	return 0;
}

const char *
text_string(const struct text *t)
{
	return t->data ? t->data : "";
}

void
text_done(struct text *t)
{
	free(t->data);
	*t = (struct text){ 0 };
}
