/* pages.c - see pages.h. Raw system calls: mmap and madvise may be wrapped by whoever else is preloaded. */
#include "pages.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FREEZE_YIELDS 1000 /* some milliseconds: one who died in there, or in a parent of a fork, is not waited for */

#define DENIALS_MAX 10 /* see pages_scarce() */

static _Atomic bool frozen;
static _Atomic uint32_t inside;

bool
pages_begin(void)
{
	atomic_fetch_add_explicit(&inside, 1, memory_order_seq_cst);
	if (!atomic_load_explicit(&frozen, memory_order_seq_cst))
		return true;
	pages_end();
	return false;
}

void
pages_end(void)
{
	atomic_fetch_sub_explicit(&inside, 1, memory_order_release);
}

void
pages_freeze(void)
{
	atomic_store_explicit(&frozen, true, memory_order_seq_cst);
	for (int i = 0; i < FREEZE_YIELDS && atomic_load_explicit(&inside, memory_order_seq_cst) != 0; i++)
		syscall(SYS_sched_yield);
}

void
pages_thaw(void)
{
	atomic_store_explicit(&frozen, false, memory_order_seq_cst);
}

bool
pages_frozen(void)
{
	return atomic_load_explicit(&frozen, memory_order_relaxed);
}

static _Atomic uint32_t denials, passes;

bool
pages_scarce(void)
{
	uint32_t left = atomic_load_explicit(&passes, memory_order_relaxed);

	if (left > 0) /* threads may count one for two */
		atomic_store_explicit(&passes, left - 1, memory_order_relaxed);
	return left > 0;
}

void
pages_answer(bool yes)
{
	uint32_t n = atomic_load_explicit(&denials, memory_order_relaxed);

	if (yes && n == 0)
		return;
	atomic_store_explicit(&denials, yes ? 0 : n < DENIALS_MAX ? n + 1 : n, memory_order_relaxed);
	atomic_store_explicit(&passes, yes ? 0 : (UINT32_C(1) << n) - 1, memory_order_relaxed);
}

size_t
pages_size(void)
{
	size_t size = getauxval(AT_PAGESZ);

	return size ? size : 4096;
}

void *
pages_private(size_t size)
{
	return pages_kept(size, size);
}

void *
pages_kept(size_t size, size_t wiped)
{
	int saved = errno;
	void *p = NULL;
	long r;

	if (pages_scarce() || !pages_begin())
		return NULL;
	r = syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
	if (r != -1) {
		p = (void *)r;
		if (syscall(SYS_madvise, p, wiped, MADV_WIPEONFORK) != 0) {
			syscall(SYS_munmap, p, size);
			p = NULL;
		}
	}
	pages_end();
	pages_answer(p != NULL);
	errno = saved;
	return p;
}

void
pages_release(void *p, size_t size)
{
	int saved = errno;

	if (!pages_begin())
		return; /* rather lose them */
	syscall(SYS_munmap, p, size);
	pages_end();
	errno = saved;
}
