/* patch.c - see patch.h. */
#include "patch.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dynamic.h"

#if defined(__x86_64__)
#define RELOCATION_SLOT R_X86_64_JUMP_SLOT
#define RELOCATION_DATA R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define RELOCATION_SLOT R_AARCH64_JUMP_SLOT
#define RELOCATION_DATA R_AARCH64_GLOB_DAT
#endif

struct job {
	const struct patch *patches;
	size_t n;
	uintptr_t allocator, self;
	size_t done;
};

static bool
write_slot(const struct dynamic *t, uintptr_t slot, void *value)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = slot & ~(page - 1);
	bool protected = slot >= t->relro_start && slot < t->relro_end;

	if (protected && mprotect((void *)start, page, PROT_READ | PROT_WRITE) != 0)
		return false;
	__atomic_store_n((void **)slot, value, __ATOMIC_RELEASE);
	if (protected)
		mprotect((void *)start, page, PROT_READ);
	return true;
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
patch_relocations(struct job *job, const struct dl_phdr_info *module, const struct dynamic *t, const ElfW(Rela) * rela,
		  size_t size)
{
	for (size_t i = 0; rela && i < size / sizeof(*rela); i++) {
		uint32_t type = (uint32_t)ELF64_R_TYPE(rela[i].r_info), name;
		const ElfW(Sym) *symbol = &t->symbols[ELF64_R_SYM(rela[i].r_info)];

		if (type != RELOCATION_SLOT && type != RELOCATION_DATA)
			continue;
		name = symbol->st_name;
		if (name >= t->strings_size)
			continue;
		for (size_t k = 0; k < job->n; k++) {
			const struct patch *p = &job->patches[k];

			if (*p->real && strcmp(t->strings + name, p->name) == 0 &&
			    leads_to(module, module->dlpi_addr + rela[i].r_offset, symbol, type, *p->real) &&
			    write_slot(t, module->dlpi_addr + rela[i].r_offset, p->hook))
				job->done++;
		}
	}
}

static int
patch_module(struct dl_phdr_info *module, size_t size, void *closure)
{
	struct job *job = closure;
	struct dynamic t;

	(void)size;
	if (dynamic_inside(module, job->allocator) || dynamic_inside(module, job->self))
		return 0;
	if (dynamic_read(module, &t)) {
		patch_relocations(job, module, &t, t.plt, t.plt_size);
		patch_relocations(job, module, &t, t.rela, t.rela_size);
	}
	return 0;
}

size_t
patch_modules(const struct patch *patches, size_t n, const void *allocator)
{
	struct job job = {
		.patches = patches, .n = n, .allocator = (uintptr_t)allocator, .self = (uintptr_t)&patch_module
	};

	dl_iterate_phdr(patch_module, &job);
	return job.done;
}
