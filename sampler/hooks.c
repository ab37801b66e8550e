/* hooks.c - the malloc family as the program sees it.
 *
 * Every hook has a fast half, which decides that nothing is to be done and jumps to the real function (a tail call, so
 * that the host's stack looks as it would without us), and a slow half that does the work. The real call always comes
 * first for allocations and last for frees, and nothing of ours is held while it runs: it may throw, fork or take a
 * signal. Results, errno, alignment and failures are the real function's own.
 *
 * A block that leaves (free, realloc) is unregistered before the real call, since another thread may own its address the
 * moment after.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "own.h"
#include "real.h"
#include "sample.h"

/* Listed in exports.map, too. Each in as few cache lines as can be. */
#define HOOK __attribute__((visibility("default"), aligned(64)))
#define SLOW __attribute__((noinline, cold))

/* glibc's headers have not got these yet, or no longer. */
void cfree(void *block);
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

/* -- allocation -- */

static SLOW void *
malloc_slow(size_t size)
{
	struct unwind_start start = SAMPLE_START();
	uint64_t period = sample_due(size);
	void *block = real.malloc(size);

	if (period && block)
		sample_take(block, size, period, &start);
	return block;
}

HOOK void *
malloc(size_t size)
{
	if (unlikely(sample_count(size)))
		return malloc_slow(size);
	return real.malloc(size);
}

static SLOW void *
calloc_slow(size_t count, size_t size)
{
	struct unwind_start start = SAMPLE_START();
	uint64_t period = sample_due(count * size);
	void *block = real.calloc(count, size);

	if (period && block)
		sample_take(block, count * size, period, &start);
	return block;
}

HOOK void *
calloc(size_t count, size_t size)
{
	size_t bytes;

	if (!__builtin_mul_overflow(count, size, &bytes) && unlikely(sample_count(bytes)))
		return calloc_slow(count, size);
	return real.calloc(count, size);
}

/* An in-place change counts like any other: the old size is freed, the new one allocated. */
static SLOW void *
realloc_slow(void *old, size_t size, bool counted)
{
	struct unwind_start start = SAMPLE_START();
	uint64_t period = counted ? sample_due(size) : 0;
	struct live_block sample;
	bool leaving = filter_hit(old) && sample_leaving(old, &sample);
	void *block = real.realloc(old, size);

	if (leaving) {
		/* NULL for a size of 0 means freed in allocators that do so, and those that do not return a block. */
		if (block || size == 0)
			sample_gone(&sample);
		else
			sample_back(&sample, old);
	}
	if (period && block)
		sample_take(block, size, period, &start);
	return block;
}

HOOK void *
realloc(void *old, size_t size)
{
	bool counted = sample_count(size);

	if (unlikely(counted | filter_hit(old)))
		return realloc_slow(old, size, counted);
	return real.realloc(old, size);
}

/* The C library's ends in realloc, which is called here by its public name: then it counts once, and where another preload stands
 * before us and lacks this function, its realloc gets its own blocks. */
HOOK void *
reallocarray(void *old, size_t count, size_t size)
{
	size_t bytes;

	if (real.reallocarray)
		return real.reallocarray(old, count, size);
	if (unlikely(__builtin_mul_overflow(count, size, &bytes))) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

static SLOW int
posix_memalign_slow(void **ret, size_t alignment, size_t size)
{
	struct unwind_start start = SAMPLE_START();
	uint64_t period = sample_due(size);
	int r = real.posix_memalign(ret, alignment, size);

	if (period && r == 0 && *ret)
		sample_take(*ret, size, period, &start);
	return r;
}

HOOK int
posix_memalign(void **ret, size_t alignment, size_t size)
{
	if (unlikely(sample_count(size)))
		return posix_memalign_slow(ret, alignment, size);
	return real.posix_memalign(ret, alignment, size);
}

static SLOW void *
aligned_slow(void *(*function)(size_t, size_t), size_t alignment, size_t size)
{
	struct unwind_start start = SAMPLE_START();
	uint64_t period = sample_due(size);
	void *block = function(alignment, size);

	if (period && block)
		sample_take(block, size, period, &start);
	return block;
}

HOOK void *
aligned_alloc(size_t alignment, size_t size)
{
	if (unlikely(sample_count(size)))
		return aligned_slow(real.aligned_alloc, alignment, size);
	return real.aligned_alloc(alignment, size);
}

HOOK void *
memalign(size_t alignment, size_t size)
{
	if (unlikely(sample_count(size)))
		return aligned_slow(real.memalign, alignment, size);
	return real.memalign(alignment, size);
}

static SLOW void *
page_slow(void *(*function)(size_t), size_t size)
{
	struct unwind_start start = SAMPLE_START();
	uint64_t period = sample_due(size);
	void *block = function(size);

	if (period && block)
		sample_take(block, size, period, &start);
	return block;
}

HOOK void *
valloc(size_t size)
{
	if (unlikely(sample_count(size)))
		return page_slow(real.valloc, size);
	return real.valloc(size);
}

HOOK void *
pvalloc(size_t size)
{
	if (unlikely(sample_count(size)))
		return page_slow(real.pvalloc, size);
	return real.pvalloc(size);
}

/* -- release -- */

static SLOW void
leave(void *block)
{
	struct live_block sample;

	if (sample_leaving(block, &sample))
		sample_gone(&sample);
}

HOOK void
free(void *block)
{
	if (unlikely(filter_hit(block)))
		leave(block);
	real.free(block);
}

/* Where the allocator has not got these, they are free, by its public name as above. */
HOOK void
cfree(void *block)
{
	if (!real.cfree) {
		free(block);
		return;
	}
	if (unlikely(filter_hit(block)))
		leave(block);
	real.cfree(block);
}

HOOK void
free_sized(void *block, size_t size)
{
	if (!real.free_sized) {
		free(block);
		return;
	}
	if (unlikely(filter_hit(block)))
		leave(block);
	real.free_sized(block, size);
}

HOOK void
free_aligned_sized(void *block, size_t alignment, size_t size)
{
	if (!real.free_aligned_sized) {
		free(block);
		return;
	}
	if (unlikely(filter_hit(block)))
		leave(block);
	real.free_aligned_sized(block, alignment, size);
}

/* -- beside it -- */

HOOK size_t
malloc_usable_size(void *block)
{
	return real.malloc_usable_size(block);
}

HOOK int
dlclose(void *handle)
{
	int r;

	if (!real.dlclose)
		real_resolve();
	if (!real.dlclose)
		return -1;
	r = real.dlclose(handle);
	if (r == 0)
		sample_forget_modules();
	return r;
}

/* -- for late.c -- */

OWN(malloc);
OWN(calloc);
OWN(realloc);
OWN(free);
OWN(cfree);
OWN(free_sized);
OWN(free_aligned_sized);
OWN(posix_memalign);
OWN(aligned_alloc);
OWN(memalign);
OWN(valloc);
OWN(pvalloc);
OWN(malloc_usable_size);
OWN(dlclose);
