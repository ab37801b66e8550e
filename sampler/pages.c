/* pages.c - see pages.h. Raw system calls: mmap and madvise may be wrapped by whoever else is preloaded. */
#include "pages.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic bool frozen;

void
pages_freeze(void)
{
	atomic_store_explicit(&frozen, true, memory_order_relaxed);
}

void
pages_thaw(void)
{
	atomic_store_explicit(&frozen, false, memory_order_relaxed);
}

bool
pages_frozen(void)
{
	return atomic_load_explicit(&frozen, memory_order_relaxed);
}

void *
pages_private(size_t size)
{
	int saved = errno;
	void *p = NULL;
	long r;

	if (pages_frozen())
		return NULL;
	r = syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);

	if (r != -1) {
		p = (void *)r;
		if (syscall(SYS_madvise, p, size, MADV_WIPEONFORK) != 0) {
			pages_release(p, size);
			p = NULL;
		}
	}
	errno = saved;
	return p;
}

void
pages_release(void *p, size_t size)
{
	int saved = errno;

	if (pages_frozen())
		return; /* rather lose them */
	syscall(SYS_munmap, p, size);
	errno = saved;
}
