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
#elif defined(__aarch64__)
#define RELOCATION_SLOT R_AARCH64_JUMP_SLOT
#define RELOCATION_DATA R_AARCH64_GLOB_DAT
#endif

/* From the constructor on as they are. */
static const struct patch *patches;
static size_t n_patches;
static uintptr_t allocator;

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

/* Does the slot lead to the function that we know? Not bound yet, it leads to the module's own stub, and will be bound to what
 * the whole program sees under that name, which is the function. One that leads elsewhere, to an operator new of the
 * module's own or to another tool's hook, is not ours to change. */
static bool
leads_to(const struct dl_phdr_info *module, uintptr_t slot, const ElfW(Sym) * symbol, uint32_t type, const void *real)
{
	uintptr_t value = __atomic_load_n((const uintptr_t *)slot, __ATOMIC_RELAXED);

	if (value == (uintptr_t)real)
		return true;
	return type == RELOCATION_SLOT && dynamic_inside(module, value) &&
	       (symbol->st_shndx == SHN_UNDEF || value != module->dlpi_addr + symbol->st_value);
}

static void
patch_relocations(const struct dl_phdr_info *module, const struct dynamic *t, const ElfW(Rela) * rela, size_t size)
{
	for (size_t i = 0; rela && i < size / sizeof(*rela); i++) {
		uint32_t type = (uint32_t)ELF64_R_TYPE(rela[i].r_info), name;
		const ElfW(Sym) *symbol = &t->symbols[ELF64_R_SYM(rela[i].r_info)];

		if (type != RELOCATION_SLOT && type != RELOCATION_DATA)
			continue;
		name = symbol->st_name;
		if (name >= t->strings_size)
			continue;
		for (size_t k = 0; k < n_patches; k++) {
			const struct patch *p = &patches[k];

			if (*p->real && t->strings[name] == *p->name && strcmp(t->strings + name, p->name) == 0 &&
			    leads_to(module, module->dlpi_addr + rela[i].r_offset, symbol, type, *p->real))
				write_slot(t, module->dlpi_addr + rela[i].r_offset, p->hook);
		}
	}
}

static void
patch_module(const struct dl_phdr_info *module, const struct dynamic *t)
{
	if (dynamic_inside(module, allocator) || dynamic_inside(module, (uintptr_t)&patch_module))
		return;
	patch_relocations(module, t, t->plt, t->plt_size);
	patch_relocations(module, t, t->rela, t->rela_size);
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
	bool *is_first = closure;
	struct dynamic t;

	if (*is_first) {
		*is_first = false;
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
		patch_module(module, &t);
	}
	if (known.n < KNOWN_MAX)
		known.modules[known.n++] = module->dlpi_phdr;
	return 0;
}

static int
patch_now(struct dl_phdr_info *module, size_t size, void *closure)
{
	struct dynamic t;

	(void)size;
	(void)closure;
	if (dynamic_read(module, &t))
		patch_module(module, &t);
	return 0;
}

void
patch_start(const struct patch *which, size_t n, const void *of_allocator)
{
	patches = which;
	n_patches = n;
	allocator = (uintptr_t)of_allocator;
	dl_iterate_phdr(patch_now, NULL);
}

void
patch_again(void)
{
	int saved = errno;
	bool is_first = true;

	if (!pages_begin())
		return; /* protection of pages can't be changed any more */
	dl_iterate_phdr(look_at, &is_first);
	pages_end();
	errno = saved;
}
