/* patch.h - change where a symbol leads, in every loaded module that refers to it.
 *
 * For names that must not be exported: a library that defines mallocx or operator new makes programs believe that this
 * allocator or that C++ runtime is there.
 */
#ifndef HEAPD_PATCH_H
#define HEAPD_PATCH_H

#include <stddef.h>

struct patch {
	const char *name; /* of the symbol */
	void *hook; /* where references to it shall lead */
	void **real; /* where it leads without us; NULL in *real: leave the symbol alone */
};

/* Write the hooks into the global offset tables of all loaded modules but our own and the one that holds `allocator`, whose
 * calls to itself are not the program's. Protection of the pages is as before afterwards. `patches` is kept.
 * From the constructor: takes the loader's lock. */
void patch_start(const struct patch *patches, size_t n, const void *allocator);

/* The same for modules that came later, once they are ready. Where the host itself is about to call the loader: takes the
 * loader's lock. Costs some 50 ns if none came. Keeps errno. */
void patch_again(void);

#endif
