/* interned.c - chunks of memory that are only ever appended to, and a hash table over the strings in them. */
#include "interned.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"

#define CHUNK ((size_t)64 << 10)

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(8) char bytes[];
};

struct entry {
	const char *bytes;
	size_t length;
};

struct interned {
	struct chunk *chunks; /* the first one is being filled */
	size_t bytes, limit;
	struct entry *entries;
	uint32_t n, room;
	struct table index; /* of entries */
};

struct interned *
interned_new(size_t limit)
{
	struct interned *t = calloc(1, sizeof(*t));

	if (t)
		t->limit = limit;
	return t;
}

void
interned_free(struct interned *t)
{
	if (!t)
		return;
	for (struct chunk *c = t->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	table_done(&t->index);
	free(t->entries);
	free(t);
}

size_t
interned_bytes(const struct interned *t)
{
	return t->bytes;
}

void *
interned_allocate(struct interned *t, size_t size)
{
	struct chunk *c = t->chunks;
	size_t wanted;
	void *ret;

	if (size > SIZE_MAX - 8)
		return NULL;
	size = (size + 7) & ~(size_t)7;
	if (!c || c->size - c->used < size) {
		wanted = size > CHUNK ? size : CHUNK;
		if (wanted > t->limit || t->bytes > t->limit - wanted)
			return NULL;
		c = calloc(1, sizeof(*c) + wanted);
		if (!c)
			return NULL;
		c->size = wanted;
		c->next = t->chunks;
		t->chunks = c;
		t->bytes += wanted;
	}
	ret = c->bytes + c->used;
	c->used += size;
	return ret;
}

static bool
equals(const void *owner, uint32_t item, const void *key)
{
	const struct interned *t = owner;
	const struct entry *a = &t->entries[item], *b = key;

	return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

const char *
interned_add(struct interned *t, const char *bytes, size_t length)
{
	struct entry key = { .bytes = bytes, .length = length };
	uint64_t hash = hash_bytes(bytes, length);
	uint32_t item = table_find(&t->index, hash, equals, t, &key);
	char *copy;

	if (item != TABLE_NONE)
		return t->entries[item].bytes;
	if (t->n == t->room) {
		uint32_t room = t->room ? 2 * t->room : 256;
		struct entry *entries = room > UINT32_MAX / 4 ? NULL : reallocarray(t->entries, room, sizeof(*entries));
		if (!entries)
			return NULL;
		t->entries = entries;
		t->room = room;
	}
	copy = length < SIZE_MAX ? interned_allocate(t, length + 1) : NULL;
	if (!copy || table_add(&t->index, hash, t->n) < 0)
		return NULL;
	memcpy(copy, bytes, length);
	t->entries[t->n++] = (struct entry){ .bytes = copy, .length = length };
	return copy;
}
