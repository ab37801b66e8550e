/* table.h - a hash index over an array that somebody else keeps.
 *
 * It knows items by their number only: the owner says whether item i equals a key. Hashes are seeded once per process,
 * so a target cannot prepare names or addresses that collide; nothing may depend on their order.
 * Threads: a table belongs to one thread; the hash functions may be called by any.
 */
#ifndef HEAPD_TABLE_H
#define HEAPD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_NONE UINT32_MAX

struct table_slot {
	uint32_t hash, item; /* item + 1; 0: empty */
};

struct table { /* all zero is an empty table */
	struct table_slot *slots;
	size_t n_slots, used; /* n_slots is 0 or a power of two */
};

typedef bool table_equal(const void *owner, uint32_t item, const void *key);

/* The item that equals the key, or TABLE_NONE. */
uint32_t table_find(const struct table *t, uint64_t hash, table_equal *equal, const void *owner, const void *key);

/* Add an item that is not in yet. 0 or -ENOMEM. */
int table_add(struct table *t, uint64_t hash, uint32_t item);
void table_done(struct table *t);

uint64_t hash_u64(uint64_t n);
uint64_t hash_bytes(const void *bytes, size_t size);

#endif
