/* loader.c - see loader.h.
 *
 * Whoever loads a module asks the loader for its functions next. Each hook goes on by a jump, so that the loader still sees who
 * called: it searches that one's RUNPATH, and RTLD_NEXT means what comes after that one.
 */
#include "loader.h"

#include <stdint.h>

#include "dynamic.h"
#include "patch.h"

static void *(*real_dlopen)(const char *file, int mode);
static void *(*real_dlmopen)(uintptr_t space, const char *file, int mode);
static void *(*real_dlsym)(void *handle, const char *name);
static void *(*real_dlvsym)(void *handle, const char *name, const char *version);

static void *
hook_dlopen(const char *file, int mode)
{
	patch_again();
	return real_dlopen(file, mode);
}

static void *
hook_dlmopen(uintptr_t space, const char *file, int mode)
{
	patch_again();
	return real_dlmopen(space, file, mode);
}

static void *
hook_dlsym(void *handle, const char *name)
{
	patch_again();
	return real_dlsym(handle, name);
}

static void *
hook_dlvsym(void *handle, const char *name, const char *version)
{
	patch_again();
	return real_dlvsym(handle, name, version);
}

#define PATCH(name)                                                          \
	{                                                                    \
#name, (void *)(uintptr_t)hook_##name, (void **)&real_##name \
	}

static const struct patch patches[] = { PATCH(dlopen), PATCH(dlmopen), PATCH(dlsym), PATCH(dlvsym) };

void
loader_find(void)
{
	for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++)
		*patches[i].real = dynamic_find(patches[i].name);
	patch_add(patches, sizeof(patches) / sizeof(patches[0]), false);
}
