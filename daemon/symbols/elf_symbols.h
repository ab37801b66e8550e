/* elf_symbols.h - function names from the symbol tables of an ELF file. In the worker only.
 *
 * Several tables of one module are poured together: .symtab, .dynsym, the compressed .gnu_debugdata and those of a
 * separate debug file. Where several names have one address the most public one wins: malloc rather than __libc_malloc.
 */
#ifndef HEAPD_ELF_SYMBOLS_H
#define HEAPD_ELF_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include <libelf.h>

struct elf_symbols;

/* code: sorted ranges of executable addresses, borrowed; symbols outside are data or discarded and are left out. */
struct ranges;
struct elf_symbols *elf_symbols_new(const struct ranges *code);
void elf_symbols_free(struct elf_symbols *s);

/* Add the tables of a file. Names stay borrowed from it. Damaged tables are skipped. 0 or -ENOMEM; *ret_full says whether there was a full table (.symtab with symbols). */
int elf_symbols_add(struct elf_symbols *s, Elf *elf, bool *ret_full);

/* The raw name of the function around an address, NULL if none; *ret_start is where that function starts. */
const char *elf_symbols_find(struct elf_symbols *s, uint64_t address, uint64_t *ret_start);

#endif
