/* Another tool's preload, whose constructor runs before the sampler's and takes mallocx to itself. At the end it says how often. */
#include <dlfcn.h>
#include <stdio.h>

#include "dynamic.c"
#include "pages.c"
#include "patch.c"

static void *(*real)(size_t size, int flags);
static int calls;

static void *
hook(size_t size, int flags)
{
	calls++;
	return real(size, flags);
}

__attribute__((constructor)) static void
take(void)
{
	static const struct patch patches[] = { { "mallocx", (void *)(uintptr_t)hook, (void **)&real } };

	*(void **)&real = dlsym(RTLD_DEFAULT, "mallocx");
	if (real) {
		patch_add(patches, 1, false);
		patch_start((void *)(uintptr_t)real, false);
	}
}

__attribute__((destructor)) static void
tell(void)
{
	printf("taken: %s\n", calls > 0 ? "yes" : "no");
}
