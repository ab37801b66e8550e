/* table.c - see table.h. Open addressing, linear probes, at most half full. A slot keeps 32 bits of its item's hash, which
 * both place it (so that growing needs no owner) and spare most comparisons. */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

__extension__ typedef unsigned __int128 wide;

/* Both halves of the product of two words: every bit of either input moves every bit of the result. */
static uint64_t
fold(uint64_t a, uint64_t b)
{
	wide product = (wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t
seed(void)
{
	static uint64_t cached;
	const void *random;
	uint64_t both[2];
	uint64_t n = __atomic_load_n(&cached, __ATOMIC_RELAXED);

	if (n != 0)
		return n;
	random = (const void *)getauxval(AT_RANDOM); /* 16 bytes from the kernel, new for every exec */
	/* The C library makes its stack guard of the first of them: nothing may be told from a hash. */
	if (random) {
		memcpy(both, random, sizeof(both));
		n = fold(both[0] ^ UINT64_C(0xa0761d6478bd642f), both[1] ^ UINT64_C(0xe7037ed1a0b428db));
	}
	n |= 1;
	__atomic_store_n(&cached, n, __ATOMIC_RELAXED); /* every thread computes the same */
	return n;
}

uint64_t
hash_u64(uint64_t n)
{
	return fold(n ^ seed(), UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t
hash_bytes(const void *bytes, size_t size)
{
	const char *p = bytes;
	uint64_t h = fold(seed() ^ size, UINT64_C(0x9e3779b97f4a7c15)), word;

	for (; size >= 8; size -= 8, p += 8) {
		memcpy(&word, p, 8);
		h = fold(h ^ word, UINT64_C(0xd6e8feb86659fd93)) + seed();
	}
	word = 0;
	if (size > 0)
		memcpy(&word, p, size);
	return fold(h ^ word, UINT64_C(0xd6e8feb86659fd93));
}

uint32_t
table_find(const struct table *t, uint64_t hash, table_equal *equal, const void *owner, const void *key)
{
	const struct table_slot *slot;

	if (t->n_slots == 0)
		return TABLE_NONE;
	for (size_t i = (uint32_t)hash & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
		slot = &t->slots[i];
		if (slot->item == 0)
			return TABLE_NONE;
		if (slot->hash == (uint32_t)hash && equal(owner, slot->item - 1, key))
			return slot->item - 1;
	}
}

static void
insert(struct table_slot *slots, size_t n_slots, struct table_slot new, size_t i)
{
	while (slots[i & (n_slots - 1)].item != 0)
		i++;
	slots[i & (n_slots - 1)] = new;
}

int
table_add(struct table *t, uint64_t hash, uint32_t item)
{
	size_t n_slots = t->n_slots ? 2 * t->n_slots : 64;
	struct table_slot *slots;

	if (2 * (t->used + 1) > t->n_slots) {
		slots = calloc(n_slots, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		for (size_t i = 0; i < t->n_slots; i++) {
			if (t->slots[i].item != 0)
				insert(slots, n_slots, t->slots[i], t->slots[i].hash);
		}
		free(t->slots);
		t->slots = slots;
		t->n_slots = n_slots;
	}
	insert(t->slots, t->n_slots, (struct table_slot){ (uint32_t)hash, item + 1 }, (uint32_t)hash);
	t->used++;
	return 0;
}

void
table_done(struct table *t)
{
	free(t->slots);
	*t = (struct table){ 0 };
}
