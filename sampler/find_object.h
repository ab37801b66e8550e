/* find_object.h - _dl_find_object of glibc 2.35 and later: which module holds an address, without a lock. Weak: NULL where the C
 * library has none. */
#ifndef HEAPD_FIND_OBJECT_H
#define HEAPD_FIND_OBJECT_H

#include <dlfcn.h>
#include <link.h>

#if !defined(DLFO_STRUCT_HAS_EH_DBASE)
struct dl_find_object { /* as in <dlfcn.h> of glibc 2.35, to run there when built elsewhere */
	unsigned long long dlfo_flags;
	void *dlfo_map_start, *dlfo_map_end;
	struct link_map *dlfo_link_map;
	void *dlfo_eh_frame;
	unsigned long long reserved[7];
};
int _dl_find_object(void *address, struct dl_find_object *ret);
#endif
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

#endif
