/* patch.c - see patch.h. */
#include "patch.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dynamic.h"
#include "find_object.h"
#include "pages.h"

#if defined(__x86_64__)
#define RELOCATION_SLOT R_X86_64_JUMP_SLOT
#define RELOCATION_DATA R_X86_64_GLOB_DAT
#define RELOCATION_ADDRESS R_X86_64_64
#elif defined(__aarch64__)
#define RELOCATION_SLOT R_AARCH64_JUMP_SLOT
#define RELOCATION_DATA R_AARCH64_GLOB_DAT
#define RELOCATION_ADDRESS R_AARCH64_ABS64
#endif

#define TABLES_MAX 4

/* From patch_start on as they are. */
static struct table {
	const struct patch *patches;
	size_t n;
	bool others_define;
} tables[TABLES_MAX];
static size_t n_tables;
static uintptr_t allocator;
static bool own_too;
static size_t n_first; /* modules that the program was started with, the first of the list */

struct place {
	const struct dl_phdr_info *module;
	size_t index; /* in the list of modules */
};

static void
write_slot(const struct dynamic *t, uintptr_t slot, void *value)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = slot & ~(page - 1);
	bool protected = slot >= t->relro_start && slot < t->relro_end;

	if (protected && mprotect((void *)start, page, PROT_READ | PROT_WRITE) != 0)
		return;
	__atomic_store_n((void **)slot, value, __ATOMIC_RELEASE);
	if (protected)
		mprotect((void *)start, page, PROT_READ);
}

/* Where an unbound slot of a module that came later will be bound is known only if nobody else's definition could be preferred:
 * under RTLD_DEEPBIND the module's own dependencies come before everybody. Those that were there from the start do not matter,
 * they end in the allocator themselves; those that came later may not. */
static bool
is_ambiguous(const struct table *table, const char *name)
{
	return table->others_define || dynamic_defined_since(n_first, name);
}

/* Does the slot lead to the function that we know? Not bound yet, it leads to the module's own stub, and will be bound to what
 * the whole program sees under that name, which is the function. One that leads elsewhere, to an operator new of the
 * module's own or to another tool's hook, is not ours to change. */
static bool
leads_to(const struct place *at, const ElfW(Rela) * rela, const ElfW(Sym) * symbol, const struct table *table,
	 const struct patch *patch)
{
	uintptr_t value =
		__atomic_load_n((const uintptr_t *)(at->module->dlpi_addr + rela->r_offset), __ATOMIC_RELAXED);

	if (value == (uintptr_t)*patch->real)
		return true;
	return ELF64_R_TYPE(rela->r_info) == RELOCATION_SLOT && dynamic_inside(at->module, value) &&
	       (symbol->st_shndx == SHN_UNDEF || value != at->module->dlpi_addr + symbol->st_value) &&
	       !(at->index >= n_first && is_ambiguous(table, patch->name));
}

static void
patch_symbol(const struct place *at, const struct dynamic *t, const ElfW(Rela) * rela, const ElfW(Sym) * symbol)
{
	const char *name = t->strings + symbol->st_name;

	for (size_t i = 0; i < n_tables; i++)
		for (size_t k = 0; k < tables[i].n; k++) {
			const struct patch *p = &tables[i].patches[k];

			if (*p->real && *name == *p->name && strcmp(name, p->name) == 0 &&
			    leads_to(at, rela, symbol, &tables[i], p))
				write_slot(t, at->module->dlpi_addr + rela->r_offset, p->hook);
		}
}

static void
patch_relocations(const struct place *at, const struct dynamic *t, const ElfW(Rela) * rela, size_t size)
{
	for (size_t i = 0; rela && i < size / sizeof(*rela); i++) {
		uint32_t type = (uint32_t)ELF64_R_TYPE(rela[i].r_info);
		const ElfW(Sym) *symbol = &t->symbols[ELF64_R_SYM(rela[i].r_info)];

		if ((type == RELOCATION_SLOT || type == RELOCATION_DATA ||
		     (type == RELOCATION_ADDRESS && rela[i].r_addend == 0)) &&
		    symbol->st_name < t->strings_size)
			patch_symbol(at, t, &rela[i], symbol);
	}
}

static void
patch_module(const struct place *at, const struct dynamic *t)
{
	const struct dl_phdr_info *module = at->module;

	if (dynamic_inside(module, allocator) || dynamic_inside(module, (uintptr_t)&_r_debug) ||
	    (!own_too && dynamic_inside(module, (uintptr_t)&patch_module)))
		return;
	patch_relocations(at, t, t->plt, t->plt_size);
	patch_relocations(at, t, t->rela, t->rela_size);
}

/* -- which modules are done; looked at and changed under the loader's lock only -- */

#define KNOWN_MAX 2048 /* beyond, modules are looked at each time one comes */

static struct {
	unsigned long long added, removed; /* by the loader, when we looked last */
	size_t n;
	const void *modules[KNOWN_MAX]; /* by their program headers */
} known;

static bool
is_known(const struct dl_phdr_info *module)
{
	for (size_t i = 0; i < known.n; i++)
		if (known.modules[i] == module->dlpi_phdr)
			return true;
	return false;
}

/* The loader shows a module before it has relocated it, and may be at that in another thread just now. It enters it in the
 * table behind _dl_find_object only afterwards, when the pages that are read-only after relocation are. */
static bool
is_ready(const struct dynamic *t)
{
	struct dl_find_object found;

	return _dl_find_object && _dl_find_object((void *)(uintptr_t)t->symbols, &found) == 0;
}

static int
look_at(struct dl_phdr_info *module, size_t size, void *closure)
{
	struct place at = { module, (*(size_t *)closure)++ };
	struct dynamic t;

	if (at.index == 0) {
		if (size < offsetof(struct dl_phdr_info, dlpi_subs) + sizeof(module->dlpi_subs) ||
		    (module->dlpi_adds == known.added && module->dlpi_subs == known.removed))
			return 1;
		if (module->dlpi_subs != known.removed)
			known.n = 0; /* others may have come to their places; patching twice does no harm */
		known.added = module->dlpi_adds;
		known.removed = module->dlpi_subs;
	}
	if (is_known(module))
		return 0;
	if (dynamic_read(module, &t) && (t.plt_size || t.rela_size)) {
		if (!is_ready(&t)) {
			known.added = 0; /* look again */
			return 0;
		}
		patch_module(&at, &t);
	}
	if (known.n < KNOWN_MAX)
		known.modules[known.n++] = module->dlpi_phdr;
	return 0;
}

static int
patch_now(struct dl_phdr_info *module, size_t size, void *closure)
{
	struct place at = { module, (*(size_t *)closure)++ };
	struct dynamic t;

	(void)size;
	if (dynamic_read(module, &t))
		patch_module(&at, &t);
	return 0;
}

void
patch_add(const struct patch *patches, size_t n, bool others_define)
{
	tables[n_tables++] = (struct table){ patches, n, others_define };
}

void
patch_start(const void *of_allocator, bool own)
{
	size_t index = 0;

	allocator = (uintptr_t)of_allocator;
	own_too = own;
	n_first = dynamic_first();
	dl_iterate_phdr(patch_now, &index);
}

void
patch_again(void)
{
	int saved = errno;
	size_t index = 0;

	if (!pages_begin())
		return; /* protection of pages can't be changed any more */
	dl_iterate_phdr(look_at, &index);
	pages_end();
	errno = saved;
}
