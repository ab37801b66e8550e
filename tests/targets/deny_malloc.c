/* deny_malloc.c - to be preloaded: one allocation of the process finds no memory, when the file named by DENY says so. */
#include <errno.h>
#include <stdlib.h>

#include "deny.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static int
fails(size_t size)
{
	static struct deny *_Atomic control;
	static _Atomic int asked;

	if (!atomic_exchange(&asked, 1)) {
		const char *path = getenv("DENY");

		atomic_store(&control, path ? deny_open(path) : NULL);
	}
	if (!atomic_load(&control) || !deny_now(control, (int64_t)size))
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails(size) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails(n * size) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return fails(size) ? NULL : __libc_realloc(p, size);
}

void *
memalign(size_t alignment, size_t size)
{
	return fails(size) ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *p = memalign(alignment, size);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}
