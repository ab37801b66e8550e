/* late.c - see late.h. */
#include "late.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#include "dynamic.h"
#include "extensions.h"
#include "loader.h"
#include "options.h"
#include "patch.h"
#include "process.h"
#include "real.h"
#include "thread.h"

#define HOOKED(name)                                                      \
	{                                                                 \
#name, (void *)(uintptr_t)own_##name, (void **)&real.name \
	}

void own_free(void) __attribute__((visibility("hidden")));
void own_realloc(void) __attribute__((visibility("hidden")));
void own_cfree(void) __attribute__((visibility("hidden")));
void own_free_sized(void) __attribute__((visibility("hidden")));
void own_free_aligned_sized(void) __attribute__((visibility("hidden")));
void own_malloc(void) __attribute__((visibility("hidden")));
void own_calloc(void) __attribute__((visibility("hidden")));
void own_posix_memalign(void) __attribute__((visibility("hidden")));
void own_aligned_alloc(void) __attribute__((visibility("hidden")));
void own_memalign(void) __attribute__((visibility("hidden")));
void own_valloc(void) __attribute__((visibility("hidden")));
void own_pvalloc(void) __attribute__((visibility("hidden")));
void own_malloc_usable_size(void) __attribute__((visibility("hidden")));
void own_dlclose(void) __attribute__((visibility("hidden")));
void own_prctl(void) __attribute__((visibility("hidden")));
void own_syscall(void) __attribute__((visibility("hidden")));

/* Blocks that come before all that leaves is seen would stay for ever. */
static const struct patch leaving[] = { HOOKED(free), HOOKED(realloc), HOOKED(cfree), HOOKED(free_sized),
					HOOKED(free_aligned_sized) };
static const struct patch coming[] = {
	HOOKED(malloc),   HOOKED(calloc), HOOKED(posix_memalign), HOOKED(aligned_alloc),
	HOOKED(memalign), HOOKED(valloc), HOOKED(pvalloc),        HOOKED(malloc_usable_size),
	HOOKED(dlclose),  HOOKED(prctl),  HOOKED(syscall)
};

/* The allocator's calls to itself are not the program's; but the C library is a customer of its own. */
static const void *
allocator_apart(void)
{
	Dl_info allocator, libc;

	if (dladdr((void *)(uintptr_t)real.malloc, &allocator) && dladdr((void *)(uintptr_t)dladdr, &libc) &&
	    allocator.dli_fbase != libc.dli_fbase)
		return (void *)(uintptr_t)real.malloc;
	return NULL;
}

__attribute__((visibility("default"))) int
heapd_attach(const char *settings)
{
	static _Atomic int attached;
	int none = 0, r = 0;

	if (!dynamic_is_late() || !atomic_compare_exchange_strong(&attached, &none, 1))
		return -EALREADY;
	thread_self.quiet++;
	options_set(settings);
	process_retry();
	if (process_get()) {
		const void *allocator = allocator_apart();

		extensions_find();
		loader_find();
		patch_add(leaving, sizeof(leaving) / sizeof(leaving[0]), allocator != NULL);
		patch_start(allocator, true);
		patch_add(coming, sizeof(coming) / sizeof(coming[0]), allocator != NULL);
		patch_start(allocator, true);
	} else {
		atomic_store(&attached, 0);
		r = -ENOSPC;
	}
	thread_self.quiet--;
	return r;
}
