/* dynamic.h - what a loaded module says of its symbols and relocations: the tables that its PT_DYNAMIC names.
 * Sources: System V ABI (gABI), and for the hash table binutils' description of DT_GNU_HASH. */
#ifndef HEAPD_DYNAMIC_H
#define HEAPD_DYNAMIC_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dynamic { /* all of it the module's own memory; NULL or 0 where it has none */
	const ElfW(Sym) * symbols;
	const char *strings;
	size_t strings_size;
	const uint32_t *gnu_hash, *hash;
	const uint16_t *versions; /* of each symbol */
	const ElfW(Rela) * plt, *rela;
	size_t plt_size, rela_size; /* bytes */
	uintptr_t relro_start, relro_end; /* pages that are read-only after relocation */
};

/* false: the module has no symbols. */
bool dynamic_read(const struct dl_phdr_info *module, struct dynamic *ret);

bool dynamic_inside(const struct dl_phdr_info *module, uintptr_t address);

/* Does any loaded module but this library define the name (not only in an old version, which dlsym does not find), or is there
 * one that cannot be asked? Unlike dlsym, this allocates nothing when the answer is no, and leaves no message for the host's
 * next dlerror. Takes no lock: for start-up. */
bool dynamic_defined(const char *name);

/* The function of this name that the first module to define it has, in its default version; NULL if there is none. Unlike dlsym's answer it
 * is never the program's own way to it: where a program that is not position-independent takes a function's address, that
 * address is in its procedure linkage table, for everybody, and leads through the very slot that we patch. */
void *dynamic_find(const char *name);

/* As dynamic_defined, of modules from this place in the list on. */
bool dynamic_defined_since(size_t place, const char *name);

/* How many modules, the first of the list, the program was started with; late (below) some of them may be missing. */
size_t dynamic_first(void);

/* Does this library stand behind the C library in the list of modules, because it was loaded into a program that runs? Then
 * nothing leads to its functions by their names. */
bool dynamic_is_late(void);

#endif
