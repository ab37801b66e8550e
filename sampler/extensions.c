/* extensions.c - see extensions.h.
 *
 * An operator new that ends in malloc, as the C++ library's does, is seen there and must not be seen twice. One that
 * lives in the same object as malloc (jemalloc, tcmalloc, mimalloc) calls it inside and is hooked here. Functions are told
 * apart by where in their arguments the size stands; each name gets a hook of that shape.
 */
#include "extensions.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dynamic.h"
#include "patch.h"
#include "real.h"
#include "sample.h"

typedef uintptr_t word; /* any integer or pointer argument */

/* Shapes name the arguments in their order: SIZE or COUNT and size, of a block that is resized (RESIZE, RECOUNT: it comes first)
 * or not; X: something before it, such as a heap; _2, _3: that many in all or, with COUNT and RECOUNT, so many less one, the rest
 * of no interest. OR_FREE: a block that cannot be resized is freed. TEXT: a string that is copied; PATH: the same, unless the second argument
 * says where to. MEMALIGN (ret, alignment, size). FREE: the block comes first. */
/* clang-format off */
#define JEMALLOC(SHAPE) \
	SHAPE(SIZE_2, mallocx) SHAPE(RESIZE_2, rallocx) SHAPE(FREE_2, dallocx) SHAPE(FREE_3, sdallocx)

#define TCMALLOC(SHAPE) \
	SHAPE(SIZE, tc_malloc) SHAPE(SIZE, tc_malloc_skip_new_handler) SHAPE(COUNT, tc_calloc) SHAPE(RESIZE, tc_realloc) SHAPE(X_SIZE, tc_memalign) \
	SHAPE(MEMALIGN, tc_posix_memalign) SHAPE(SIZE, tc_valloc) SHAPE(SIZE, tc_pvalloc) \
	SHAPE(SIZE, tc_new) SHAPE(SIZE_2, tc_new_nothrow) SHAPE(SIZE, tc_newarray) \
	SHAPE(SIZE_2, tc_newarray_nothrow) SHAPE(SIZE_2, tc_new_aligned) \
	SHAPE(SIZE_3, tc_new_aligned_nothrow) SHAPE(SIZE_2, tc_newarray_aligned) \
	SHAPE(SIZE_3, tc_newarray_aligned_nothrow) SHAPE(FREE, tc_free) SHAPE(FREE_2, tc_free_sized) \
	SHAPE(FREE, tc_cfree) SHAPE(FREE, tc_delete) SHAPE(FREE_2, tc_delete_sized) \
	SHAPE(FREE_2, tc_delete_nothrow) SHAPE(FREE, tc_deletearray) SHAPE(FREE_2, tc_deletearray_sized) \
	SHAPE(FREE_2, tc_deletearray_nothrow) SHAPE(FREE_2, tc_delete_aligned) \
	SHAPE(FREE_3, tc_delete_sized_aligned) SHAPE(FREE_3, tc_delete_aligned_nothrow) \
	SHAPE(FREE_2, tc_deletearray_aligned) SHAPE(FREE_3, tc_deletearray_sized_aligned) \
	SHAPE(FREE_3, tc_deletearray_aligned_nothrow)

#define MIMALLOC(SHAPE) \
	SHAPE(SIZE, mi_malloc) SHAPE(SIZE, mi_malloc_small) SHAPE(SIZE, mi_zalloc) \
	SHAPE(SIZE, mi_zalloc_small) SHAPE(COUNT, mi_calloc) SHAPE(COUNT, mi_mallocn) \
	SHAPE(SIZE_2, mi_malloc_aligned) SHAPE(SIZE_3, mi_malloc_aligned_at) \
	SHAPE(SIZE_2, mi_zalloc_aligned) SHAPE(SIZE_3, mi_zalloc_aligned_at) \
	SHAPE(COUNT_2, mi_calloc_aligned) SHAPE(X_SIZE, mi_memalign) SHAPE(X_SIZE, mi_aligned_alloc) \
	SHAPE(MEMALIGN, mi_posix_memalign) SHAPE(SIZE, mi_valloc) SHAPE(SIZE, mi_pvalloc) \
	SHAPE(SIZE, mi_new) SHAPE(SIZE, mi_new_nothrow) SHAPE(SIZE_2, mi_new_aligned) \
	SHAPE(SIZE_2, mi_new_aligned_nothrow) SHAPE(COUNT, mi_new_n) SHAPE(X_SIZE, mi_heap_malloc) \
	SHAPE(X_SIZE, mi_heap_zalloc) SHAPE(X_SIZE, mi_heap_malloc_small) SHAPE(RESIZE, mi_realloc) \
	SHAPE(RECOUNT, mi_reallocn) SHAPE(RECOUNT, mi_reallocarray) SHAPE(RESIZE, mi_new_realloc) \
	SHAPE(RECOUNT, mi_new_reallocn) SHAPE(RESIZE, mi_rezalloc) SHAPE(RECOUNT, mi_recalloc) \
	SHAPE(RESIZE_2, mi_realloc_aligned) SHAPE(FREE, mi_free) SHAPE(FREE, mi_cfree) \
	SHAPE(FREE_2, mi_free_size) SHAPE(FREE_2, mi_free_aligned) SHAPE(FREE_3, mi_free_size_aligned) \
	SHAPE(COUNT_3, mi_calloc_aligned_at) SHAPE(RESIZE, mi_expand) SHAPE(RESIZE, mi__expand) \
	SHAPE(RESIZE_OR_FREE, mi_reallocf) SHAPE(RESIZE_3, mi_realloc_aligned_at) \
	SHAPE(RESIZE_2, mi_rezalloc_aligned) SHAPE(RESIZE_3, mi_rezalloc_aligned_at) \
	SHAPE(RECOUNT_2, mi_recalloc_aligned) SHAPE(RECOUNT_3, mi_recalloc_aligned_at) \
	SHAPE(RECOUNT_2, mi_aligned_recalloc) SHAPE(RECOUNT_3, mi_aligned_offset_recalloc) \
	SHAPE(TEXT, mi_strdup) SHAPE(TEXT, mi_mbsdup) SHAPE(TEXT_2, mi_strndup) SHAPE(PATH_2, mi_realpath) \
	SHAPE(X_SIZE, mi_heap_alloc_new) SHAPE(X_COUNT, mi_heap_alloc_new_n) SHAPE(X_COUNT, mi_heap_calloc) \
	SHAPE(X_COUNT, mi_heap_mallocn) SHAPE(X_SIZE_2, mi_heap_malloc_aligned) \
	SHAPE(X_SIZE_3, mi_heap_malloc_aligned_at) SHAPE(X_SIZE_2, mi_heap_zalloc_aligned) \
	SHAPE(X_SIZE_3, mi_heap_zalloc_aligned_at) SHAPE(X_COUNT_2, mi_heap_calloc_aligned) \
	SHAPE(X_COUNT_3, mi_heap_calloc_aligned_at) SHAPE(X_RESIZE, mi_heap_realloc) \
	SHAPE(X_RESIZE_OR_FREE, mi_heap_reallocf) SHAPE(X_RECOUNT, mi_heap_reallocn) \
	SHAPE(X_RESIZE_2, mi_heap_realloc_aligned) SHAPE(X_RESIZE_3, mi_heap_realloc_aligned_at) \
	SHAPE(X_RESIZE, mi_heap_rezalloc) SHAPE(X_RECOUNT, mi_heap_recalloc) \
	SHAPE(X_RESIZE_2, mi_heap_rezalloc_aligned) SHAPE(X_RESIZE_3, mi_heap_rezalloc_aligned_at) \
	SHAPE(X_RECOUNT_2, mi_heap_recalloc_aligned) SHAPE(X_RECOUNT_3, mi_heap_recalloc_aligned_at) \
	SHAPE(RECOUNT, reallocarray) SHAPE(RESIZE_OR_FREE, reallocf) SHAPE(X_TEXT, mi_heap_strdup) SHAPE(X_TEXT_2, mi_heap_strndup) SHAPE(X_PATH_2, mi_heap_realpath)

/* operator new and delete by their mangled names (Itanium C++ ABI, size_t is m). */
#define CXX(SHAPE) \
	SHAPE(SIZE, _Znwm) SHAPE(SIZE, _Znam) SHAPE(SIZE_2, _ZnwmRKSt9nothrow_t) \
	SHAPE(SIZE_2, _ZnamRKSt9nothrow_t) SHAPE(SIZE_2, _ZnwmSt11align_val_t) \
	SHAPE(SIZE_2, _ZnamSt11align_val_t) SHAPE(SIZE_3, _ZnwmSt11align_val_tRKSt9nothrow_t) \
	SHAPE(SIZE_3, _ZnamSt11align_val_tRKSt9nothrow_t) SHAPE(FREE, _ZdlPv) SHAPE(FREE, _ZdaPv) \
	SHAPE(FREE_2, _ZdlPvm) SHAPE(FREE_2, _ZdaPvm) SHAPE(FREE_2, _ZdlPvRKSt9nothrow_t) \
	SHAPE(FREE_2, _ZdaPvRKSt9nothrow_t) SHAPE(FREE_2, _ZdlPvSt11align_val_t) \
	SHAPE(FREE_2, _ZdaPvSt11align_val_t) SHAPE(FREE_3, _ZdlPvmSt11align_val_t) \
	SHAPE(FREE_3, _ZdaPvmSt11align_val_t) SHAPE(FREE_3, _ZdlPvSt11align_val_tRKSt9nothrow_t) \
	SHAPE(FREE_3, _ZdaPvSt11align_val_tRKSt9nothrow_t)

/* clang-format on */

#define ALL(SHAPE) JEMALLOC(SHAPE) TCMALLOC(SHAPE) MIMALLOC(SHAPE) CXX(SHAPE)

/* -- one hook a name -- */

static void *
sampled(void *block, size_t size, uint64_t period, const struct unwind_start *start)
{
	if (period && block)
		sample_take(block, size, period, start);
	return block;
}

/* After a resize: the old block is gone unless it failed (and not even then, if `or_free`). */
static void *
resized(void *old, bool leaving, const struct live_block *sample, void *block, size_t size, uint64_t period,
	const struct unwind_start *start, bool or_free)
{
	if (leaving && (block || size == 0 || or_free))
		sample_gone(sample);
	else if (leaving)
		sample_back(sample, old);
	return sampled(block, size, period, start);
}

static void
left(void *block)
{
	struct live_block sample;

	if (sample_leaving(block, &sample))
		sample_gone(&sample);
}

/* PARAMETERS and ARGUMENTS of the function, the SIZE in bytes made of them, and whether that overflows. */
#define ALLOCATES(name, PARAMETERS, ARGUMENTS, SIZE)                         \
	static void *(*real_##name)PARAMETERS;                               \
	static __attribute__((noinline, cold)) void *slow_##name PARAMETERS  \
	{                                                                    \
		struct unwind_start start = SAMPLE_START();                  \
		uint64_t period = sample_due(SIZE);                          \
                                                                             \
		return sampled(real_##name ARGUMENTS, SIZE, period, &start); \
	}                                                                    \
	static void *hook_##name PARAMETERS                                  \
	{                                                                    \
		if (unlikely(sample_count(SIZE)))                            \
			return slow_##name ARGUMENTS;                        \
		return real_##name ARGUMENTS;                                \
	}

#define RESIZES(name, PARAMETERS, ARGUMENTS, SIZE, OR_FREE)                                                    \
	static void *(*real_##name)PARAMETERS;                                                                 \
	static __attribute__((noinline)) void *hook_##name PARAMETERS                                          \
	{                                                                                                      \
		struct unwind_start start = SAMPLE_START();                                                    \
		uint64_t period = sample_count(SIZE) ? sample_due(SIZE) : 0;                                   \
		struct live_block sample;                                                                      \
		bool leaving = filter_hit(block) && sample_leaving(block, &sample);                            \
                                                                                                               \
		return resized(block, leaving, &sample, real_##name ARGUMENTS, SIZE, period, &start, OR_FREE); \
	}

#define RELEASES(name, PARAMETERS, ARGUMENTS)    \
	static void(*real_##name) PARAMETERS;    \
	static void hook_##name PARAMETERS       \
	{                                        \
		if (unlikely(filter_hit(block))) \
			left(block);             \
		real_##name ARGUMENTS;           \
	}

/* A product that overflows is refused by the real function; saturated, it is never sampled. */
static size_t
product(size_t count, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

/* A copy of a string: how long it is, it says itself. NOT_OURS: the caller brought the room for it. */
#define COPIES(name, PARAMETERS, ARGUMENTS, NOT_OURS)                     \
	static char *(*real_##name)PARAMETERS;                            \
	static __attribute__((noinline)) char *hook_##name PARAMETERS     \
	{                                                                 \
		struct unwind_start start = SAMPLE_START();               \
		char *copy = real_##name ARGUMENTS;                       \
		size_t size = copy && !(NOT_OURS) ? strlen(copy) + 1 : 0; \
                                                                          \
		if (size && sample_count(size))                           \
			sampled(copy, size, sample_due(size), &start);    \
		return copy;                                              \
	}

#define SIZE(name) ALLOCATES(name, (size_t size), (size), size)
#define SIZE_2(name) ALLOCATES(name, (size_t size, word x), (size, x), size)
#define SIZE_3(name) ALLOCATES(name, (size_t size, word x, word y), (size, x, y), size)
#define X_SIZE(name) ALLOCATES(name, (word x, size_t size), (x, size), size)
#define X_SIZE_2(name) ALLOCATES(name, (word x, size_t size, word y), (x, size, y), size)
#define X_SIZE_3(name) ALLOCATES(name, (word x, size_t size, word y, word z), (x, size, y, z), size)

#define COUNT(name) ALLOCATES(name, (size_t count, size_t size), (count, size), product(count, size))
#define COUNT_2(name) ALLOCATES(name, (size_t count, size_t size, word x), (count, size, x), product(count, size))
#define COUNT_3(name) \
	ALLOCATES(name, (size_t count, size_t size, word x, word y), (count, size, x, y), product(count, size))
#define X_COUNT(name) ALLOCATES(name, (word x, size_t count, size_t size), (x, count, size), product(count, size))
#define X_COUNT_2(name) \
	ALLOCATES(name, (word x, size_t count, size_t size, word y), (x, count, size, y), product(count, size))
#define X_COUNT_3(name)                                                                              \
	ALLOCATES(name, (word x, size_t count, size_t size, word y, word z), (x, count, size, y, z), \
		  product(count, size))

#define RESIZE(name) RESIZES(name, (void *block, size_t size), (block, size), size, false)
#define RESIZE_OR_FREE(name) RESIZES(name, (void *block, size_t size), (block, size), size, true)
#define RESIZE_2(name) RESIZES(name, (void *block, size_t size, word x), (block, size, x), size, false)
#define RESIZE_3(name) RESIZES(name, (void *block, size_t size, word x, word y), (block, size, x, y), size, false)
#define X_RESIZE(name) RESIZES(name, (word x, void *block, size_t size), (x, block, size), size, false)
#define X_RESIZE_OR_FREE(name) RESIZES(name, (word x, void *block, size_t size), (x, block, size), size, true)
#define X_RESIZE_2(name) RESIZES(name, (word x, void *block, size_t size, word y), (x, block, size, y), size, false)
#define X_RESIZE_3(name) \
	RESIZES(name, (word x, void *block, size_t size, word y, word z), (x, block, size, y, z), size, false)

#define RECOUNT(name) \
	RESIZES(name, (void *block, size_t count, size_t size), (block, count, size), product(count, size), false)
#define RECOUNT_2(name)                                                                                                \
	RESIZES(name, (void *block, size_t count, size_t size, word x), (block, count, size, x), product(count, size), \
		false)
#define RECOUNT_3(name)                                                                                     \
	RESIZES(name, (void *block, size_t count, size_t size, word x, word y), (block, count, size, x, y), \
		product(count, size), false)
#define X_RECOUNT(name)                                                                                                \
	RESIZES(name, (word x, void *block, size_t count, size_t size), (x, block, count, size), product(count, size), \
		false)
#define X_RECOUNT_2(name)                                                                                   \
	RESIZES(name, (word x, void *block, size_t count, size_t size, word y), (x, block, count, size, y), \
		product(count, size), false)
#define X_RECOUNT_3(name)                                                                                              \
	RESIZES(name, (word x, void *block, size_t count, size_t size, word y, word z), (x, block, count, size, y, z), \
		product(count, size), false)

#define TEXT(name) COPIES(name, (word x), (x), false)
#define TEXT_2(name) COPIES(name, (word x, word y), (x, y), false)
#define X_TEXT(name) COPIES(name, (word x, word y), (x, y), false)
#define X_TEXT_2(name) COPIES(name, (word x, word y, word z), (x, y, z), false)
#define PATH_2(name) COPIES(name, (word path, word to), (path, to), to != 0)
#define X_PATH_2(name) COPIES(name, (word x, word path, word to), (x, path, to), to != 0)

#define FREE(name) RELEASES(name, (void *block), (block))
#define FREE_2(name) RELEASES(name, (void *block, word x), (block, x))
#define FREE_3(name) RELEASES(name, (void *block, word x, word y), (block, x, y))

#define MEMALIGN(name)                                                                              \
	static int (*real_##name)(void **ret, size_t alignment, size_t size);                       \
	static __attribute__((noinline)) int hook_##name(void **ret, size_t alignment, size_t size) \
	{                                                                                           \
		struct unwind_start start = SAMPLE_START();                                         \
		uint64_t period = sample_count(size) ? sample_due(size) : 0;                        \
		int r = real_##name(ret, alignment, size);                                          \
                                                                                                    \
		if (r == 0)                                                                         \
			sampled(*ret, size, period, &start);                                        \
		return r;                                                                           \
	}

#define DEFINE(shape, name) shape(name)
ALL(DEFINE)

/* xallocx alone changes a block where it is, and returns its new size: as much as asked for, or it is as before. */
static size_t (*real_xallocx)(void *block, size_t size, size_t extra, int flags);

static __attribute__((noinline)) size_t
hook_xallocx(void *block, size_t size, size_t extra, int flags)
{
	struct unwind_start start = SAMPLE_START();
	uint64_t period = sample_count(size) ? sample_due(size) : 0;
	struct live_block sample;
	bool leaving = filter_hit(block) && sample_leaving(block, &sample);
	size_t got = real_xallocx(block, size, extra, flags);
	void *now = got >= size ? block : NULL;

	resized(block, leaving, &sample, now, size ? size : 1, period, &start, false);
	return got;
}

/* -- which of them there are -- */

#define PATCH(shape, name) { #name, (void *)(uintptr_t)hook_##name, (void **)&real_##name },

static const struct patch patches[] = { ALL(PATCH) PATCH(, xallocx) };

/* What the allocator itself defines under this name, or NULL. */
static void *
of_allocator(const Dl_info *allocator, const char *name)
{
	/* We export some of them ourselves. */
	void *function = !dynamic_defined(name) ? NULL
			 : dynamic_is_late()    ? dynamic_find(name)
						: dlsym(RTLD_NEXT, name);
	Dl_info owner;

	return function && dladdr(function, &owner) && owner.dli_fbase == allocator->dli_fbase ? function : NULL;
}

bool
extensions_find(void)
{
	Dl_info allocator, libc;
	bool jemalloc, found = false;

	if (!dladdr((void *)(uintptr_t)real.malloc, &allocator) || !dladdr((void *)(uintptr_t)dladdr, &libc) ||
	    allocator.dli_fbase == libc.dli_fbase)
		return false;
	jemalloc = of_allocator(&allocator, "mallocx") != NULL;
	for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
		void *real_function = of_allocator(&allocator, patches[i].name);

		if (!real_function)
			continue;
		/* Unlike its other operators, jemalloc's aligned new ends in the aligned_alloc that everybody calls. */
		if (jemalloc && strncmp(patches[i].name, "_Zn", 3) == 0 && strstr(patches[i].name, "St11align_val_t"))
			continue;
		*patches[i].real = real_function;
		found = true;
	}
	if (real_reallocarray)
		real.reallocarray = hook_reallocarray;
	if (found)
		patch_add(patches, sizeof(patches) / sizeof(patches[0]), false);
	return found;
}
