/* symbol_cache.h - answers by module and address.
 *
 * Bounded: when it is full nothing new is kept, and every unknown address of a module shows the module's name alone.
 * Nothing is ever dropped, because callers hold the strings.
 * Threads: the caller serialises.
 */
#ifndef HEAPD_SYMBOL_CACHE_H
#define HEAPD_SYMBOL_CACHE_H

#include "symbol_wire.h"
#include "symbols.h"

#define CACHE_MODULE_NONE UINT32_MAX
#define CACHE_ADDRESSES_MAX (1u << 20)
#define CACHE_BYTES_MAX ((size_t)256 << 20)

struct symbol_cache;
struct worker_names;

struct cached_module {
	char *key; /* what makes it this module, opaque */
	size_t key_size;
	const char *base; /* clean base name of its path */
	struct symbol full; /* for addresses that found no room */
	int64_t retry_ms; /* 0, or it failed and is not asked again before (wire_now_ms) */
};

struct symbol_cache *symbol_cache_new(uint32_t addresses_max); /* 0: CACHE_ADDRESSES_MAX */
void symbol_cache_free(struct symbol_cache *c);

/* The number of the module with this key, made if needed; path is where its base name comes from. CACHE_MODULE_NONE
 * without memory or room. `make` false: only look. */
uint32_t symbol_cache_module(struct symbol_cache *c, const void *key, size_t key_size, const char *path, bool make);
struct cached_module *symbol_cache_get(struct symbol_cache *c, uint32_t module); /* until the next module is made */

bool symbol_cache_find(const struct symbol_cache *c, uint32_t module, uint64_t address, struct symbol *ret);
bool symbol_cache_full(const struct symbol_cache *c);
/* Whether there is no room for an address that was not found; counts it if so. */
bool symbol_cache_refuses(struct symbol_cache *c);

/* Keep what the worker said about an address, replacing a failure; a NULL `names` keeps the synthetic line for `state`.
 * False if there is no room. */
bool symbol_cache_put(struct symbol_cache *c, uint32_t module, uint64_t address, enum symbol_state state,
		      const struct worker_names *names, const struct wire_symbol *symbol);

/* A symbol of one line with this name, the same for equal names: JIT code, and code nothing is known about. Never fails:
 * without room it is "[unknown]". */
struct symbol symbol_cache_named(struct symbol_cache *c, enum symbol_state state, const char *name, size_t length);

uint64_t symbol_cache_refused(const struct symbol_cache *c); /* answers that found no room */

#endif
