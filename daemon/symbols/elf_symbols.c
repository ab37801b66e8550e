/* elf_symbols.c - one sorted table out of all symbol tables of a module. */
#include "elf_symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>

#include "debugdata.h"
#include "ranges.h"

#define SYMBOLS_MAX (32u << 20) /* of one module; libLLVM with debug info has 2^18 */

struct elf_symbol {
	uint64_t start, size;
	const char *name;
	int binding;
};

struct elf_symbols {
	const struct ranges *code;
	struct elf_symbol *items;
	size_t n, room;
	struct ranges index; /* of items by address; built when the first address is asked for */
	bool indexed;
	void *unpacked; /* .gnu_debugdata; NULL if there was none */
	Elf *inner; /* in it */
};

struct elf_symbols *
elf_symbols_new(const struct ranges *code)
{
	struct elf_symbols *s = calloc(1, sizeof(*s));

	if (s)
		s->code = code;
	return s;
}

void
elf_symbols_free(struct elf_symbols *s)
{
	if (!s)
		return;
	elf_end(s->inner);
	free(s->unpacked);
	ranges_done(&s->index);
	free(s->items);
	free(s);
}

/* $x, $d, $a, $t: marks of the ARM ABIs between code and data, not names. */
static bool
is_mapping_symbol(const char *name)
{
	return name[0] == '$' && strchr("xdat", name[1]) && (name[1] == '\0' || name[2] == '\0' || name[2] == '.');
}

static int
add(struct elf_symbols *s, const GElf_Sym *symbol, uint64_t start, const char *name)
{
	int type = GELF_ST_TYPE(symbol->st_info);

	if (!name || !*name || symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS || is_mapping_symbol(name))
		return 0;
	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return 0;
	if (!ranges_find(s->code, start) || s->n >= SYMBOLS_MAX)
		return 0;
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 1024;
		struct elf_symbol *items = reallocarray(s->items, room, sizeof(*items));
		if (!items)
			return -ENOMEM;
		s->items = items;
		s->room = room;
	}
	s->items[s->n++] = (struct elf_symbol){
		.start = start, .size = symbol->st_size, .name = name, .binding = GELF_ST_BIND(symbol->st_info)
	};
	s->indexed = false;
	return 0;
}

static int
add_table(struct elf_symbols *s, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t n;
	int r = 0;

	if (!data || header->sh_entsize == 0)
		return 0;
	n = data->d_size / header->sh_entsize;
	for (size_t i = 1; i < n && i <= INT32_MAX && r == 0; i++) {
		GElf_Sym symbol;
		if (gelf_getsym(data, (int)i, &symbol))
			r = add(s, &symbol, symbol.st_value, elf_strptr(elf, header->sh_link, symbol.st_name));
	}
	return r;
}

/* All symbol tables of one file; *ret_compressed is its .gnu_debugdata, if it has one. */
static int
add_tables(struct elf_symbols *s, Elf *elf, bool *ret_full, Elf_Scn **ret_compressed)
{
	Elf_Scn *section = NULL;
	size_t names;
	int r = 0;

	if (elf_getshdrstrndx(elf, &names) < 0)
		names = 0;
	while (r == 0 && (section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(section, &header))
			continue;
		name = names ? elf_strptr(elf, names, header.sh_name) : NULL;
		if (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM)
			r = add_table(s, elf, section, &header);
		*ret_full |= header.sh_type == SHT_SYMTAB && header.sh_size > header.sh_entsize;
		if (name && strcmp(name, ".gnu_debugdata") == 0)
			*ret_compressed = section;
	}
	return r;
}

/* One that is damaged is skipped. */
static int
add_compressed(struct elf_symbols *s, Elf_Scn *section)
{
	Elf_Data *data = elf_rawdata(section, NULL);
	Elf_Scn *ignored = NULL;
	bool full = false;
	size_t size;
	int r;

	if (!data || !data->d_buf || s->unpacked)
		return 0;
	r = debugdata_unpack(data->d_buf, data->d_size, &s->unpacked, &size);
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	s->inner = elf_memory(s->unpacked, size);
	return s->inner ? add_tables(s, s->inner, &full, &ignored) : 0;
}

int
elf_symbols_add(struct elf_symbols *s, Elf *elf, bool *ret_full)
{
	Elf_Scn *compressed = NULL;
	bool full = false;
	int r = add_tables(s, elf, &full, &compressed);

	if (r == 0 && compressed && !full)
		r = add_compressed(s, compressed);
	if (r == 0)
		*ret_full = full;
	return r;
}

static size_t
underscores(const char *name)
{
	return strncmp(name, "_Z", 2) == 0 || strncmp(name, "_R", 2) == 0 ? 0 : strspn(name, "_");
}

static int
publicity(int binding)
{
	return binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
}

/* By address, then the best name first. */
static int
compare(const void *left, const void *right)
{
	const struct elf_symbol *a = left, *b = right;
	size_t a_length, b_length;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if ((a->size != 0) != (b->size != 0))
		return a->size ? -1 : 1;
	if (publicity(a->binding) != publicity(b->binding))
		return publicity(a->binding) < publicity(b->binding) ? -1 : 1;
	if (underscores(a->name) != underscores(b->name))
		return underscores(a->name) < underscores(b->name) ? -1 : 1;
	a_length = strlen(a->name);
	b_length = strlen(b->name);
	return a_length != b_length ? (a_length < b_length ? -1 : 1) : strcmp(a->name, b->name);
}

static void
build_index(struct elf_symbols *s)
{
	if (s->n > 1)
		qsort(s->items, s->n, sizeof(*s->items), compare);
	ranges_done(&s->index);
	for (size_t i = 0, next; i < s->n; i = next) {
		const struct elf_symbol *symbol = &s->items[i];
		uint64_t end = symbol->start + symbol->size;

		for (next = i + 1; next < s->n && s->items[next].start == symbol->start;)
			next++;
		if (symbol->size == 0 || end < symbol->start) { /* hand-written assembly: up to the next symbol */
			const struct range *code = ranges_find(s->code, symbol->start);
			end = code ? code->end : symbol->start + 1;
			if (next < s->n && s->items[next].start < end)
				end = s->items[next].start;
		}
		if (ranges_add(&s->index, symbol->start, end, (uint32_t)i) < 0)
			break; /* fewer names */
	}
	ranges_sort(&s->index);
	s->indexed = true;
}

const char *
elf_symbols_find(struct elf_symbols *s, uint64_t address, uint64_t *ret_start)
{
	const struct range *range;

	if (!s->indexed)
		build_index(s);
	range = ranges_find(&s->index, address);
	if (!range)
		return NULL;
	*ret_start = range->start;
	return s->items[range->value].name;
}
