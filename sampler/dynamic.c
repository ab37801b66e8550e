/* dynamic.c - see dynamic.h. */
#include "dynamic.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* The loader adds the load address to these in place for ordinary modules, but not for the vdso or itself. */
static const void *
pointer(ElfW(Addr) bias, ElfW(Addr) value)
{
	return (const void *)(value < bias ? bias + value : value);
}

static bool
tables_read(const ElfW(Dyn) * entry, ElfW(Addr) bias, struct dynamic *ret)
{
	struct dynamic d = { 0 };

	for (; entry && entry->d_tag != DT_NULL; entry++) {
		switch (entry->d_tag) {
		case DT_SYMTAB:
			d.symbols = pointer(bias, entry->d_un.d_ptr);
			break;
		case DT_STRTAB:
			d.strings = pointer(bias, entry->d_un.d_ptr);
			break;
		case DT_STRSZ:
			d.strings_size = entry->d_un.d_val;
			break;
		case DT_GNU_HASH:
			d.gnu_hash = pointer(bias, entry->d_un.d_ptr);
			break;
		case DT_HASH:
			d.hash = pointer(bias, entry->d_un.d_ptr);
			break;
		case DT_VERSYM:
			d.versions = pointer(bias, entry->d_un.d_ptr);
			break;
		case DT_JMPREL:
			d.plt = pointer(bias, entry->d_un.d_ptr);
			break;
		case DT_PLTRELSZ:
			d.plt_size = entry->d_un.d_val;
			break;
		case DT_RELA:
			d.rela = pointer(bias, entry->d_un.d_ptr);
			break;
		case DT_RELASZ:
			d.rela_size = entry->d_un.d_val;
			break;
		}
	}
	*ret = d;
	return d.symbols && d.strings;
}

bool
dynamic_read(const struct dl_phdr_info *module, struct dynamic *ret)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const ElfW(Dyn) *entry = NULL;
	uintptr_t start = 0, end = 0;

	for (ElfW(Half) i = 0; i < module->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &module->dlpi_phdr[i];

		if (p->p_type == PT_DYNAMIC)
			entry = (const void *)(module->dlpi_addr + p->p_vaddr);
		if (p->p_type == PT_GNU_RELRO) {
			start = (module->dlpi_addr + p->p_vaddr) & ~(page - 1);
			end = (module->dlpi_addr + p->p_vaddr + p->p_memsz) & ~(page - 1);
		}
	}
	if (!tables_read(entry, module->dlpi_addr, ret))
		return false;
	ret->relro_start = start;
	ret->relro_end = end;
	return true;
}

bool
dynamic_inside(const struct dl_phdr_info *module, uintptr_t address)
{
	for (ElfW(Half) i = 0; i < module->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &module->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && address - (module->dlpi_addr + p->p_vaddr) < p->p_memsz)
			return true;
	}
	return false;
}

#define VERSION_HIDDEN 0x8000 /* not the default version of its name */

struct question {
	const char *name;
	uint32_t hash;
};

static struct question
question_about(const char *name)
{
	struct question q = { .name = name, .hash = 5381 };

	for (const char *c = name; *c; c++)
		q.hash = q.hash * 33 + (unsigned char)*c;
	return q;
}

static bool
is_definition(const struct dynamic *d, uint32_t symbol, const char *name)
{
	if (d->versions && d->versions[symbol] & VERSION_HIDDEN)
		return false;
	return d->symbols[symbol].st_shndx != SHN_UNDEF && strcmp(d->strings + d->symbols[symbol].st_name, name) == 0;
}

/* The table: number of buckets, of the first symbol in a chain, of words of the Bloom filter, its shift; then the filter, the
 * buckets and a hash a symbol, whose lowest bit ends the chain. */
static uint32_t
gnu_hash_find(const struct dynamic *d, const struct question *q)
{
	const uint32_t *h = d->gnu_hash, n_buckets = h[0], first = h[1], n_words = h[2];
	const uint64_t *bloom = (const void *)(h + 4), word = n_words ? bloom[q->hash / 64 % n_words] : 0;
	const uint32_t *buckets = (const void *)(bloom + n_words), *hashes = buckets + n_buckets;

	if (n_buckets == 0 || !(word >> q->hash % 64 & word >> (q->hash >> h[3]) % 64 & 1))
		return 0;
	for (uint32_t i = buckets[q->hash % n_buckets]; i >= first; i++) {
		if ((hashes[i - first] | 1) == (q->hash | 1) && is_definition(d, i, q->name))
			return i;
		if (hashes[i - first] & 1)
			break;
	}
	return 0;
}

#define CANNOT_TELL UINT32_MAX

/* The symbol by which a module other than this one defines the name; 0 if it does not. */
static uint32_t
definition_in(const struct link_map *module, const struct question *q, struct dynamic *d)
{
	if (module->l_ld == _DYNAMIC || !tables_read(module->l_ld, module->l_addr, d))
		return 0;
	if (d->gnu_hash)
		return gnu_hash_find(d, q);
	for (uint32_t i = 1; d->hash && i < d->hash[1]; i++)
		if (is_definition(d, i, q->name))
			return i;
	return d->hash ? 0 : CANNOT_TELL;
}

static bool
defines(const struct link_map *module, const struct question *q)
{
	struct dynamic d;

	return definition_in(module, q, &d) != 0;
}

void *
dynamic_find(const char *name)
{
	const struct question q = question_about(name);

	for (const struct link_map *module = _r_debug.r_map; module; module = module->l_next) {
		struct dynamic d;
		uint32_t i = definition_in(module, &q, &d);

		if (i != 0 && i != CANNOT_TELL && ELF64_ST_TYPE(d.symbols[i].st_info) == STT_FUNC)
			return (void *)(module->l_addr + d.symbols[i].st_value);
	}
	return NULL;
}

/* Not through dl_iterate_phdr: where a ThreadSanitizer is loaded that is its own, and it has not begun to work. */
bool
dynamic_defined_since(size_t place, const char *name)
{
	const struct question q = question_about(name);

	if (!_r_debug.r_map)
		return true;
	for (const struct link_map *module = _r_debug.r_map; module; module = module->l_next)
		if (place > 0)
			place--;
		else if (defines(module, &q))
			return true;
	return false;
}

bool
dynamic_defined(const char *name)
{
	return dynamic_defined_since(0, name);
}

/* What is loaded later stands at the end. The loader stands behind what it was asked for first; the C library asks for it. */
size_t
dynamic_first(void)
{
	bool late = dynamic_is_late();
	size_t n = 0;

	for (const struct link_map *module = _r_debug.r_map; module; module = module->l_next) {
		n++;
		if (late && module->l_addr == getauxval(AT_BASE))
			break;
	}
	return n;
}

/* The C library is the module that defines this. */
bool
dynamic_is_late(void)
{
	const struct question q = question_about("__libc_start_main");

	for (const struct link_map *module = _r_debug.r_map; module; module = module->l_next) {
		if (module->l_ld == _DYNAMIC)
			return false;
		if (defines(module, &q))
			return true;
	}
	return false;
}
