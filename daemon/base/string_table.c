/* string_table.c - see string_table.h. Strings lie in chunks that never move, each behind its number. */
#include "string_table.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "utf8.h"

#define CHUNK_SIZE 65536 /* holds three strings of STRINGS_MAX, or thousands of usual ones */

struct chunk {
	struct chunk *next;
	size_t used;
	char bytes[CHUNK_SIZE];
};

struct strings {
	struct table table;
	const char **strings;
	size_t n, capacity;
	struct chunk *chunks;
};

static bool
equal(const void *owner, uint32_t item, const void *key)
{
	const struct strings *s = owner;

	return strcmp(s->strings[item], key) == 0;
}

struct strings *
strings_new(void)
{
	struct strings *s = calloc(1, sizeof(*s));

	if (s && !strings_add(s, "")) {
		strings_free(s);
		return NULL;
	}
	return s;
}

void
strings_free(struct strings *s)
{
	if (!s)
		return;
	for (struct chunk *c = s->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	table_done(&s->table);
	free(s->strings);
	free(s);
}

/* Room for a number and a string of that length with its terminator. */
static char *
reserve(struct strings *s, size_t length)
{
	size_t size = (sizeof(uint32_t) + length + 1 + 3) & ~(size_t)3;
	struct chunk *c = s->chunks;

	if (!c || CHUNK_SIZE - c->used < size) {
		c = malloc(sizeof(*c));
		if (!c)
			return NULL;
		c->next = s->chunks;
		c->used = 0;
		s->chunks = c;
	}
	c->used += size;
	return c->bytes + c->used - size;
}

/* `string` is clean and short enough. */
static const char *
add(struct strings *s, const char *string, size_t length)
{
	uint64_t hash = hash_bytes(string, length);
	uint32_t number = table_find(&s->table, hash, equal, s, string);
	char *room;

	if (number != TABLE_NONE)
		return s->strings[number];
	if (s->n == s->capacity) {
		size_t capacity = s->capacity ? 2 * s->capacity : 256;
		const char **strings = realloc(s->strings, capacity * sizeof(*strings));

		if (!strings)
			return NULL;
		s->strings = strings;
		s->capacity = capacity;
	}
	room = reserve(s, length);
	if (!room || table_add(&s->table, hash, (uint32_t)s->n) < 0)
		return NULL;
	number = (uint32_t)s->n;
	memcpy(room, &number, sizeof(number));
	memcpy(room + sizeof(number), string, length + 1);
	s->strings[s->n++] = room + sizeof(number);
	return room + sizeof(number);
}

const char *
strings_add(struct strings *s, const char *string)
{
	size_t length = strnlen(string, STRINGS_MAX + 4); /* enough to see a character that must not be cut */
	char copy[STRINGS_MAX + 5];

	if (length <= STRINGS_MAX && utf8_clean(string, length))
		return add(s, string, length);
	memcpy(copy, string, length);
	utf8_make_clean(copy, length);
	length = utf8_cut(copy, length, STRINGS_MAX);
	copy[length] = '\0';
	return add(s, copy, length);
}

uint32_t
strings_number(const char *string)
{
	uint32_t number;

	memcpy(&number, string - sizeof(number), sizeof(number));
	return number;
}

uint32_t
strings_count(const struct strings *s)
{
	return (uint32_t)s->n;
}

const char *
strings_get(const struct strings *s, uint32_t number)
{
	return s->strings[number];
}
