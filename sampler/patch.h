/* patch.h - change where a symbol leads, in every loaded module that refers to it.
 *
 * For names that must not be exported: a library that defines mallocx or operator new makes programs believe that this
 * allocator or that C++ runtime is there.
 */
#ifndef HEAPD_PATCH_H
#define HEAPD_PATCH_H

#include <stdbool.h>
#include <stddef.h>

struct patch {
	const char *name; /* of the symbol */
	void *hook; /* where references to it shall lead */
	void **real; /* where it leads without us; NULL in *real: leave the symbol alone */
};

/* Name what is to be patched; `patches` is kept. Before patch_start. others_define: the C library, too, defines these names, and not
 * by way of the functions that we know. */
void patch_add(const struct patch *patches, size_t n, bool others_define);

/* Write the hooks into the global offset tables of all loaded modules but the loader and the one that holds `allocator` (NULL:
 * none), whose calls to itself are not the program's; into our own only if `own`. What leads to the real functions by way of
 * data that was initialised with their addresses is patched, too. Protection of the pages is as before afterwards.
 * Takes the loader's lock. */
void patch_start(const void *allocator, bool own);

/* The same for modules that came later, once they are ready. Where the host itself is about to call the loader: takes the
 * loader's lock. Costs some 50 ns if none came. Keeps errno. */
void patch_again(void);

#endif
