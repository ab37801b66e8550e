/* symbol_cache.c - three tables: modules by key, answers by (module, address), single lines by name. */
#include "symbol_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interned.h"
#include "table.h"
#include "utf8.h"
#include "worker_link.h"

#define MODULES_MAX 65536

struct answer {
	uint64_t address;
	uint32_t module;
	uint16_t state, n_lines;
	const struct symbol_line *lines;
};

struct symbol_cache {
	struct cached_module *modules;
	uint32_t n_modules, modules_room;
	struct table module_index;

	struct answer *answers;
	uint32_t n_answers, answers_room;
	struct table answer_index;

	const struct symbol_line **named; /* lines made for their name alone */
	uint32_t n_named, named_room;
	struct table named_index; /* by the interned name's address */

	struct interned *text;
	uint32_t addresses_max;
	bool full;
	uint64_t refused;
};

static const struct symbol_line unknown_line = { .name = "[unknown]", .system_name = "[unknown]", .file = "" };

struct symbol_cache *
symbol_cache_new(uint32_t addresses_max)
{
	struct symbol_cache *c = calloc(1, sizeof(*c));

	if (c)
		c->text = interned_new(CACHE_BYTES_MAX);
	if (c && !c->text) {
		free(c);
		c = NULL;
	}
	if (c)
		c->addresses_max = addresses_max ? addresses_max : CACHE_ADDRESSES_MAX;
	return c;
}

bool
symbol_cache_full(const struct symbol_cache *c)
{
	return c->full;
}

void
symbol_cache_free(struct symbol_cache *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_modules; i++)
		free(c->modules[i].key);
	free(c->modules);
	free(c->answers);
	free(c->named);
	table_done(&c->module_index);
	table_done(&c->answer_index);
	table_done(&c->named_index);
	interned_free(c->text);
	free(c);
}

bool
symbol_cache_refuses(struct symbol_cache *c)
{
	c->refused += c->full;
	return c->full;
}

uint64_t
symbol_cache_refused(const struct symbol_cache *c)
{
	return c->refused;
}

/* Room for one more item of `size` bytes. */
static bool
reserve(void **items, uint32_t n, uint32_t *room, uint32_t max, size_t size)
{
	uint32_t wanted = *room ? 2 * *room : 64;
	void *bigger;

	if (n < *room && n < max)
		return true;
	bigger = n < max ? reallocarray(*items, wanted, size) : NULL;
	if (!bigger)
		return false;
	*items = bigger;
	*room = wanted;
	return true;
}

/* Clean text of at most WIRE_STRING_MAX - 1 bytes. */
static const char *
keep_text(struct symbol_cache *c, const char *text, size_t length)
{
	char clean[WIRE_STRING_MAX];
	const char *kept;

	length = utf8_cut(text, length, sizeof(clean) - 1);
	memcpy(clean, text, length);
	utf8_make_clean(clean, length);
	kept = interned_add(c->text, clean, length);
	c->full |= !kept;
	return kept;
}

struct module_key {
	const void *bytes;
	size_t size;
};

static bool
module_equals(const void *owner, uint32_t item, const void *key)
{
	const struct symbol_cache *c = owner;
	const struct module_key *k = key;

	return c->modules[item].key_size == k->size && memcmp(c->modules[item].key, k->bytes, k->size) == 0;
}

static const struct symbol_line *
single_line(struct symbol_cache *c, const char *name)
{
	struct symbol_line *line = name ? interned_allocate(c->text, sizeof(*line)) : NULL;

	if (line)
		*line = (struct symbol_line){ .name = name, .system_name = name, .file = "" };
	return line;
}

uint32_t
symbol_cache_module(struct symbol_cache *c, const void *key, size_t key_size, const char *path, bool make)
{
	struct module_key k = { key, key_size };
	uint64_t hash = hash_bytes(key, key_size);
	uint32_t found = table_find(&c->module_index, hash, module_equals, c, &k);
	struct cached_module m = { .key_size = key_size };
	const struct symbol_line *line;
	void *items = c->modules;
	const char *base;

	if (found != TABLE_NONE || !make)
		return found == TABLE_NONE ? CACHE_MODULE_NONE : found;
	if (!reserve(&items, c->n_modules, &c->modules_room, MODULES_MAX, sizeof(*c->modules))) {
		c->full = true;
		return CACHE_MODULE_NONE;
	}
	c->modules = items;
	base = strrchr(path, '/');
	base = base && base[1] ? base + 1 : path;
	m.base = *base ? keep_text(c, base, strlen(base)) : "[unknown]";
	line = single_line(c, m.base);
	m.key = line ? malloc(key_size) : NULL;
	if (!m.key)
		return CACHE_MODULE_NONE;
	memcpy(m.key, key, key_size);
	m.full = (struct symbol){ .state = SYMBOL_FAILED, .n_lines = 1, .lines = line };
	if (table_add(&c->module_index, hash, c->n_modules) < 0) {
		free(m.key);
		return CACHE_MODULE_NONE;
	}
	c->modules[c->n_modules] = m;
	return c->n_modules++;
}

struct cached_module *
symbol_cache_get(struct symbol_cache *c, uint32_t module)
{
	return &c->modules[module];
}

static uint64_t
answer_hash(uint32_t module, uint64_t address)
{
	return hash_u64(address ^ (uint64_t)module << 44);
}

static bool
answer_equals(const void *owner, uint32_t item, const void *key)
{
	const struct symbol_cache *c = owner;
	const struct answer *k = key;

	return c->answers[item].address == k->address && c->answers[item].module == k->module;
}

static struct answer *
find_answer(const struct symbol_cache *c, uint32_t module, uint64_t address)
{
	struct answer key = { .address = address, .module = module };
	uint32_t item = table_find(&c->answer_index, answer_hash(module, address), answer_equals, c, &key);

	return item == TABLE_NONE ? NULL : &c->answers[item];
}

bool
symbol_cache_find(const struct symbol_cache *c, uint32_t module, uint64_t address, struct symbol *ret)
{
	const struct answer *a = find_answer(c, module, address);

	if (a)
		*ret = (struct symbol){ .state = (enum symbol_state)a->state,
					.n_lines = a->n_lines,
					.lines = a->lines };
	return a != NULL;
}

static const struct symbol_line *
keep_lines(struct symbol_cache *c, const struct worker_names *names, const struct wire_symbol *symbol)
{
	struct symbol_line *lines = interned_allocate(c->text, symbol->n_lines * sizeof(*lines));

	for (uint32_t i = 0; lines && i < symbol->n_lines; i++) {
		const struct wire_line *from = &names->lines[symbol->first_line + i];
		const char *name = names->strings + from->name, *system = names->strings + from->system_name,
			   *file = names->strings + from->file;

		lines[i] = (struct symbol_line){ .name = *name ? keep_text(c, name, strlen(name)) : "(unnamed)",
						 .system_name =
							 *system ? keep_text(c, system, strlen(system)) : "(unnamed)",
						 .file = *file ? keep_text(c, file, strlen(file)) : "",
						 .line = from->line,
						 .start_line = from->start_line };
		if (!lines[i].name || !lines[i].system_name || !lines[i].file)
			lines = NULL;
	}
	return lines;
}

static const struct symbol_line *
synthetic_line(struct symbol_cache *c, uint32_t module, uint64_t address)
{
	char name[WIRE_STRING_MAX + 32];
	int n = snprintf(name, sizeof(name), "%s+0x%" PRIx64, c->modules[module].base, address);

	return single_line(c, interned_add(c->text, name, (size_t)n));
}

bool
symbol_cache_put(struct symbol_cache *c, uint32_t module, uint64_t address, enum symbol_state state,
		 const struct worker_names *names, const struct wire_symbol *symbol)
{
	struct answer *old = find_answer(c, module, address), answer = { .address = address, .module = module };
	void *items = c->answers;

	if (old && (old->state != SYMBOL_FAILED || state == SYMBOL_FAILED))
		return true;
	answer.state = (uint16_t)state;
	answer.n_lines = names ? (uint16_t)symbol->n_lines : 1;
	if (!c->full)
		answer.lines = names ? keep_lines(c, names, symbol) : synthetic_line(c, module, address);
	if (answer.lines && old) {
		*old = answer;
		return true;
	}
	if (!answer.lines || !reserve(&items, c->n_answers, &c->answers_room, c->addresses_max, sizeof(*c->answers))) {
		c->full = true;
		c->refused++;
		return false;
	}
	c->answers = items;
	if (table_add(&c->answer_index, answer_hash(module, address), c->n_answers) < 0) {
		c->full = true;
		c->refused++;
		return false;
	}
	c->answers[c->n_answers++] = answer;
	return true;
}

static bool
named_equals(const void *owner, uint32_t item, const void *key)
{
	const struct symbol_cache *c = owner;

	return c->named[item]->name == key;
}

struct symbol
symbol_cache_named(struct symbol_cache *c, enum symbol_state state, const char *name, size_t length)
{
	struct symbol ret = { .state = state, .n_lines = 1, .lines = &unknown_line };
	const char *kept = keep_text(c, name, length);
	uint64_t hash = hash_u64((uintptr_t)kept);
	const struct symbol_line *line;
	void *items = c->named;
	uint32_t item;

	if (!kept || !*kept)
		return ret;
	item = table_find(&c->named_index, hash, named_equals, c, kept);
	if (item != TABLE_NONE) {
		ret.lines = c->named[item];
		return ret;
	}
	if (!reserve(&items, c->n_named, &c->named_room, c->addresses_max, sizeof(struct symbol_line *))) {
		c->full = true;
		return ret;
	}
	c->named = items;
	line = single_line(c, kept);
	if (!line || table_add(&c->named_index, hash, c->n_named) < 0)
		return ret;
	c->named[c->n_named++] = line;
	ret.lines = line;
	return ret;
}
