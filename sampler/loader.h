/* loader.h - the host's calls of the loader, for the modules that they bring. */
#ifndef HEAPD_LOADER_H
#define HEAPD_LOADER_H

/* Name dlopen and its like for patching: modules that came later are patched when one of them is called next. */
void loader_find(void);

#endif
