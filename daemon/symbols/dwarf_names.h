/* dwarf_names.h - functions, inlined functions, files and lines from DWARF. In the worker only.
 *
 * Nothing is read before it is needed: a table of compilation units by address when the module is opened, a table of
 * functions when the first address falls into a unit. So a few thousand addresses of a 500 MB program cost the units
 * they lie in, not the program.
 */
#ifndef HEAPD_DWARF_NAMES_H
#define HEAPD_DWARF_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <elfutils/libdw.h>

struct ranges;
struct dwarf_names;

struct dwarf_line { /* strings live as long as the struct dwarf_names */
	const char *name; /* as in the source, with namespaces if there is no linkage_name; NULL unknown */
	const char *linkage_name; /* NULL if there is none */
	const char *file; /* NULL unknown */
	uint32_t line, start_line;
	uint64_t entry; /* lowest address of the function itself; 0 for inlined ones */
};

/* elf and code are borrowed. Returns -ENODATA if there is no usable DWARF, -ENOMEM, or 0. */
int dwarf_names_new(Elf *elf, const struct ranges *code, struct dwarf_names **ret);
void dwarf_names_free(struct dwarf_names *d);

/* The file that dwz moved shared parts to; borrowed. Before the first find. */
void dwarf_names_set_alt(struct dwarf_names *d, Dwarf *alt);

/* Innermost inlined function first; returns how many lines, at most max (>= 2). If there are more, functions between the
 * outermost and the innermost ones are left out. 0: no function here; then lines[0].file and line may still be known. */
size_t dwarf_names_find(struct dwarf_names *d, uint64_t address, struct dwarf_line *lines, size_t max);

#endif
